# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a map of log metres costs against the truth, one image at a time.

All take maps (h, w) of log metres; the truth is NaN where nothing was measured, and at least one
place of it must be known. Knows nothing about models.
"""

import torch
from torch.nn import functional as F

SILOG_LAMBDA, SILOG_ROOT = 0.5, 1e-8  # DepthVLM (arXiv 2605.15876), as released
SCALES = 1, 2, 4, 8  # pixels a side of the cells whose neighbours are compared
DENSE = 0.7  # of known pixels, the share whose right neighbour is known, from which a map is dense


def silog(value: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The scale-invariant loss: sqrt(mean(g^2) - lambda mean(g)^2 + 1e-8), g = value - truth
    (Eigen et al. 2014; DepthVLM puts the 1e-8 inside the root)."""
    off = (value - truth)[truth.isfinite()]
    return ((off**2).mean() - SILOG_LAMBDA * off.mean() ** 2 + SILOG_ROOT).sqrt()


def log_l1(value: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean |value - truth|."""
    return (value - truth)[truth.isfinite()].abs().mean()


def doubt(log_scale: torch.Tensor, value: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean negative log likelihood of the errors under a Laplace distribution, less log 2.

    The errors are held fixed, so that it teaches the scale alone: where a likelihood moves the
    value too, what is doubtful is learnt less.
    """
    known = truth.isfinite()
    off = (value.detach() - truth)[known].abs()
    scale = log_scale[known]
    return (off * (-scale).exp() + scale).mean()


def gradient_l1(value: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean over SCALES of how much the error differs between neighbouring cells, down and to the
    right; 0 for a sparse truth (points of a lidar), whose neighbours are far apart.

    A cell's error is the mean over its known pixels; cells without any are left out.
    """
    if not is_dense(truth):
        return value.sum() * 0.0
    known = truth.isfinite()
    off = torch.where(known, value - truth.nan_to_num(), 0.0)[None, None]
    share = known.float()[None, None]
    parts = [_differences(off, share, cell) for cell in SCALES if cell < min(truth.shape)]
    return sum(parts) / len(parts)


def is_dense(truth: torch.Tensor) -> bool:
    """Whether pixels beside a known one are known too."""
    known = truth.isfinite()
    beside = known[:, 1:] & known[:, :-1]
    return bool(beside.sum() >= DENSE * known[:, :-1].sum())


def _differences(off, share, cell):
    within = F.avg_pool2d(share, cell)
    mean = F.avg_pool2d(off, cell) / within.clamp_min(1e-6)
    whole = within > 0
    total, count = off.sum() * 0.0, 0
    for axis in (2, 3):
        length = mean.shape[axis] - 1
        apart = (mean.narrow(axis, 1, length) - mean.narrow(axis, 0, length)).abs()
        both = whole.narrow(axis, 1, length) & whole.narrow(axis, 0, length)
        total, count = total + apart[both].sum(), count + int(both.sum())
    return total / max(count, 1)


LOSSES = {"silog": silog, "log_l1": log_l1}
