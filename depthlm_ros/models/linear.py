# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Layers of a loaded model that compute the same by a faster product of matrices.

Linear layers: torch multiplies float32 matrices by MKL, which keeps to half-wide instructions on
processors of other makers; oneDNN, in the same build, does not (2.2 times as fast on an AMD EPYC,
equal but for the order of sums). Which one it is here is measured, not guessed.

Layers over the same input (queries, keys and values; both halves of an MLP) are one product: each
operation costs a GPU's host as much as an operation of three times the size.

The patch embedding of a Qwen-VL: a 3-D convolution whose kernel equals its stride, which many
backends compute ten times slower than the matrix product that it is. Swapped after loading, since
transformers' own fusion_config leaves random weights behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch

from depthlm_ros.models import compat, torch_compat

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
    if not torch_compat.has_onednn_linear():
        return False
    rows, weight = torch.randn(256, 512), torch.randn(512, 512)
    ways = (torch_compat.onednn_linear, torch.nn.functional.linear)
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
        return torch_compat.onednn_linear(rows, self.weight, self.bias)


class Beside:
    """Linear layers over the same input as one product, (T, in) -> (T, all their outputs).

    join() puts their weights behind each other into one tensor, of which the layers' own become
    views: nothing is held twice, and whoever saves, merges or asks the layers sees the same
    values. Where that is not so any more (a model that was moved, or that learns), and for layers
    of another kind (adapters), the layers are asked one by one.
    """

    def __init__(self, *layers: torch.nn.Module):
        self._layers = layers
        self._weight: torch.Tensor | None = None
        self._bias: torch.Tensor | None = None
        self._views: list[torch.Tensor] = []
        self._places: list[int] = []
        self._onednn = False

    def join(self) -> None:
        """Make it one product from now on, if the layers are plain ones."""
        kinds = {type(layer) for layer in self._layers}
        biases = [layer.bias for layer in self._layers]
        bare = [bias is None for bias in biases]
        if self._is_joined() or not kinds <= {torch.nn.Linear, OneDnnLinear} or len(kinds) > 1:
            return
        if any(bare) and not all(bare):
            return
        self._onednn = kinds == {OneDnnLinear}
        weights = [layer.weight for layer in self._layers]
        self._views = [view for view in (*weights, *biases) if view is not None]
        self._weight = _behind_each_other(weights)
        self._bias = None if all(bare) else _behind_each_other(biases)
        self._places = [view.data_ptr() for view in self._views]

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., all outputs)."""
        if torch.is_grad_enabled() or not self._is_joined():
            found = [layer(rows) for layer in self._layers]
            return found[0] if len(found) == 1 else torch.cat(found, -1)
        if self._onednn and rows.numel() >= FEW * rows.shape[-1]:
            return torch_compat.onednn_linear(rows, self._weight, self._bias)
        return torch.nn.functional.linear(rows, self._weight, self._bias)

    def _is_joined(self) -> bool:
        """Whether the layers' weights still are where they were put."""
        if self._weight is None:
            return False
        return [view.data_ptr() for view in self._views] == self._places


@torch.no_grad()
def _behind_each_other(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """One tensor of parameters (n_i, ...), which become views of it."""
    if len(parts) == 1:
        return parts[0].data
    with torch.inference_mode(False):
        whole = torch.cat([part.data for part in parts])
        sizes = [len(part) for part in parts]
        for part, view in zip(parts, whole.split(sizes), strict=True):
            part.data = view
    return whole


class LayerProducts(NamedTuple):
    """The products of a layer of the language model: into heads of queries, keys and values, out
    of the heads, into both halves of the MLP, and out of it."""

    heads: Beside
    output: Beside
    halves: Beside
    down: Beside


def products_of(text: compat.Decoder) -> list[LayerProducts]:
    """Those of each layer, not joined yet."""
    return [
        LayerProducts(
            Beside(layer.query, layer.key, layer.value),
            Beside(layer.output),
            Beside(layer.gate, layer.up),
            Beside(layer.down),
        )
        for layer in text.layers
    ]


def join_products(products: Sequence[LayerProducts]) -> None:
    """Join all of them, for a model that is asked and does not learn."""
    for of_layer in products:
        for product in of_layer:
            product.join()


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
