# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The image encoder of a head of type encoder: EfficientNet-Lite0 without its last stage and
classifier.

EfficientNet (Tan and Le, arXiv 1905.11946) in the Lite variant of TensorFlow's models: no squeeze
and excitation, activations cut at 6. Its norms are folded into the convolutions before them, so
that the weights of ImageNet, which training/photographs.py reads, give the same features.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

# Kernel, stride, expansion, channels and blocks of each stage.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
)
STEM = 32  # channels at 1/2 of the image
LEVELS = {4: 24, 8: 40, 16: 112, 32: 192}  # pixels a side of a cell -> channels of the map there
MEAN, SPREAD = 127 / 255, 128 / 255  # of the colours, as it was trained


class Encoder(nn.Module):  # type: ignore[misc]
    """Colours -> maps at 1/4, 1/8, 1/16 and 1/32 of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, stride=2)
        self.blocks = nn.ModuleList()
        before, cell, last = STEM, 2, {}
        for kernel, stride, expansion, after, count in STAGES:
            cell *= stride
            for number in range(count):
                step = stride if number == 0 else 1
                self.blocks.append(Block(before, after, kernel, step, expansion))
                before = after
            last[cell] = len(self.blocks) - 1
        self._levels = {last[cell]: cell for cell in LEVELS}

    def forward(self, colours: torch.Tensor) -> dict[int, torch.Tensor]:
        """(B, 3, H, W), RGB in [0, 1] -> {4: (B, 24, H/4, W/4), 8: ..., 16: ..., 32: ...}."""
        found = F.relu6(self.stem((colours - MEAN) / SPREAD), inplace=True)
        levels = {}
        for number, block in enumerate(self.blocks):
            found = block(found)
            if number in self._levels:
                levels[self._levels[number]] = found
        return levels


class Block(nn.Module):  # type: ignore[misc]
    """An inverted residual: more channels, a convolution of each by itself, fewer channels."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = before * expansion
        self.expand = Convolution(before, inner, 1) if expansion > 1 else None
        self.depthwise = Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = Convolution(inner, after, 1)
        self._adds = stride == 1 and before == after

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        found = maps if self.expand is None else F.relu6(self.expand(maps), inplace=True)
        found = self.project(F.relu6(self.depthwise(found), inplace=True))
        return maps + found if self._adds else found


class Convolution(nn.Conv2d):  # type: ignore[misc]
    """Zeros around as TensorFlow puts them: of an odd number one more below and to the right.

    That is what a border of two more on every side gives from the second place on, and takes no
    copy of the maps.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1):
        first, self._odd = divmod(max(kernel - stride, 0), 2)
        padding = first + 2 * self._odd
        super().__init__(before, after, kernel, stride, padding=padding, groups=groups)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if self.kernel_size == (1, 1):  # a product, without the copies that torch makes for these
            return F.linear(maps.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)
        found = super().forward(maps)
        return found[..., 1:, 1:] if self._odd else found
