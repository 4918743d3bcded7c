# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Attention in parts: each part with the log of its sum of weights, and parts merged exactly.

softmax over the union of two sets of keys is the mean of the softmaxes over each, weighted by
their sums of exponentials (Hydragen, arXiv 2402.05099, section 3.1). So keys that many queries
share are read once, by all queries as one large product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from depthlm_ros.models import torch_compat

QUERIES = 1024  # in one product of the plain way, whose weights are held
Part = tuple[torch.Tensor, torch.Tensor]  # what was found, and the log of the sum of weights


def attend(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    scale: float,
    causal: bool = False,
) -> Part:
    """(found (B, H, Lq, D), log of the sum of weights (B, H, Lq) float32).

    queries (B, H, Lq, D); keys, values (B, G, Lk, D), G a divisor of H: head h reads h // (H / G).
    causal: query i sees the keys up to i (Lq = Lk), else all see all.
    """
    if queries.device.type == "cpu":
        return torch_compat.cpu_attention(queries, keys, values, scale, causal)
    return folded(queries, keys, values, scale, causal)


def folded(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    scale: float,
    causal: bool = False,
) -> Part:
    """attend() where kernels want as many heads of keys as of queries: queries of the heads that
    read the same keys stand below each other; causally that is not possible, keys are repeated."""
    batch, heads, length, width = queries.shape
    if causal:
        keys, values = (t.repeat_interleave(heads // t.shape[1], 1) for t in (keys, values))
    rows = queries.reshape(batch, keys.shape[1], -1, width)
    has_kernel = torch_compat.has_gpu_attention(rows, keys, values, causal)
    way = torch_compat.gpu_attention if has_kernel else _plain
    found, total = way(rows, keys, values, scale, causal)
    return found.reshape(queries.shape), total.reshape(batch, heads, length)


def _plain(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float, causal: bool
) -> Part:
    """Two products in float32, for devices and types without a kernel of their own."""
    parts = []
    for start in range(0, queries.shape[2], QUERIES):
        some = queries[:, :, start : start + QUERIES].float() * scale
        weights = some @ keys.float().transpose(2, 3)
        if causal:
            weights += weights.new_full(weights.shape[2:], -torch.inf).triu(start + 1)
        total = weights.logsumexp(3)
        parts.append(((weights - total[..., None]).exp() @ values.float(), total))
    found, totals = zip(*parts, strict=True)
    return torch.cat(found, 2).to(queries.dtype), torch.cat(totals, 2)


def merged(parts: Sequence[Part]) -> torch.Tensor:
    """The attention (..., D) over all keys of parts [(found (..., D), log sums (...)), ...]."""
    shares = torch.stack([total for _, total in parts]).softmax(0).unsqueeze(-1)
    whole = shares[0] * parts[0][0]
    for share, (found, _) in zip(shares[1:], parts[1:], strict=True):
        whole.addcmul_(share, found)
    return whole.to(parts[0][0].dtype)
