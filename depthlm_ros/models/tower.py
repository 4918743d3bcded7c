# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The vision part's layers: images of one size -> what the language model is given of them.

The weights and modules are transformers' own; the loop is ours, because theirs reads sizes back
from the device in every layer and attends window by window and image by image. Here all images of
a pass lie side by side, and equal windows of all of them are one call: the 88 windows that
Qwen2.5-VL cuts a usual view into are of four sizes. Where patches stand depends on the grid alone:
it is worked out once for a grid and kept on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention

from depthlm_ros.models import compat
from depthlm_ros.models.compat import VisionBlock
from depthlm_ros.models.listeners import is_heard, tell
from depthlm_ros.models.positions import signed, turn
from depthlm_ros.models.vision import ImageTensors, stock_order, windows_of

GRIDS = 8  # whose layouts are kept


class Seen(NamedTuple):
    """What the language model is given of images.

    features: (tokens, width), image by image.
    deeper: one more (tokens, width) for each of the language model's first layers, added to its
        states behind it (DeepStack, arXiv 2406.04334); none but in Qwen3-VL.
    """

    features: torch.Tensor
    deeper: list[torch.Tensor]


class Windows(NamedTuple):
    """Equal windows behind each other: the number of an image, and the tokens of each."""

    number: int
    length: int


class Layout(NamedTuple):
    """Where the patches of one image stand.

    order: (tokens,), which image token comes at each place, equal windows behind each other; None
        where there are no windows and nothing moves.
    windows: in this order; all of the image is one where there are none.
    angles: cosines and signed sines, each (tokens, patches of one, 1, 1, head), in raster order.
    taps, shares: (patches, 4) learned positions that are mixed for a patch, and how much of each;
        None in models without.
    """

    order: torch.Tensor | None
    windows: list[Windows]
    angles: list[torch.Tensor]
    taps: torch.Tensor | None
    shares: torch.Tensor | None


class Tower:
    """The vision part of a model without its head. merge: patches of an image token along an
    axis."""

    def __init__(self, base: torch.nn.Module, merge: int):
        self._part = compat.vision_part(base)
        self._merge = merge
        self._layout = lru_cache(maxsize=GRIDS)(self._made_layout)

    def see(self, images: ImageTensors) -> Seen:
        """What is seen of all images; nothing is read back from the device."""
        part = self._part
        layout = self.layout(images)
        states = part.embed(images.tensors)
        count, own = len(states), self._merge**2
        if part.positions is not None:
            states = states + self._positions(layout).to(states.dtype)
        states, angles = states.flatten(0, 1), layout.angles
        order = _order_of_all(layout, count)
        if order is not None:
            states = states.unflatten(0, (-1, own))[order].flatten(0, 1)
            angles = [angle[order % len(angle)] for angle in angles]
        elif count > 1:
            angles = [angle.repeat(count, 1, 1, 1, 1) for angle in angles]
        if not part.exact:
            angles = [angle.to(states.dtype) for angle in angles]
        angles = [angle.flatten(0, 1) for angle in angles]
        windows = [Windows(w.number, w.length * own) for w in layout.windows]
        deeper = []
        for index, block in enumerate(part.blocks):
            states = _layer(block, states, angles, windows, count, index in part.full)
            if is_heard(block.whole):
                tell(block.whole, self._as_theirs(states, order, images.grid, count))
            if index in part.deeper:
                deeper.append(part.deeper[index](states))
        features = [part.merge(states), *deeper]
        if order is not None:
            back = order.argsort()
            features = [each[back] for each in features]
        return Seen(features[0], features[1:])

    def layout(self, images: ImageTensors) -> Layout:
        """Where the patches of each of the images stand."""
        return self._layout(images.grid, images.device)

    def _as_theirs(
        self, states: torch.Tensor, order: torch.Tensor | None, grid: tuple[int, int], count: int
    ) -> torch.Tensor:
        """States (patches of all images, width) in the order of transformers' own loop."""
        if order is None:
            return states
        theirs = stock_order(*grid, self._part.window).to(order.device)
        starts = torch.arange(count, device=order.device)[:, None] * len(theirs)
        wanted = order.argsort()[(starts + theirs).flatten()]
        return states.unflatten(0, (-1, self._merge**2))[wanted].flatten(0, 1)

    def _positions(self, layout: Layout) -> torch.Tensor:
        """(patches, width): the learned positions of one image."""
        assert self._part.positions is not None and layout.shares is not None
        return (self._part.positions(layout.taps) * layout.shares[:, :, None]).sum(1)

    def _made_layout(self, grid: tuple[int, int], device: torch.device) -> Layout:
        part, own = self._part, self._merge**2
        rows, columns = grid
        order, windows = None, [Windows(1, rows * columns)]
        if part.window:
            order, windows = window_order(grid, part.window)
        places = _places(grid, self._merge)
        half = torch.cat([places[:, axis, None] * part.frequencies[axis] for axis in (0, 1)], 1)
        both = torch.cat([half, half], 1)[:, None, None]
        angles = [each.unflatten(0, (-1, own)) for each in (both.cos(), signed(both.sin()))]
        taps = shares = None
        if part.positions is not None:
            side = int(part.positions.weight.shape[0] ** 0.5)
            taps, shares = _mixed(places, [length * self._merge for length in grid], side)
        moved = [None if t is None else t.to(device) for t in (order, *angles, taps, shares)]
        return Layout(moved[0], windows, moved[1:3], *moved[3:])


def window_order(grid: tuple[int, int], side: int) -> tuple[torch.Tensor, list[Windows]]:
    """(order (tokens,), Windows in it) of an image of (rows, columns) tokens cut into windows of
    `side` x `side` from its top left corner; those at right and bottom may be smaller."""
    found: dict[int, list[torch.Tensor]] = {}
    for window in windows_of(*grid, side):
        found.setdefault(len(window), []).append(window)
    order = torch.cat([torch.cat(equal) for equal in found.values()])
    return order, [Windows(len(equal), length) for length, equal in found.items()]


def _order_of_all(layout: Layout, count: int) -> torch.Tensor | None:
    """(tokens of all images,): as an image's own order, equal windows of all images together."""
    if layout.order is None or count == 1:
        return layout.order
    starts = torch.arange(count, device=layout.order.device)[:, None] * len(layout.order)
    sizes = [windows.number * windows.length for windows in layout.windows]
    return torch.cat([(part + starts).flatten() for part in layout.order.split(sizes)])


def _layer(
    block: VisionBlock,
    states: torch.Tensor,
    angles: Sequence[torch.Tensor],
    windows: Sequence[Windows],
    count: int,
    full: bool,
) -> torch.Tensor:
    """States (patches of all images, width) behind one layer."""
    heads = block.heads(block.attention_norm(states))
    turn(heads.narrow(1, 0, 2), angles)
    look = _look_at_all if full else _look_in_windows
    found = look(heads, windows, count, block.scaling)
    states = states + block.output(found.flatten(1))
    return states + block.mlp(block.mlp_norm(states))


def _look_in_windows(
    heads: torch.Tensor, windows: Sequence[Windows], count: int, scale: float
) -> torch.Tensor:
    """What patches find in their windows: one call for all windows of a size. heads: queries, keys
    and values (T, 3, heads, width)."""
    parts = heads.split([count * of.number * of.length for of in windows])
    found = [
        _attended(part.unflatten(0, (-1, of.length)), scale).flatten(0, 1)
        for part, of in zip(parts, windows, strict=True)
    ]
    return torch.cat(found) if len(found) > 1 else found[0]


def _look_at_all(
    heads: torch.Tensor, windows: Sequence[Windows], count: int, scale: float
) -> torch.Tensor:
    """What patches find in their whole image: one call for all images. heads: as above."""
    if count == 1 or len(windows) == 1:
        return _attended(heads.unflatten(0, (count, -1)), scale).flatten(0, 1)
    sizes = [of.number * of.length for of in windows]
    parts = heads.split([count * size for size in sizes])
    found = _attended(torch.cat([p.unflatten(0, (count, -1)) for p in parts], 1), scale)
    return torch.cat([part.flatten(0, 1) for part in found.split(sizes, 1)])


def _attended(heads: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention of queries, keys and values (B, L, 3, heads, width), each batch in itself."""
    queries, keys, values = heads.permute(2, 0, 3, 1, 4).unbind()
    return scaled_dot_product_attention(queries, keys, values, scale=scale).transpose(1, 2)


def _places(grid: tuple[int, int], merge: int) -> torch.Tensor:
    """(patches, 2) row and column of each patch, a token's patches behind each other."""
    sides = [torch.arange(length * merge).view(length, merge) for length in grid]
    rows, columns = sides[0][:, None, :, None], sides[1][None, :, None]
    shape = grid[0], grid[1], merge, merge
    return torch.stack([each.expand(shape).flatten() for each in (rows, columns)], 1)


def _mixed(
    places: torch.Tensor, lengths: Sequence[int], side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(taps, shares), each (patches, 4): the learned positions of a square of `side` around each
    place, corners on corners, and their shares by bilinear interpolation."""
    taps, shares = [], []
    for axis, length in enumerate(lengths):
        at = places[:, axis].float() * (side - 1) / max(length - 1, 1)
        low = at.floor()
        both = torch.stack([low, low + 1], 1)
        taps.append(both.long().clamp(max=side - 1))
        shares.append(1 - (at[:, None] - both).abs())
    square = taps[0][:, :, None] * side + taps[1][:, None]
    return square.flatten(1), (shares[0][:, :, None] * shares[1][:, None]).flatten(1)
