# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Linear layers by the faster of the two libraries that torch brings for a CPU.

torch multiplies float32 matrices by MKL, which keeps to half-wide instructions on processors of
other makers; oneDNN, in the same build, does not (2.2 times as fast on an AMD EPYC, equal but
for the order of sums). Which one it is here is measured, not guessed. Without gradients only.

The patch embedding of Qwen-VL as the matrix product that it is.

A 3-D convolution whose kernel equals its stride; many backends compute it ten times slower. Done
after loading: transformers' own fusion_config leaves random weights behind.
"""

import os
import time
from functools import cache

import torch


class LinearPatches(torch.nn.Module):
    """Patches (N, channels * frames * side * side) -> embeddings (N, width).

    Keeps the convolution as its parameters, so that names in a checkpoint and gradients stay.
    """

    def __init__(self, convolution):
        super().__init__()
        self.proj = convolution

    def forward(self, patches):
        """One product; the patches are flat already."""
        weight = self.proj.weight.flatten(1)
        flat = patches.view(-1, weight.shape[1]).to(weight.dtype)
        return torch.nn.functional.linear(flat, weight, self.proj.bias)


def linear_patches(model) -> None:
    """Swap the patch embedding of a loaded Qwen-VL model; others stay as they are."""
    visual = getattr(model.model, "visual", None)
    if visual is not None:
        visual.patch_embed = LinearPatches(visual.patch_embed.proj)


# oneDNN, and torch around it, keep what was compiled for each number of rows, and steps are of
# every size: with their own limits of 1,024 a node grows by hundreds of megabytes. Read at the
# first use of either.
for _limit in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_limit, "16")

FEW = 16  # rows under which MKL is the faster everywhere
TRIALS = 8


class OneDnnLinear(torch.nn.Linear):
    """A Linear layer by oneDNN, where there are rows enough; parameters and names stay."""

    def forward(self, rows):
        """(..., in) -> (..., out)."""
        if torch.is_grad_enabled() or rows.numel() < FEW * self.in_features:
            return super().forward(rows)
        return _by_onednn(rows, self.weight, self.bias)


def fast_products(model) -> None:
    """Let a model's Linear layers, in float32 on a CPU, compute the faster way."""
    weight = next(model.parameters())
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not onednn_is_faster():
        return
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = OneDnnLinear


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN multiplies faster on this machine: the best of some trials each."""
    available = torch.backends.mkldnn.is_available()
    if not available or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    rows, weight = torch.randn(256, 512), torch.randn(512, 512)
    ways = (_by_onednn, torch.nn.functional.linear)
    times = [[_seconds(way, rows, weight) for way in ways] for _ in range(TRIALS)]
    onednn, mkl = (min(of_way) for of_way in zip(*times, strict=True))
    return onednn < mkl


def _by_onednn(rows, weight, bias=None):
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


def _seconds(way, rows, weight) -> float:
    start = time.perf_counter()
    way(rows, weight)
    return time.perf_counter() - start
