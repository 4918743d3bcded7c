# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Answers drawn onto their picture, and the colours of distances.

Knows arrays of pixels and metres; knows nothing about models, predictors or ROS.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from depthlm_ros.camera import as_pixels

# Near is warm, far is cold.
_HEX = ["c41e18", "f36e1e", "fac832", "b0eb42", "38d68c", "26aae1", "4260d7", "3a2474"]
_COLOURS = np.array([list(bytes.fromhex(colour)) for colour in _HEX], np.float64)
_UNKNOWN = (150, 150, 150)
_LABELLED = 12  # up to so many pixels have their metres beside them, of more about so many


def distance_limits(metres) -> tuple:
    """(near, far) on the ladder 1, 2, 5, 10 ... metres around the known ones of metres (N,).

    Round numbers: they label the legend, and the colours of a video seldom change.
    """
    metres = np.asarray(metres, np.float64)
    metres = metres[np.isfinite(metres) & (metres > 0)]
    if not len(metres):
        return 1.0, 10.0
    ladder = np.array([s * 10.0**p for p in range(-3, 6) for s in (1, 2, 5)])
    near = np.searchsorted(ladder, metres.min(), side="right") - 1
    far = np.searchsorted(ladder, metres.max(), side="left")
    near, far = np.clip([near, max(far, near + 1)], 0, len(ladder) - 1)
    return float(ladder[near]), float(ladder[far])


def distance_colours(metres, limits) -> np.ndarray:
    """(..., 3) uint8 for metres (...), even in their logarithm; grey where NaN."""
    metres = np.asarray(metres, np.float64)
    known = np.isfinite(metres) & (metres > 0)
    near, far = np.log(limits)
    place = (np.log(np.where(known, metres, 1.0)) - near) / (far - near) * (len(_COLOURS) - 1)
    stops = np.arange(len(_COLOURS))
    colours = np.stack([np.interp(place, stops, channel) for channel in _COLOURS.T], axis=-1)
    return np.where(known[..., None], colours, _UNKNOWN).round().astype(np.uint8)


def labelled(size, pixels, metres) -> list:
    """Rows of pixels (N, 2) that get their metres (N,) written on a picture of size (H, W).

    All of few; of many, known ones that lie well apart.
    """
    if len(pixels) <= _LABELLED:
        return list(range(len(pixels)))
    apart = np.sqrt(size[0] * size[1] / _LABELLED)
    rows, left = [], np.isfinite(metres)
    while left.any():
        rows.append(int(left.argmax()))
        left &= np.abs(pixels - pixels[rows[-1]]).max(axis=1) >= apart
    return rows


def overlay(image, pixels, metres) -> np.ndarray:
    """A copy of the picture (H, W, 3) with a disc at each of pixels (N, 2).

    Discs are coloured by metres (N,), grey where unknown; pixels off the picture are left out. A
    legend says what the colours mean. Few pixels have their metres beside them, of many some.
    """
    height, width = image.shape[:2]
    pixels, metres = as_pixels(pixels), np.asarray(metres, np.float64)
    inside = (pixels > -0.5).all(axis=1) & (pixels < (width - 0.5, height - 0.5)).all(axis=1)
    pixels, metres = pixels[inside], metres[inside]
    limits = distance_limits(metres)
    radius = _radius(image, len(pixels))
    drawn = _with_discs(image, pixels, distance_colours(metres, limits), radius)
    return _with_text(drawn, pixels, metres, limits, radius)


def _radius(image, count) -> float:
    """A quarter of the mean gap between pixels, within what can be seen and what hides little."""
    height, width = image.shape[:2]
    gap = np.sqrt(height * width / max(count, 1))
    return float(np.clip(gap / 4, 1.5, max(height / 60, 2)))


def _with_discs(image, pixels, colours, radius) -> np.ndarray:
    """A copy with smooth discs that have a dark rim."""
    du, dv, rim, disc = _stamp(radius)
    edge = int(du.max())  # a border around the picture takes what of a disc leaves it
    canvas = np.pad(image, ((edge, edge), (edge, edge), (0, 0)))
    u, v = pixels.round().astype(int).T + edge
    places = (v * canvas.shape[1] + u)[:, None] + (dv * canvas.shape[1] + du)  # (N, K)
    flat = canvas.reshape(-1, 3)
    mixed = flat.take(places, axis=0) * (1 - rim)
    mixed += disc * colours[:, None].astype(np.float32)
    flat[places] = mixed
    return canvas[edge:-edge, edge:-edge].copy()


def _stamp(radius):
    """Offsets (K,) of a disc's pixels, the shares (K, 1) of disc and rim and of the disc alone."""
    reach = int(radius + 2)
    dv, du = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    away = np.hypot(du, dv).astype(np.float32)
    rim = np.clip(radius + 1.5 - away, 0, 1)
    disc = np.clip(radius + 0.5 - away, 0, 1)
    used = rim > 0
    return du[used], dv[used], rim[used, None], disc[used, None]


def _with_text(image, pixels, metres, limits, radius) -> np.ndarray:
    """With the legend, and the metres beside some pixels."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    font = text_font(max(image.shape[0] // 32, 10))
    for row in labelled(image.shape[:2], pixels, metres):
        (u, v), value = pixels[row], metres[row]
        text = f"{value:.2f} m" if np.isfinite(value) else "?"
        left = u > 0.85 * picture.width  # no room on the right
        place = (u - radius - 4 if left else u + radius + 4, v)
        _write(draw, place, text, font, "rm" if left else "lm")
    _legend(picture, draw, limits, font)
    return np.array(picture)


def _legend(picture, draw, limits, font) -> None:
    """A bar from near to far in the bottom left corner."""
    height = max(picture.height // 40, 6)
    width, left, top = picture.width // 4, height, picture.height - 2 * height
    bar = distance_colours(np.geomspace(*limits, width), limits)
    picture.paste(Image.fromarray(np.tile(bar, (height, 1, 1))), (left, top))
    _write(draw, (left, top - 2), f"{limits[0]:g} m", font, "ls")
    _write(draw, (left + width, top - 2), f"{limits[1]:g} m", font, "rs")


def _write(draw, place, text, font, anchor) -> None:
    """White with a dark edge; old bitmap fonts know neither anchor nor edge."""
    if isinstance(font, ImageFont.FreeTypeFont):
        draw.text(place, text, "white", font, anchor, stroke_width=2, stroke_fill="black")
    else:
        draw.text((place[0], place[1] - 12), text, "white", font)


def text_font(size):
    """Pillow's own font, `size` pixels high where it can be scaled."""
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1
        return ImageFont.load_default()
