# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Patterns with true periods: tiles, bricks, planks, house fronts.

A texture is a pure function (u, v, fu, fv, scale, salt) -> (mix, shade), all (P,): u, v are
metres on the face, fu, fv how many metres of it one pixel covers, scale the pattern's own
length in metres, salt an integer per solid. mix says how much of the surface's second colour
shows, shade how bright it is. A pattern fades to its mean where a pixel covers its period.
"""

import numpy as np

BRICK_M = (0.225, 0.075)
STOREY_M = 3.0
_SIZE = 512


def _noise_table() -> np.ndarray:
    """A tileable sum of smooth octaves, (512, 512) float32, mean 0, about -1 to 1."""
    rng = np.random.default_rng(7)
    total = np.zeros((_SIZE, _SIZE), np.float32)
    frequency = np.fft.fftfreq(_SIZE)[:, None] ** 2 + np.fft.fftfreq(_SIZE)[None] ** 2
    spectrum = np.fft.fft2(rng.normal(size=(_SIZE, _SIZE))) / (frequency + 1e-5) ** 0.55
    spectrum[0, 0] = 0
    total = np.fft.ifft2(spectrum).real
    return (total / (2 * total.std())).astype(np.float32)


_NOISE = _noise_table()
_HASH = np.random.default_rng(8).random(4096).astype(np.float32)


def _noise(u, v, texel_m, salt):
    """The noise table laid over the face, texel_m metres to a texel."""
    row = (v * (1 / texel_m)).astype(np.int32) + salt * 37
    column = (u * (1 / texel_m)).astype(np.int32) + salt * 101
    return _NOISE[row & (_SIZE - 1), column & (_SIZE - 1)]


def _hash(i, j, salt):
    """A number in [0, 1) for each integer cell (i, j)."""
    return _HASH[(i.astype(np.int32) * 73 + j.astype(np.int32) * 1021 + salt * 7) & 4095]


def _line(x, period, width, footprint):
    """Share of the pixel that a line takes, one line `width` wide around each multiple."""
    away = np.abs(x - np.round(x / period) * period)
    share = np.clip((width / 2 - away) / footprint + 0.5, 0, 1)
    far = np.clip(2 * footprint / period - 0.5, 0, 1)
    narrow = np.minimum(1, width / footprint)
    return share * narrow * (1 - far) + far * (width / period)


def _fade(period, *footprints):
    """1 where a pattern of this period is well resolved, 0 where it is not at all."""
    return np.clip(1.5 - 1.5 * np.maximum(*footprints) / period, 0, 1)


def _grid(u, v, fu, fv, wide, high, gap):
    """Joints of a grid of wide x high cells: the share of the pixel that is joint."""
    across, along = _line(u, wide, gap, fu), _line(v, high, gap, fv)
    return across + along - across * along


def plain(u, v, fu, fv, scale, salt):
    return np.zeros_like(u), 1 + 0.04 * _noise(u, v, 0.01, salt)


def tiles(u, v, fu, fv, scale, salt):
    tone = _hash(np.floor(u / scale), np.floor(v / scale), salt) - 0.5
    shade = 1 + 0.12 * tone * _fade(scale, fu, fv) + 0.03 * _noise(u, v, 0.004, salt)
    return _grid(u, v, fu, fv, scale, scale, 0.012), shade


def bricks(u, v, fu, fv, scale, salt):
    wide, high = BRICK_M
    row = np.floor(v / high)
    u = u + (row % 2) * (wide / 2)
    tone = _hash(np.floor(u / wide), row, salt) - 0.5
    return _grid(u, v, fu, fv, wide, high, 0.01), 1 + 0.3 * tone * _fade(high, fu, fv)


def planks(u, v, fu, fv, scale, salt):
    row = np.floor(v / scale)
    u = u + _hash(row, row, salt) * 1.2
    tone = _hash(np.floor(u / 1.2), row, salt) - 0.5
    grain = _noise(u * 0.15, v, 0.004, salt) * _fade(0.05, fu, fv)
    shade = 1 + 0.25 * tone * _fade(scale, fu, fv) + 0.07 * grain
    return 0.7 * _grid(u, v, fu, fv, 1.2, scale, 0.005), shade


def stripes(u, v, fu, fv, scale, salt):
    return _line(u, scale, scale / 2, fu), 1 + 0.03 * _noise(u, v, 0.01, salt)


def checker(u, v, fu, fv, scale, salt):
    odd = (np.floor(u / scale) + np.floor(v / scale)) % 2
    return 0.5 + (odd - 0.5) * _fade(scale, fu, fv), 1 + 0.03 * _noise(u, v, 0.01, salt)


def mottle(u, v, fu, fv, scale, salt):
    return np.clip(0.5 + 0.6 * _noise(u, v, scale / 100, salt), 0, 1), np.ones_like(u)


def books(u, v, fu, fv, scale, salt):
    column = np.floor(u / 0.035)
    tall = v < scale * (0.72 + 0.25 * _hash(column, column, salt))
    seam = 1 - 0.6 * _line(u, 0.035, 0.006, fu)
    mix = 0.5 + (_hash(column, column, salt + 3) - 0.5) * _fade(0.07, fu, fv)
    tone = 0.6 + 0.8 * _hash(column, column, salt + 5)
    return mix, np.where(tall, seam * tone, 0.25)


def picture(u, v, fu, fv, scale, salt):
    mix = np.clip(0.5 + 0.9 * _noise(u, v, 0.006, salt), 0, 1)
    return mix, 0.9 + 0.5 * _noise(v, u, 0.004, salt + 1) + 0.2 * (v > 0.3)


def facade(u, v, fu, fv, scale, salt):
    """Bricks or plaster with windows 1.1 m wide, 0.9 to 2.3 m above each storey's floor."""
    up = v - np.floor(v / STOREY_M) * STOREY_M
    side = np.abs(u - (np.floor(u / scale) + 0.5) * scale)
    inside = np.minimum(0.55 - side, np.minimum(up - 0.9, 2.3 - up))
    step = np.maximum(fu, fv)
    glass = np.clip(inside / step + 0.5, 0, 1)
    frame = np.clip((0.08 - np.abs(inside)) / step + 0.5, 0, 1)
    bars = np.maximum(_line(side, 10.0, 0.06, fu), _line(up - 1.6, 100.0, 0.05, fv))
    joint, tone = bricks(u, v, fu, fv, scale, salt)
    wall = np.where(salt % 2 == 0, tone * (1 + 0.35 * joint), 1 + 0.05 * _noise(u, v, 0.02, salt))
    frame = np.maximum(frame, glass * bars)
    return glass * (1 - frame), wall * (1 - frame) + 1.5 * frame


def rough(u, v, fu, fv, scale, salt):
    fine = _noise(u, v, 0.004, salt) * _fade(0.15, fu, fv)
    return np.zeros_like(u), 1 + 0.15 * fine + 0.1 * _noise(u, v, 0.03, salt)
