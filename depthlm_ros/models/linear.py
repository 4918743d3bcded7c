# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Layers of a loaded model that compute the same by a faster product of matrices.

Linear layers: torch multiplies float32 matrices by MKL, which keeps to half-wide instructions on
processors of other makers; oneDNN, in the same build, does not (2.2 times as fast on an AMD EPYC,
equal but for the order of sums). Which one it is here is measured, not guessed.

The patch embedding of a Qwen-VL: a 3-D convolution whose kernel equals its stride, which many
backends compute ten times slower than the matrix product that it is. Swapped after loading, since
transformers' own fusion_config leaves random weights behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch

from depthlm_ros.models import compat

FEW = 16  # rows under which MKL is the faster everywhere
TRIALS = 8


def fast_products(model: torch.nn.Module) -> None:
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
    if not compat.has_onednn_linear():
        return False
    rows, weight = torch.randn(256, 512), torch.randn(512, 512)
    ways = (compat.onednn_linear, torch.nn.functional.linear)
    times = [[_seconds(way, rows, weight) for way in ways] for _ in range(TRIALS)]
    onednn, mkl = (min(of_way) for of_way in zip(*times, strict=True))
    return onednn < mkl


def _seconds(way: Callable[..., torch.Tensor], rows: torch.Tensor, weight: torch.Tensor) -> float:
    start = time.perf_counter()
    way(rows, weight)
    return time.perf_counter() - start


class OneDnnLinear(torch.nn.Linear):  # type: ignore[misc]
    """A Linear layer by oneDNN, where there are rows enough; parameters and names stay.

    Without gradients only: where they are wanted it is the layer that it was.
    """

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out)."""
        if torch.is_grad_enabled() or rows.numel() < FEW * self.in_features:
            return super().forward(rows)
        return compat.onednn_linear(rows, self.weight, self.bias)


def linear_patches(model: torch.nn.Module) -> None:
    """Swap the patch embedding of a loaded Qwen-VL model; others stay as they are."""
    compat.replace_patch_embedding(model.model, LinearPatches)


class LinearPatches(torch.nn.Module):  # type: ignore[misc]
    """Patches (N, channels * frames * side * side) -> embeddings (N, width).

    Keeps the convolution as its parameters, so that names in a checkpoint and gradients stay.
    """

    def __init__(self, convolution: torch.nn.Module):
        super().__init__()
        self.proj = convolution

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """One product; the patches are flat already."""
        weight = self.proj.weight.flatten(1)
        flat = patches.view(-1, weight.shape[1]).to(weight.dtype)
        return torch.nn.functional.linear(flat, weight, self.proj.bias)
