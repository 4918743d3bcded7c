# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A scene with a known answer: a slanted floor-to-ceiling plane, and a box before it.

Cast by hand, with nothing of the package, so that a reader that is tested on it is not compared
with itself. Optical frame: x right, y down, z forward; metres.
"""

import json

import numpy as np

from depthlm_ros.data.records import Records
from training.curate.__main__ import main

PLANE = np.array([0.35, -0.2, 1.0]), 5.0  # normal (not unit) and normal . point
BOX = np.array([-0.9, -0.5, 2.0]), np.array([0.1, 0.4, 2.6])  # two corners


def cast(width, height, fx, fy, cx, cy, far=1.0):
    """(H, W, 3) the point that each pixel of a pinhole sees; pixels are counted from 0, in
    centres. far: moves the plane away, times."""
    rows, columns = np.indices((height, width), dtype=np.float64)
    rays = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones_like(rows)], axis=-1)
    z = far * PLANE[1] / (rays @ PLANE[0])
    with np.errstate(divide="ignore"):
        first, second = (corner / rays for corner in BOX)
    enter = np.minimum(first, second).max(axis=-1)
    leave = np.maximum(first, second).min(axis=-1)
    z = np.where(enter <= leave, np.minimum(z, enter), z)
    return rays * z[..., None]


def wall(width, height, fx, fy, cx, cy, z=3.0):
    """(H, W, 3) points of a wall across the optical axis: its z is one number, its distances
    grow towards the corners."""
    rows, columns = np.indices((height, width), dtype=np.float64)
    rays = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones_like(rows)], axis=-1)
    return rays * z


def painted(width, height):
    """(H, W, 3) uint8: red grows with the column, green with the row."""
    rows, columns = np.indices((height, width))
    red, green = columns * 255 // (width - 1), rows * 255 // (height - 1)
    return np.stack([red, green, np.full_like(red, 60)], axis=-1).astype(np.uint8)


def points_of(sample):
    """(H, W, 3) the points that a Sample with a depth map tells of."""
    height, width = sample.depth.shape
    rows, columns = np.indices((height, width))
    rays = sample.camera.rays(np.stack([columns.ravel(), rows.ravel()], axis=1))
    scale = rays[:, 2:] if sample.kind == "z" else 1.0
    points = rays / scale * sample.depth.astype(np.float64).reshape(-1, 1)
    return points.reshape(height, width, 3)


def assert_true(sample, points, step_m=0.001):
    """The points of the sample are the true ones to a step, and their pixels to half a pixel."""
    known = np.isfinite(sample.depth)
    assert known.mean() > 0.5
    error = np.linalg.norm(points_of(sample) - points, axis=-1)[known]
    assert error.max() < step_m
    rows, columns = np.nonzero(known)
    off = sample.camera.pixels(points[known]) - np.stack([columns, rows], axis=1)
    assert np.abs(off).max() < 0.5


def curated(name, root, out, *more):
    """(manifest, records) of the command that users type."""
    main([name, "--root", str(root), "--out", str(out), "--workers", "1", *more])
    return json.loads((out / "manifest.json").read_text()), Records(str(out / "*.jsonl"))


def assert_labels(record, points, step_m=0.001):
    """The labels of a record are the true metres of its kind at its pixels."""
    u, v = np.round(record.pixels).astype(int).T
    truth = points[v, u]
    metres = truth[:, 2] if record.kind == "z" else np.linalg.norm(truth, axis=1)
    assert len(metres) == 100
    assert np.abs(record.label_m - metres).max() < step_m
    assert np.abs(record.camera.pixels(truth) - record.pixels).max() < 0.5
