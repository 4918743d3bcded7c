# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Dense heads: feature maps of a vision-language model -> the distance of every pixel.

DptHead and MlpHead are those of DepthVLM (arXiv 2605.15876, section 3), with the names and shapes
of its published parameters; LightHead and EncoderHead are ours, for a small model on a CPU. All
are float32 whatever the model is: the published maps, in bfloat16, have steps of 3 cm at 4 to 8 m.
Sizes are (height, width). Knows nothing about models; model.py takes the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from depthlm_ros.answer import LARGEST_M
from depthlm_ros.dense.encoder import LEVELS, Encoder
from depthlm_ros.dense.spec import HeadSpec, Tap
from depthlm_ros.errors import CheckpointError, InputError

__all__ = ["DepthMap", "HeadSpec", "Tap", "make_head"]

FIRST_LOG_M = 0.9  # what an untrained head answers everywhere: 2.5 m
FIRST_LOG_SCALE = -1.6  # and how sure it is: within 20 %
FIRST_TRUST = 3.0  # logit of the share to which it trusts the model: 0.95
LARGEST_LOG_M = log(LARGEST_M)  # beyond it exp() of an untrained head overflows
SMALLEST_M = 1e-6  # whose logarithm is taken
COARSE = 4  # pixels along each side of a cell of the map that is brought to full size
NEIGHBOURS = 9


@dataclass(frozen=True)
class DepthMap:
    """What a head makes of B images.

    value: (B, h, w) float32, metres or their logarithm.
    log_scale: (B, h, w) log of the scale of a Laplace distribution of log metres, or None.
    is_log: which of the two value is.
    """

    value: torch.Tensor
    log_scale: torch.Tensor | None
    is_log: bool

    @property
    def log_m(self) -> torch.Tensor:
        """(B, h, w) logarithm of metres."""
        return self.value if self.is_log else self.value.clamp_min(SMALLEST_M).log()

    @property
    def metres(self) -> torch.Tensor:
        """(B, h, w) metres."""
        return self.value.clamp(max=LARGEST_LOG_M).exp() if self.is_log else self.value

    def resized(self, size: tuple[int, int]) -> DepthMap:
        """The map in another size, half pixels aligned; logarithms where it holds them."""
        if self.value.shape[-2:] == size:
            return self
        scale = self.log_scale
        return replace(
            self,
            value=resized(self.value[:, None], size)[:, 0],
            log_scale=None if scale is None else resized(scale[:, None], size)[:, 0],
        )


def make_head(spec: HeadSpec, in_widths: Sequence[int]) -> nn.Module:
    """The head of a spec, in float32, with weights to be trained or loaded.

    in_widths: channels of the feature map of each tap.

    Its forward(features, image, size) -> DepthMap takes features [(B, C, rows, columns)] in the
    order of the taps; image (B, 3, H, W), RGB in [0, 1], which light and encoder use; size (h, w)
    of the map. Raises CheckpointError where spec and widths contradict each other.
    """
    if len(in_widths) != len(spec.taps):
        raise CheckpointError(f"a head of {len(spec.taps)} taps got {len(in_widths)} feature maps")
    return HEADS[spec.type](spec, in_widths).float()


def resized(maps: torch.Tensor, size: tuple[int, int], corners: bool = False) -> torch.Tensor:
    """(B, C, rows, columns) -> (B, C, *size), bilinear; corners: see HeadSpec.align_corners."""
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=corners)


class _Head(nn.Module):  # type: ignore[misc]
    """What the heads have in common: float32 in, a DepthMap out.

    floats: values a pixel that it holds while it computes, generously.
    """

    floats: int

    def __init__(self, spec: HeadSpec):
        super().__init__()
        self.spec = spec
        self.channels = 1 + spec.uncertainty

    def forward(
        self,
        features: Sequence[torch.Tensor],
        image: torch.Tensor | None,
        size: tuple[int, int],
    ) -> DepthMap:
        """See make_head."""
        with torch.autocast(features[0].device.type, enabled=False):
            values = self._values([one.float() for one in features], image, size)
        value, scale = values[:, 0], values[:, 1] if self.spec.uncertainty else None
        is_log = self.spec.output == "log"
        return DepthMap(value if is_log else F.softplus(value), scale, is_log)

    def _values(
        self,
        features: list[torch.Tensor],
        image: torch.Tensor | None,
        size: tuple[int, int],
    ) -> torch.Tensor:
        """(B, channels, *size) before the softplus of metres."""
        raise NotImplementedError

    def _start(self, bias: torch.Tensor) -> None:
        """Give the bias of the last layer, or of each cell of it, a plausible distance."""
        with torch.no_grad():
            first = bias.view(self.channels, -1)
            first[0] = FIRST_LOG_M if self.spec.output == "log" else 2.4
            first[1:] = FIRST_LOG_SCALE


class DptHead(_Head):
    """DepthVLM's: one LayerNorm for all maps, a pyramid of transposed convolutions whose kernel is
    their stride, and DPT's fusion from coarse to fine. 35,145,921 parameters for the 4B.

    Between the pyramid and the last convolutions the map has half the image's size where a cell
    is 32 pixels, as in Qwen3-VL.
    """

    floats = 700

    def __init__(self, spec: HeadSpec, in_widths: Sequence[int]):
        super().__init__(spec)
        *levels, fused = spec.widths
        width = _one_width(in_widths)
        self.norm = nn.LayerNorm(width)
        self.projects = nn.ModuleList(nn.Conv2d(width, level, 1) for level in levels)
        self.resize_layers = nn.ModuleList(
            nn.Identity() if factor == 1 else nn.ConvTranspose2d(level, level, factor, factor)
            for level, factor in zip(levels, (8, 4, 2, 1), strict=True)
        )
        self.scratch = nn.Module()
        for number, level in enumerate(levels, 1):
            joins = number < len(levels)
            unified = nn.Conv2d(level, fused, 3, padding=1, bias=False)
            self.scratch.add_module(f"layer{number}_rn", unified)
            self.scratch.add_module(f"refinenet{number}", _Fusion(fused, joins))
        self.scratch.output_conv1 = nn.Conv2d(fused, fused // 2, 3, padding=1)
        last = nn.Conv2d(32, self.channels, 1)
        middle = nn.Conv2d(fused // 2, 32, 3, padding=1)
        self.scratch.output_conv2 = nn.Sequential(middle, nn.ReLU(), last)
        self._start(last.bias)

    def _values(
        self,
        features: list[torch.Tensor],
        image: torch.Tensor | None,
        size: tuple[int, int],
    ) -> torch.Tensor:
        scratch, corners = self.scratch, self.spec.align_corners
        levels = [
            getattr(scratch, f"layer{number}_rn")(resize(project(_normed(self.norm, one))))
            for number, (one, project, resize) in enumerate(
                zip(features, self.projects, self.resize_layers, strict=True), 1
            )
        ]
        found = None
        for number in range(len(levels), 0, -1):
            level = levels[number - 1]
            finer = levels[number - 2] if number > 1 else None
            goal = (2 * level.shape[2], 2 * level.shape[3]) if finer is None else finer.shape[2:]
            fusion = getattr(scratch, f"refinenet{number}")
            found = fusion(level, found, tuple(goal), corners)
        return scratch.output_conv2(resized(scratch.output_conv1(found), size, corners))


class _Fusion(nn.Module):  # type: ignore[misc]
    """A level of the pyramid joined to what came from the coarser ones, in the finer size."""

    def __init__(self, width: int, joins: bool):
        super().__init__()
        if joins:
            self.resConfUnit1 = _Residual(width)
        self.resConfUnit2 = _Residual(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(
        self,
        level: torch.Tensor,
        coarser: torch.Tensor | None,
        size: tuple[int, int],
        corners: bool,
    ) -> torch.Tensor:
        joined = level if coarser is None else coarser + self.resConfUnit1(level)
        return self.out_conv(resized(self.resConfUnit2(joined), size, corners))


class _Residual(nn.Module):  # type: ignore[misc]
    """Two convolutions beside the rectified input: the released code rectifies in place, so what
    it adds again is no longer the input as it came."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        rectified = F.relu(maps)
        return self.conv2(F.relu(self.conv1(rectified))) + rectified


class MlpHead(_Head):
    """DepthVLM's without a pyramid: the vector of each image token gives a cell of pixels. As
    published, softplus comes after the resize."""

    floats = 40

    def __init__(self, spec: HeadSpec, in_widths: Sequence[int]):
        super().__init__(spec)
        width = sum(in_widths) if spec.join == "concat" else _one_width(in_widths)
        self.norm = nn.LayerNorm(width)
        last = nn.Linear(spec.widths[0], self.channels * spec.cell**2)
        self.mlp = nn.Sequential(nn.Linear(width, spec.widths[0]), nn.GELU(), last)
        self._start(last.bias)

    def _values(
        self,
        features: list[torch.Tensor],
        image: torch.Tensor | None,
        size: tuple[int, int],
    ) -> torch.Tensor:
        joined = torch.cat(features, 1) if self.spec.join == "concat" else sum(features)
        cells = self.mlp(self.norm(joined.movedim(1, -1)))  # (B, rows, columns, channels * cell^2)
        values = F.pixel_shuffle(cells.movedim(-1, 1), self.spec.cell)
        return resized(values, size, self.spec.align_corners)


class _QuarterHead(_Head):
    """What ends in a map at 1/4 of the image, brought to full size by blends of neighbours."""

    def _end(self, width: int) -> None:
        """Make the last layers, behind maps of so many channels."""
        self.join = _Pair(width)
        self.tell = nn.Conv2d(width, self.channels, 1)
        if self.spec.upsampling == "convex":
            self.blend = nn.Sequential(
                _conv(width, 2 * width),
                nn.GELU(),
                nn.Conv2d(2 * width, NEIGHBOURS * COARSE**2, 1),
            )
        nn.init.zeros_(self.tell.weight)
        self._start(self.tell.bias)

    def _told(self, found: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """(B, channels, *size) of maps at 1/4."""
        found = self.join(found)
        values = self.tell(found)
        if self.spec.upsampling == "convex":
            values = _blended(values, self.blend(found))
        return resized(values, size)


class LightHead(_QuarterHead):
    """Ours: maps of any grids, each with a LayerNorm of its own, added at the finest of them;
    bilinear steps with a convolution behind each to 1/8 and 1/4 of the image, where the image
    itself joins; the log distance there, brought to full size last.

    No transposed convolution and no shuffle without a convolution behind it, which is what leaves
    the grid of tokens in DepthVLM's maps. Borders are replicated, half pixels aligned.
    """

    floats = 120

    def __init__(self, spec: HeadSpec, in_widths: Sequence[int]):
        super().__init__(spec)
        token, eighth, quarter = spec.widths
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in in_widths)
        self.projects = nn.ModuleList(nn.Conv2d(width, token, 1) for width in in_widths)
        self.fuse = nn.Sequential(_Pair(token), _Pair(token))
        self.to_eighth = nn.Sequential(_conv(token, eighth), nn.GELU(), _Pair(eighth))
        self.to_quarter = nn.Sequential(_conv(eighth, quarter), nn.GELU())
        if spec.colours:
            half = max(quarter // 2, 1)
            self.stem = nn.Sequential(_halve(3, half), nn.GELU(), _halve(half, quarter))
        self._end(quarter)

    def _values(
        self,
        features: list[torch.Tensor],
        image: torch.Tensor | None,
        size: tuple[int, int],
    ) -> torch.Tensor:
        quarter = -(-size[0] // COARSE), -(-size[1] // COARSE)
        eighth = -(-size[0] // (2 * COARSE)), -(-size[1] // (2 * COARSE))
        finest = max(
            (tuple(one.shape[2:]) for one in features), key=lambda grid: grid[0] * grid[1]
        )
        projected = [
            resized(project(_normed(norm, one)), finest)
            for one, norm, project in zip(features, self.norms, self.projects, strict=True)
        ]
        found = self.to_eighth(resized(self.fuse(sum(projected)), eighth))
        found = self.to_quarter(resized(found, quarter))
        if self.spec.colours:
            found = found + resized(self.stem(_given(image) - 0.5), quarter)
        return self._told(found, size)


class EncoderHead(_QuarterHead):
    """Ours: an image encoder of its own that has learnt from photographs before (encoder.py).

    The model's maps, each with a LayerNorm, are added to what the encoder sees at 1/32 of the
    image, place by place and averaged over all of it, as far as the head trusts them: a share in
    (0, 1) for the whole image, by what the encoder sees of it. Bilinear steps from coarse to fine,
    a convolution behind each, join the encoder's map of the next size; the log distance at 1/4 is
    brought to full size last.
    """

    floats = 200

    def __init__(self, spec: HeadSpec, in_widths: Sequence[int]):
        super().__init__(spec)
        coarsest, *finer = spec.widths
        cells = sorted(LEVELS, reverse=True)
        self.encoder = Encoder()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in in_widths)
        self.projects = nn.ModuleList(nn.Conv2d(width, coarsest, 1) for width in in_widths)
        self.levels = nn.ModuleList(
            nn.Conv2d(LEVELS[cell], width, 1)
            for cell, width in zip(cells, spec.widths, strict=True)
        )
        self.trust = nn.Linear(LEVELS[cells[0]], 1)
        nn.init.zeros_(self.trust.weight)
        nn.init.constant_(self.trust.bias, FIRST_TRUST)
        self.whole = nn.Linear(LEVELS[cells[0]] + sum(in_widths), coarsest)
        self.fuse = nn.Sequential(_Pair(coarsest), _Pair(coarsest))
        self.steps = nn.ModuleList(_conv(*pair) for pair in pairwise(spec.widths))
        self.refine = nn.ModuleList([*map(_Pair, finer[:-1]), nn.Identity()])  # join is the last
        self._end(finer[-1])

    def _values(
        self,
        features: list[torch.Tensor],
        image: torch.Tensor | None,
        size: tuple[int, int],
    ) -> torch.Tensor:
        seen = self.encoder(_given(image).contiguous(memory_format=torch.channels_last))
        coarsest, *finer = (seen[cell] for cell in sorted(LEVELS, reverse=True))
        whole = coarsest.mean((2, 3))
        trust = self.trust(whole).sigmoid()[:, :, None, None]
        normed = [
            trust * _normed(norm, one) for norm, one in zip(self.norms, features, strict=True)
        ]
        found = self.levels[0](coarsest)
        for one, project in zip(normed, self.projects, strict=True):
            found = found + resized(project(one), found.shape[2:])
        average = torch.cat([whole, *(maps.mean((2, 3)) for maps in normed)], 1)
        found = self.fuse(found + self.whole(average)[:, :, None, None])
        ways = zip(self.steps, self.levels[1:], self.refine, finer, strict=True)
        for step, level, refine, beside in ways:
            found = refine(F.gelu(step(resized(found, beside.shape[2:]))) + level(beside))
        return self._told(found, size)


HEADS: dict[str, Any] = {  # name -> a class of _Head, made of (spec, in_widths)
    "dpt": DptHead,
    "mlp": MlpHead,
    "light": LightHead,
    "encoder": EncoderHead,
}


def _blended(coarse: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) -> (B, C, COARSE h, COARSE w): each fine value a blend, by softmax of weights
    (B, NEIGHBOURS * COARSE**2, h, w), of the coarse ones around (RAFT, arXiv 2003.12039)."""
    count, channels, height, width = coarse.shape
    shares = weights.view(count, 1, NEIGHBOURS, COARSE, COARSE, height, width).softmax(2)
    around = F.unfold(F.pad(coarse, (1, 1, 1, 1), mode="replicate"), 3)
    around = around.view(count, channels, NEIGHBOURS, 1, 1, height, width)
    fine = (shares * around).sum(2)  # (B, C, COARSE, COARSE, h, w)
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(count, channels, COARSE * height, COARSE * width)


class _Pair(nn.Module):  # type: ignore[misc]
    """Two convolutions beside what they change."""

    def __init__(self, width: int):
        super().__init__()
        self.change = nn.Sequential(_conv(width, width), nn.GELU(), _conv(width, width))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps + self.change(maps)


def _conv(before: int, after: int) -> nn.Module:
    return nn.Conv2d(before, after, 3, padding=1, padding_mode="replicate")


def _halve(before: int, after: int) -> nn.Module:
    """A convolution to half the size; an even kernel, so that middles of cells stay in place."""
    return nn.Conv2d(before, after, 4, stride=2, padding=1, padding_mode="replicate")


def _normed(norm: nn.Module, maps: torch.Tensor) -> torch.Tensor:
    """(B, C, rows, columns), normalised over the channels of each place."""
    return norm(maps.movedim(1, -1)).movedim(-1, 1)


def _one_width(widths: Sequence[int]) -> int:
    if len(set(widths)) != 1:
        raise CheckpointError(f"this head takes maps of one width, its taps have {list(widths)}")
    return widths[0]


def _given(image: torch.Tensor | None) -> torch.Tensor:
    if image is None:
        raise InputError("this head needs the image too: give it beside the features")
    return image.float()
