# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Surfaces drawn at random: tiles, planks, carpet, brick, concrete, pictures for the wall.

Each function returns (H, W, 4) uint8 RGBA and the metres that a repeat shows. Knows nothing
about rooms.
"""

import cv2
import numpy as np

EARTH = np.array(
    [
        [0.62, 0.42, 0.25],
        [0.45, 0.28, 0.16],
        [0.75, 0.58, 0.38],
        [0.5, 0.5, 0.5],
        [0.8, 0.77, 0.7],
        [0.35, 0.35, 0.38],
        [0.6, 0.55, 0.48],
        [0.3, 0.2, 0.13],
    ]
)


def _image(rgb):
    """RGBA of sRGB values 0..1."""
    opaque = np.ones((*rgb.shape[:2], 1))
    return np.round(255 * np.concatenate([np.clip(rgb, 0, 1), opaque], 2)).astype(np.uint8)


def _clouds(rng, size, cell, strength):
    """Noise (size, size, 1) around 1 that repeats."""
    small = rng.normal(1, strength, (max(2, size // cell),) * 2).astype(np.float32)
    wide = cv2.resize(
        np.pad(small, 1, mode="wrap"), (size + 2 * cell,) * 2, interpolation=cv2.INTER_LINEAR
    )
    return wide[cell:-cell, cell:-cell][:size, :size, None]


def tone(rng, low=0.15, high=0.9, vivid=0.3):
    """An sRGB colour (3,)."""
    grey = rng.uniform(low, high)
    return np.clip(grey * (1 + vivid * rng.normal(0, 0.5, 3)), 0.02, 1)


def earthy(rng):
    """Wood, stone and lino colours."""
    base = EARTH[rng.integers(len(EARTH))]
    return np.clip(base * rng.uniform(0.75, 1.2) * rng.normal(1, 0.05, 3), 0.03, 0.97)


def tiles(rng):
    """Square or oblong tiles with joints."""
    count, colour = int(rng.choice([1, 2, 4])), tone(rng, 0.3, 0.95, 0.12)
    if rng.random() < 0.4:
        colour = earthy(rng)
    each = np.repeat(
        np.repeat(rng.normal(1, rng.uniform(0.01, 0.08), (count, count)), 128 // count, 0),
        128 // count,
        1,
    )[..., None]
    if count % 2 == 0 and rng.random() < 0.2:
        board = np.indices((count, count)).sum(0) % 2
        each = each * np.kron(1 - 0.6 * board, np.ones((128 // count,) * 2))[..., None]
    rgb = colour * each * _clouds(rng, 128, 16, 0.03)
    joint = np.arange(128) % (128 // count) < max(1, round(1.6 / count))
    rgb[joint] = rgb[:, joint] = colour * rng.choice([0.55, 0.8, 1.15])
    return _image(rgb), count * rng.choice([0.1, 0.15, 0.2, 0.3, 0.33, 0.45, 0.6])


def planks(rng):
    """Boards of 0.08-0.2 m with grain."""
    colour, count, size = earthy(rng), int(rng.choice([6, 8, 12])), 192
    each = rng.normal(1, rng.uniform(0.03, 0.12), count)
    across = np.arange(size) * count // size
    grain = cv2.blur(rng.normal(1, 0.25, (size, size)).astype(np.float32), (1, 31))
    rgb = colour * (each[across][None] * grain)[..., None]
    seam = np.diff(across, prepend=-1) > 0
    rgb[:, seam] *= 0.6
    for board in range(count):
        row = rng.integers(size)
        rgb[row, across == board] *= 0.6
    return _image(rgb if rng.random() < 0.5 else rgb.swapaxes(0, 1)), count * rng.uniform(
        0.08, 0.2
    )


def carpet(rng):
    """Speckled carpet, lino or terrazzo."""
    colour = tone(rng, 0.15, 0.7, 0.5) if rng.random() < 0.5 else earthy(rng)
    speckle = rng.normal(1, rng.uniform(0.03, 0.3), (128, 128, 1))
    return _image(colour * speckle * _clouds(rng, 128, 32, 0.04)), rng.uniform(0.5, 1.5)


def brick(rng):
    """Bricks or blocks in running bond."""
    rgb = np.empty((128, 192, 3))
    colour, joint = (
        (
            tone(rng, 0.4, 0.95, 0.1)
            if rng.random() < 0.5
            else np.array([0.6, 0.33, 0.25]) * rng.uniform(0.7, 1.3)
        ),
        tone(rng, 0.4, 0.8, 0.1),
    )
    for row in range(8):
        for column in range(3):
            shade = rng.normal(1, 0.1)
            columns = (np.arange(column * 64, column * 64 + 64) + 32 * (row % 2)) % 192
            rgb[row * 16 : row * 16 + 16, columns] = colour * shade
            rgb[row * 16 : row * 16 + 16, columns[:2]] = joint
        rgb[row * 16 : row * 16 + 2] = joint
    return _image(rgb * rng.normal(1, 0.05, (128, 192, 1))), rng.choice([0.72, 0.72, 1.2])


def plaster(rng):
    """Paint with a little unevenness."""
    colour = tone(rng, 0.6, 0.97, 0.07) if rng.random() < 0.85 else tone(rng, 0.3, 0.85, 0.35)
    grain = rng.normal(1, rng.uniform(0, 0.012), (128, 128, 1))
    return _image(colour * grain * _clouds(rng, 128, 32, rng.uniform(0, 0.03))), 1.5


def concrete(rng):
    """Stained grey."""
    colour = tone(rng, 0.3, 0.7, 0.06)
    return _image(colour * _clouds(rng, 192, 48, 0.1) * _clouds(rng, 192, 6, 0.05)), 3.0


def wallpaper(rng):
    """Stripes or a small figure."""
    first, second = tone(rng, 0.4, 0.9, 0.3), tone(rng, 0.4, 0.9, 0.3)
    x, y = np.meshgrid(np.arange(128), np.arange(128))
    wave = 2 * np.pi / 128 * rng.choice([2, 4, 8])
    mix = (
        (np.sin(wave * x) > 0)
        if rng.random() < 0.4
        else (np.sin(wave * x) * np.sin(wave * y) > rng.uniform(0.2, 0.7))
    )
    mix = cv2.GaussianBlur(mix.astype(np.float32), (0, 0), 0.8)[..., None]
    return _image(first + (second - first) * mix), rng.uniform(0.4, 1.0)


def panels(rng):
    """A suspended ceiling of 0.6 m panels."""
    rgb = np.full((128, 128, 3), rng.uniform(0.75, 0.95)) * rng.normal(1, 0.04, (128, 128, 1))
    rgb[:2] = rgb[:, :2] = rng.choice([0.5, 1.0])
    return _image(rgb), 0.6


def art(rng, size=96):
    """Something for a frame: blobs, bars or lines of text; metres have no meaning for it."""
    rgb = np.broadcast_to(tone(rng, 0.2, 1, 0.5), (size, size, 3)).copy()
    if rng.random() < 0.35:
        rgb[:] = rng.uniform(0.85, 1)
        for row in range(8, size - 8, int(rng.integers(4, 9))):
            rgb[row : row + 2, 8 : int(rng.uniform(0.3, 0.95) * size)] = rng.uniform(0, 0.4)
    else:
        for _ in range(rng.integers(3, 14)):
            colour = tuple(float(c) for c in tone(rng, 0.05, 1, 0.8))
            a, b = (tuple(int(c) for c in rng.integers(0, size, 2)) for _ in range(2))
            if rng.random() < 0.5:
                cv2.circle(rgb, a, int(rng.integers(3, size // 3)), colour, -1, cv2.LINE_AA)
            else:
                cv2.rectangle(rgb, a, b, colour, -1)
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.5, 4))
    return _image(rgb), 1.0


def outside(rng, size=128):
    """What a window shows: sky, a horizon of trees or houses, ground; bright."""
    line = int(size * rng.uniform(0.3, 0.7))
    rgb = np.linspace([0.75, 0.85, 1], [1, 1, 1], size)[:, None] * np.ones((1, size, 1))
    rgb[line:] = tone(rng, 0.4, 0.8, 0.3)
    for _ in range(rng.integers(2, 9)):
        x, w, h = rng.integers(size), rng.integers(8, 50), rng.integers(5, 50)
        green = np.array([0.3, 0.45, 0.2]) * rng.uniform(0.6, 1.4)
        rgb[max(0, line - h) : line + 6, x : x + w] = green if rng.random() < 0.6 else tone(rng)
    return _image(cv2.GaussianBlur(rgb, (0, 0), rng.uniform(1, 4))), 1.0
