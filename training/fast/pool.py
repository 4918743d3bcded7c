# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Images and distances on the device, and the views that training cuts out of them.

A view zoomed by k shows what a camera of k times the focal length would, so that at the focal
length which the model takes it for z is divided by k everywhere.
Knows nothing about questions or models.
"""

import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from depthlm_ros.errors import InputError, first_line
from depthlm_ros.models.memory import free_bytes
from training.fast.recipe import Recipe
from training.fast.render import CANVAS, STORED_PX

LARGEST_ZOOM = 1.3  # of images that are too small for a view; smaller ones only for want of others
STRETCH = 0.05  # of either axis, as snapping a view to whole tokens does
CENTRED = 0.5  # share of the views cut out of the middle
WHOLE = 0.5  # share of the views that show all of an image which the predictor snaps to their size
IMAGE_BYTES = CANVAS[0] * CANVAS[1] * 5  # three of colours, two of metres
LARGEST_SHARE = 0.5  # of the free memory, that a pool may take


def capacity_of(device, asked: int | None, most: int = 45_000) -> int:
    """How many images a pool holds on a torch device: those asked for, or by default `most` or as
    many as may be. Raises InputError for more than LARGEST_SHARE of the free memory."""
    free = free_bytes(device)
    fits = int(LARGEST_SHARE * free / IMAGE_BYTES)
    if asked and asked > fits:
        raise InputError(
            f"--capacity {asked} images take {asked * IMAGE_BYTES / 1e9:.1f} GB, and half of the"
            f" {free / 1e9:.1f} GB free on {device} may be taken: give at most {fits}"
        )
    return asked or min(fits, most)


class Pool:
    """`capacity` images at most. rows: source -> which of them. is_read: whether a file was."""

    def __init__(self, device, capacity):
        self.device = device
        self.images = torch.zeros((capacity, *CANVAS, 3), dtype=torch.uint8, device=device)
        self.metres = torch.zeros((capacity, *CANVAS), dtype=torch.float16, device=device)
        self.sizes = torch.zeros((capacity, 2), device=device)
        self.rows, self.count, self._read, self._is_full = {}, 0, set(), False

    @property
    def is_read(self) -> bool:
        return bool(self._read)

    def read(self, folder, most=1000) -> int:
        """Take up to `most` new chunks of a folder, of each source in turn, so that a full pool
        lacks none; how many images came. What is no whole chunk is told and left out, since a run
        by the clock does not wait for it."""
        new = [path for path in _in_turn(Path(folder).glob("*.npz")) if path not in self._read]
        return sum(self.add(path) for path in new[:most])

    def add(self, path) -> int:
        """Take one chunk; 0 where the pool is full, or it is no whole one."""
        self._read.add(path)
        try:
            with np.load(path) as chunk:
                names = ("image", "metres", "size", "source")
                image, metres, size, source = (chunk[name] for name in names)
            if image.shape[1:] != (*CANVAS, 3) or image.shape[:3] != (len(size), *CANVAS):
                raise ValueError(f"images of {image.shape}")
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            print(
                f"left out: {path} is no whole chunk of training.fast.render"
                f" ({first_line(error)}); delete it and render it again",
                flush=True,
            )
            return 0
        count = min(len(size), len(self.images) - self.count)
        if count < len(size) and not self._is_full:
            self._is_full = True
            print(f"left out: what is beyond the {len(self.images)} images that a pool holds here")
        here = slice(self.count, self.count + count)
        self.images[here] = torch.from_numpy(image[:count]).to(self.device)
        self.metres[here] = torch.from_numpy(metres[:count]).to(self.device)
        self.sizes[here] = torch.from_numpy(size[:count]).float().to(self.device)
        if not count:
            return 0
        source = str(source)
        self.rows.setdefault(source, []).extend(range(self.count, self.count + count))
        self.count += count
        return count

    def draw(self, count, weights, rng) -> torch.Tensor:
        """(count,) rows, by weight of their sources, on the device. rng: numpy's."""
        names = [name for name in self.rows if weights.get(name, 0) > 0]
        if not names:
            raise InputError(
                f"the pool holds images of {', '.join(self.rows)}, and this recipe learns from"
                f" {', '.join(name for name, share in weights.items() if share > 0)}: render some"
            )
        shares = np.array([weights[name] for name in names])
        which = rng.choice(len(names), count, p=shares / shares.sum())
        members = [self.rows[names[w]] for w in which]
        rows = np.array([m[int(r * len(m))] for m, r in zip(members, rng.random(count))])
        return torch.from_numpy(rows).to(self.device, non_blocking=True)


def _in_turn(paths) -> list:
    """Chunks by name, one of each source after the other."""
    turns = Counter()
    placed = []
    for path in sorted(paths):
        source = path.stem.rpartition("_")[0]
        placed.append((turns[source], path))
        turns[source] += 1
    return [path for _, path in sorted(placed)]


@dataclass
class Views:
    """A batch of views. images (B, 3, H, W) 0 to 1."""

    pool: Pool
    rows: torch.Tensor
    corner: torch.Tensor
    extent: torch.Tensor
    mirrored: torch.Tensor
    zoom: torch.Tensor
    images: torch.Tensor

    @property
    def size(self) -> tuple:
        """(height, width)."""
        return tuple(self.images.shape[2:])

    def log_metres(self, u, v) -> torch.Tensor:
        """(B, K) of view pixels (B, K); NaN where unknown."""
        height, width = self.size
        u = torch.where(self.mirrored[:, None], width - 1 - u, u)
        x = self.corner[:, 1:] + (u + 0.5) * self.extent[:, 1:] / width
        y = self.corner[:, :1] + (v + 0.5) * self.extent[:, :1] / height
        column = x.floor().long().clamp(0, CANVAS[1] - 1)
        row = y.floor().long().clamp(0, CANVAS[0] - 1)
        metres = self.pool.metres[self.rows[:, None], row, column].float()
        metres = metres * self._nearer(x, y)
        return torch.where(metres > 0, metres, torch.nan).log()

    def _nearer(self, x, y) -> torch.Tensor:
        """What the zoom makes of the distances at stored pixels (B, K), as a factor: 1 / zoom of
        z, less of the distance along a ray that leans, since it leans more then."""
        zoom, middle = self.zoom[:, None], self.pool.sizes[self.rows] / 2
        leans = ((x - middle[:, 1:]) ** 2 + (y - middle[:, :1]) ** 2) / STORED_PX**2
        return ((1 + zoom**2 * leans) / (1 + leans)).sqrt() / zoom


def cut(pool, candidates, count, size, focal_px, side, recipe: Recipe | None) -> Views:
    """`count` views of (height, width) out of those candidate rows that are large enough.

    side: of an image token, to whole ones of which the predictor snaps a view's sides. recipe:
    how they are zoomed; None for measuring: as the predictor would show it or else the middle, not
    zoomed, not mirrored.
    """
    device, base, plain = pool.device, STORED_PX / focal_px, recipe is None
    need = torch.tensor(size, device=device) * base
    least = (need / pool.sizes[candidates]).amax(1)
    first = (least > LARGEST_ZOOM).int().argsort(stable=True)[:count]
    rows, least = candidates[first], least[first]
    low, high, zoomed = (0, 0, 0) if recipe is None else (*np.log(recipe.zoom), recipe.zoomed)
    zoom = torch.exp(torch.empty(count, device=device).uniform_(low, high))
    chosen = torch.rand(count, device=device) < zoomed
    zoom = torch.maximum(torch.where(chosen, zoom, torch.ones_like(zoom)), least)
    stretch = torch.empty((count, 2), device=device).uniform_(1 - STRETCH, 1 + STRETCH)
    extent = need / zoom[:, None] * (1 if plain else stretch)
    extent = torch.minimum(extent, pool.sizes[rows])
    snapped = (pool.sizes[rows] / base / side).round() * side
    whole = (snapped == need / base).all(1) & (torch.rand(count, device=device) < WHOLE + plain)
    extent = torch.where(whole[:, None], pool.sizes[rows], extent)
    zoom = torch.where(whole, torch.ones_like(zoom), zoom)
    share = torch.rand((count, 2), device=device)
    middle = torch.rand((count, 1), device=device) < (1 if plain else CENTRED)
    corner = torch.where(middle, torch.full_like(share, 0.5), share) * (pool.sizes[rows] - extent)
    mirrored = torch.rand(count, device=device) < (0 if plain else 0.5)
    images = _sampled(pool.images[rows], corner, extent, mirrored, size)
    return Views(pool, rows, corner, extent, mirrored, zoom, images)


def _sampled(images, corner, extent, mirrored, size) -> torch.Tensor:
    """(B, 3, H, W) 0 to 1, each pixel the mean of four samples."""
    height, width = size
    steps = [(torch.arange(2 * n, device=images.device) + 0.5) / (2 * n) for n in size]
    y = corner[:, :1] + steps[0] * extent[:, :1]
    across = torch.where(mirrored[:, None], 1 - steps[1], steps[1])
    x = corner[:, 1:] + across * extent[:, 1:]
    x, y = 2 * x / CANVAS[1] - 1, 2 * y / CANVAS[0] - 1
    shape = (len(images), 2 * height, 2 * width)
    grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], -1)
    light = images.permute(0, 3, 1, 2).float() / 255
    found = F.grid_sample(light, grid, padding_mode="border", align_corners=False)
    return F.avg_pool2d(found, 2)


def another_look(images, recipe: Recipe) -> torch.Tensor:
    """Images (B, 3, H, W) in other light through another camera, as data/colours.py changes one;
    some of them grey, and hues turned."""
    count, device, much = len(images), images.device, recipe.light

    def draw(low, high, *shape):
        return torch.empty((count, *shape), device=device).uniform_(low, high)

    light = images.clamp(1e-4, 1) ** draw(0.7, 1.4, 1, 1, 1) ** much
    colour = torch.where(draw(0, 1, 1, 1) < recipe.grey, 0.0, draw(0.2, 1.5, 1, 1))
    grey = torch.tensor([0.299, 0.587, 0.114], device=device).expand(3, 3)
    eye = torch.eye(3, device=device)
    mix = colour * (eye + _turn(much * draw(-0.35, 0.35, 1, 1))) + (1 - colour) * grey
    gains = (draw(0.75, 1.25, 1, 1) * draw(0.9, 1.1, 3, 1)) ** much
    light = ((mix * gains) @ light.flatten(2)).view_as(light)
    light = _focused(light, much * draw(-0.9, 1.5, 1, 1, 1), draw(0.6, 1.5, 1))
    spread = much * draw(-0.3, 0.3, 1, 1, 1).clamp(min=0)
    knots = torch.randn((count, 1, 3, 4), device=device) * spread
    knots = (knots + torch.randn((count, 3, 3, 4), device=device) * spread / 4).exp()
    shade = F.interpolate(knots, images.shape[2:], mode="bicubic").clamp(0.2, 3)
    grain = torch.randn((count, 1, *images.shape[2:]), device=device) * draw(0, 0.02, 1, 1, 1)
    return (light * shade + grain).clamp(0, 1)


def _turn(angle) -> torch.Tensor:
    """(B, 3, 3): what a turn of the hue about grey by an angle adds to the identity."""
    device = angle.device
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=device) / 3**0.5
    flat = torch.full((3, 3), 1 / 3, device=device) - torch.eye(3, device=device)
    return angle.sin() * cross + (1 - angle.cos()) * flat


def _focused(light, amount, sigma) -> torch.Tensor:
    """Blurred (amount below zero) or sharpened."""
    count, channels, height, width = light.shape
    reach = torch.arange(-3, 4, device=light.device)
    kernel = (-(reach**2) / (2 * sigma**2)).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = light.reshape(1, count * channels, height, width)
    padded = F.pad(flat, (3, 3, 3, 3), mode="replicate")
    blurred = F.conv2d(padded, kernel[:, None, :, None], groups=count * channels)
    blurred = F.conv2d(blurred, kernel[:, None, None, :], groups=count * channels)
    return light + amount * (light - blurred.view_as(light))


def patches(images, patch, merge) -> torch.Tensor:
    """(B, N, 3 * 2 * patch * patch) as data/images.py makes them of whole bytes."""
    values = (images * 255).round() / 127.5 - 1
    count, _, height, width = values.shape
    side = patch * merge
    rows, columns = height // side, width // side
    tiles = values.view(count, 3, rows, merge, patch, columns, merge, patch)
    tiles = tiles.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(count, -1, 3, 1, patch * patch)
    return tiles.expand(-1, -1, 3, 2, -1).reshape(count, tiles.shape[1], -1)
