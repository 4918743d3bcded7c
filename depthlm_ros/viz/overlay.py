# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Answers drawn onto their image, and the colours of distances."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from depthlm_ros.camera import as_pixels

_UNKNOWN = (150, 150, 150)
_RIM = (30, 30, 30)
_LABELLED = 12  # up to this many pixels have their metres beside them, of more about as many
_GAP = 5  # pixels between two; nearer ones would be discs over each other
_STRIPE = 6  # pixels, across, of what marks uncertain parts of a tinted image
_SHIFT = 4  # cv2 takes centres and radii in 1/16 of a pixel


def distance_limits(metres) -> tuple[float, float]:
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


def distance_colours(metres, limits: tuple[float, float]) -> np.ndarray:
    """(..., 3) uint8 RGB for metres (...): Turbo, red at limits[0], violet at limits[1].

    Equal ratios are equal steps; grey where unknown.
    """
    import cv2

    metres = np.asarray(metres, np.float64)
    known = np.isfinite(metres) & (metres > 0)
    near, far = np.log(limits)
    place = (far - np.log(np.where(known, metres, 1.0))) / (far - near)  # 1 is near
    levels = np.rint(255 * np.clip(place, 0, 1)).astype(np.uint8)
    ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_TURBO)
    ramp = ramp.reshape(256, 3)[:, ::-1]  # BGR
    return np.where(known[..., None], ramp[levels], np.uint8(_UNKNOWN))


def labelled(size: tuple[int, int], pixels, metres) -> list[int]:
    """Indexes of the pixels (N, 2) whose metres (N,) are written on an image of size (H, W).

    All of few; of many, known ones that lie well apart.
    """
    if len(pixels) <= _LABELLED:
        return list(range(len(pixels)))
    apart = np.sqrt(size[0] * size[1] / _LABELLED)
    chosen, left = [], np.flatnonzero(np.isfinite(metres))
    u, v = pixels.T
    while len(left):
        first = int(left[0])
        chosen.append(first)
        left = left[(np.abs(u[left] - u[first]) >= apart) | (np.abs(v[left] - v[first]) >= apart)]
    return chosen


def overlay(image: np.ndarray, pixels, metres, uncertain=None) -> np.ndarray:
    """A copy of the image (H, W, 3) uint8 with a disc at each of pixels (N, 2).

    Discs are coloured by metres (N,), grey where unknown, and have a grey collar where uncertain
    (N,), None: nowhere; pixels outside the image are left out. A legend tells what the colours
    mean. Few pixels have their metres beside them, of many some, with a question mark where
    uncertain; of so many that discs would cover the image, the image itself is tinted, with grey
    stripes where uncertain.
    """
    height, width = image.shape[:2]
    pixels, metres = as_pixels(pixels), np.asarray(metres, np.float64)
    unsure = np.zeros(len(pixels), bool) if uncertain is None else np.asarray(uncertain, bool)
    u, v = pixels.T
    inside = (u > -0.5) & (v > -0.5) & (u < width - 0.5) & (v < height - 0.5)
    pixels, metres, unsure = pixels[inside], metres[inside], unsure[inside]
    limits = distance_limits(metres)
    colours = distance_colours(metres, limits)
    gap = _gap((height, width), pixels)
    # A quarter of the gap, large enough to be seen and to hide little.
    radius = float(np.clip(gap / 4, 1.5, max(height / 60, 2)))
    if gap < _GAP:
        striped = unsure & (np.rint(pixels).sum(axis=1) // _STRIPE % 2 == 0)
        colours = np.where(striped[:, None], np.uint8(_UNKNOWN), colours)
        drawn = _tinted(image, pixels, colours, int(np.ceil(gap / 2)))
    else:
        drawn = _with_discs(image, pixels, colours, radius, unsure)
    return _with_text(drawn, pixels, metres, limits, radius, unsure)


def _gap(size: tuple[int, int], pixels) -> float:
    """Mean pixels from one of pixels (N, 2) to the next: of many in the part of the image (H, W)
    that they fill, of few as if they were spread over all of it."""
    area = np.ptp(pixels, axis=0) + 1 if len(pixels) > _LABELLED else np.array(size)
    return float(np.sqrt(area.prod() / max(len(pixels), 1)))


def _tinted(image, pixels, colours, reach) -> np.ndarray:
    """A copy whose colours are half those of the nearest pixels, up to `reach` away."""
    height, width = image.shape[:2]
    nearest, (u, v) = (
        np.full((height, width), len(pixels), np.int32),
        np.rint(pixels).astype(int).T,
    )
    for away in sorted(np.ndindex(2 * reach + 1, 2 * reach + 1), key=lambda a: -_far(a, reach)):
        row, column = v + away[0] - reach, u + away[1] - reach
        places = np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1)
        nearest.ravel()[places] = np.arange(len(pixels))
    paint = np.take(np.concatenate([colours, colours[:1]]), nearest, axis=0)
    paint = np.where((nearest < len(pixels))[..., None], paint, image)
    return image // 2 + paint // 2


def _far(away, reach) -> int:
    return max(abs(step - reach) for step in away)


def _with_discs(image, pixels, colours, radius, unsure) -> np.ndarray:
    """A copy with a smooth disc with a dark rim at each pixel."""
    import cv2

    drawn = np.ascontiguousarray(image).copy()
    centres = np.rint(pixels * 2**_SHIFT).astype(int).tolist()
    outer, inner, core = (round(r * 2**_SHIFT) for r in (radius + 1, radius, radius / 2))

    def disc(centre, size, colour):
        cv2.circle(drawn, centre, size, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)

    for centre, colour, collar in zip(centres, colours.tolist(), unsure, strict=True):
        disc(centre, outer, _RIM)
        if collar:
            disc(centre, inner, _UNKNOWN)
        disc(centre, core if collar else inner, colour)
    return drawn


def _with_text(image, pixels, metres, limits, radius, unsure) -> np.ndarray:
    """With the legend, and the metres beside some pixels."""
    drawn = Image.fromarray(image)
    draw = ImageDraw.Draw(drawn)
    size = max(image.shape[0] // 32, 10)
    font = text_font(size)
    for index in labelled(image.shape[:2], pixels, metres):
        (u, v), value = pixels[index], metres[index]
        v = min(max(v, size / 2 + 2), drawn.height - size / 2 - 2)  # all of the text inside
        text = f"{value:.2f} m{' ?' if unsure[index] else ''}" if np.isfinite(value) else "?"
        left = u > 0.85 * drawn.width  # no room on the right
        place = (u - radius - 4 if left else u + radius + 4, v)
        _write(draw, place, text, font, "rm" if left else "lm")
    _legend(drawn, draw, limits, font)
    return np.array(drawn)


def _legend(drawn, draw, limits, font) -> None:
    """A bar from near to far in the bottom left corner."""
    height = max(drawn.height // 40, 6)
    width, left, top = drawn.width // 4, height, drawn.height - 2 * height
    bar = distance_colours(np.geomspace(*limits, width), limits)
    drawn.paste(Image.fromarray(np.tile(bar, (height, 1, 1))), (left, top))
    _write(draw, (left, top - 2), f"{limits[0]:g} m", font, "ls")
    _write(draw, (left + width, top - 2), f"{limits[1]:g} m", font, "rs")


def _write(draw, place, text, font, anchor) -> None:
    """White with a dark edge; old bitmap fonts know neither anchor nor edge."""
    if isinstance(font, ImageFont.FreeTypeFont):
        draw.text(place, text, "white", font, anchor, stroke_width=2, stroke_fill="black")
    else:
        draw.text((place[0], place[1] - 12), text, "white", font)


def text_font(size: int):
    """Pillow's own font, `size` pixels high where it can be scaled."""
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1
        return ImageFont.load_default()
