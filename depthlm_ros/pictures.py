# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Answers as pictures: overlay, cloud picture, PLY.

Knows arrays of pixels, metres and points; knows nothing about models, predictors or ROS.
Only the cloud picture imports matplotlib.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from depthlm_ros.camera import as_pixels
from depthlm_ros.errors import MissingDependency

# Near is warm, far is cold.
_HEX = ["c41e18", "f36e1e", "fac832", "b0eb42", "38d68c", "26aae1", "4260d7", "3a2474"]
_COLOURS = np.array([list(bytes.fromhex(colour)) for colour in _HEX], np.float64)
_UNKNOWN = (150, 150, 150)
_GROUND, _INK = "#14181f", "#c8d0dc"
_PLY = [(axis, "float", "<f4") for axis in "xyz"]
_PLY += [(channel, "uchar", "u1") for channel in ("red", "green", "blue")]
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


def write_ply(path, points, colours) -> int:
    """Write points (..., 3) metres with colours (..., 3) uint8 as binary PLY; returns how many.

    Points with a NaN are left out.
    """
    points, colours = np.reshape(points, (-1, 3)), np.reshape(colours, (-1, 3))
    known = np.isfinite(points).all(axis=1)
    vertices = np.empty(known.sum(), [(name, form) for name, _, form in _PLY])
    for i in range(3):
        vertices[_PLY[i][0]] = points[known, i]
        vertices[_PLY[i + 3][0]] = colours[known, i]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {kind} {name}" for name, kind, _ in _PLY]
    with open(path, "wb") as file:
        file.write("\n".join([*header, "end_header", ""]).encode("ascii"))
        file.write(vertices.tobytes())
    return len(vertices)


def cloud_picture(path, points, colours) -> None:
    """Write a picture of organised points (rows, columns, 3) metres with colours uint8.

    Left: seen from above and beside the camera; right: the plan, coloured by distance. Patches
    join neighbours unless they lie at different depths. Raises MissingDependency.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            "the cloud picture needs matplotlib: pip install matplotlib"
        ) from error
    figure = Figure(figsize=(12.8, 6.4), facecolor=_GROUND, layout="constrained")
    FigureCanvasAgg(figure)
    side, plan = figure.subplots(1, 2)
    _draw_side(side, np.asarray(points, np.float64), np.asarray(colours) / 255)
    _draw_plan(plan, np.asarray(points, np.float64).reshape(-1, 3))
    figure.savefig(path, dpi=100)


def _patches(points, colours):
    """Corners (M, 4, 3) and colours (M, 3) of the patches between neighbours of one surface."""
    corners = [(slice(None, -1), slice(None, -1)), (slice(None, -1), slice(1, None))]
    corners += [(slice(1, None), slice(1, None)), (slice(1, None), slice(None, -1))]
    quads = np.stack([points[c] for c in corners], axis=2).reshape(-1, 4, 3)
    paint = np.mean([colours[c] for c in corners], axis=0).reshape(-1, 3)
    away = np.linalg.norm(quads, axis=2)
    with np.errstate(invalid="ignore"):
        joined = away.max(axis=1) < 1.3 * away.min(axis=1)  # False where a corner is NaN
    return quads[joined], paint[joined]


def _seen(points, eye, target):
    """Points (..., 3) seen from eye towards target: x right, y up (perspective), and depth."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, -1.0, 0.0))
    right /= np.linalg.norm(right)
    moved = (points - eye) @ np.stack([right, np.cross(right, forward), forward], axis=1)
    depth = np.maximum(moved[..., 2], 1e-3)
    return moved[..., :2] / depth[..., None], depth


def _draw_side(axes, points, colours) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    axes.set_axis_off()
    axes.set_aspect("equal")
    is_known = np.isfinite(points).all(axis=2)
    if not is_known.any():
        return
    far = np.quantile(points[is_known][:, 2], 0.9)
    eye, target = np.array([-0.6, -0.45, -0.55]) * far, np.array([0.0, 0.1, 0.6]) * far
    quads, paint = _patches(points, colours)
    outline, depth = _seen(quads, eye, target)
    order = np.argsort(-depth.mean(axis=1))
    axes.add_collection(
        PolyCollection(outline[order], facecolors=paint[order], edgecolors=paint[order], lw=0.6)
    )
    dots, _ = _seen(points[is_known], eye, target)  # below the patches: seen where none is
    axes.scatter(*dots.T, s=8, c=colours[is_known], linewidths=0, zorder=0)
    axes.add_collection(LineCollection(_seen(_frustum(points, far), eye, target)[0], colors=_INK))
    axes.autoscale_view()


def _frustum(points, far):
    """The four edges and the mouth (8, 2, 3) of a little camera at the origin."""
    corners = points[[0, 0, -1, -1], [0, -1, -1, 0]]
    corners = corners / corners[:, 2:] * 0.08 * far
    edges = np.stack([np.zeros((4, 3)), corners], axis=1)
    return np.concatenate([edges, np.stack([corners, np.roll(corners, 1, axis=0)], axis=1)])


def _draw_plan(axes, points) -> None:
    known = points[np.isfinite(points).all(axis=1)]
    away = np.linalg.norm(known, axis=1)
    near, far = distance_limits(away)
    turn = np.linspace(-np.pi / 4, np.pi / 4, 60)
    for radius in np.linspace(0, far, 6)[1:]:
        if radius < 1.3 * away.max(initial=far / 5):
            axes.plot(radius * np.sin(turn), radius * np.cos(turn), color=_INK, lw=0.5, alpha=0.5)
    axes.scatter(known[:, 0], known[:, 2], s=9, c=distance_colours(away, (near, far)) / 255)
    axes.plot(0, 0, marker="^", color=_INK, ms=9)
    axes.set(facecolor=_GROUND, aspect="equal")
    axes.set_xlabel("x, right [m]", color=_INK)
    axes.set_ylabel("z, forward [m]", color=_INK)
    axes.tick_params(colors=_INK)
    axes.spines[:].set_visible(False)
