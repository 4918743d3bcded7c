# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Point clouds as files: PLY, and an image of the cloud."""

from os import PathLike

import numpy as np

from depthlm_ros.data.whole import whole_file
from depthlm_ros.errors import MissingDependency
from depthlm_ros.viz.overlay import distance_colours, distance_limits

_GROUND, _INK = "#14181f", "#c8d0dc"
_PLY = [(axis, "float", "<f4") for axis in "xyz"]
_PLY += [(channel, "uchar", "u1") for channel in ("red", "green", "blue")]


def write_ply(path: str | PathLike, points, colours) -> int:
    """Write points (..., 3) metres with colours (..., 3) uint8 as binary PLY; returns how many.

    Points with a NaN are left out. By hand: a header and one array, which a library (open3d,
    trimesh) would not shorten.
    """
    points, colours = np.reshape(points, (-1, 3)), np.reshape(colours, (-1, 3))
    known = np.isfinite(points).all(axis=1)
    vertices = np.empty(known.sum(), [(name, form) for name, _, form in _PLY])
    for i in range(3):
        vertices[_PLY[i][0]] = points[known, i]
        vertices[_PLY[i + 3][0]] = colours[known, i]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {kind} {name}" for name, kind, _ in _PLY]
    with whole_file(path) as part, open(part, "wb") as file:
        file.write("\n".join([*header, "end_header", ""]).encode("ascii"))
        file.write(vertices.tobytes())
    return len(vertices)


def cloud_image(path: str | PathLike, points, colours) -> None:
    """Write an image of organised points (rows, columns, 3) metres with colours uint8.

    Left: seen from above and beside the camera; right: the plan, coloured by distance. Patches
    join neighbours unless they lie at different distances. Raises MissingDependency.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            "the image of the cloud needs matplotlib: pip install matplotlib"
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
    """Points (..., 3) seen from eye towards target: x right, y up (perspective), and z.

    By hand: with mplot3d the two matplotlibs of a robot (apt and pip) fail to import.
    """
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, -1.0, 0.0))
    right /= np.linalg.norm(right)
    moved = (points - eye) @ np.stack([right, np.cross(right, forward), forward], axis=1)
    z = np.maximum(moved[..., 2], 1e-3)
    return moved[..., :2] / z[..., None], z


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
    outline, z = _seen(quads, eye, target)
    order = np.argsort(-z.mean(axis=1))
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
