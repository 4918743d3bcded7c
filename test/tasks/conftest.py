# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records and pairs on disk whose geometry is known by construction."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.data.pairs import Pairs
from depthlm_ros.data.records import Records

INTRINSICS = [110.0, 120.0, 66.0, 47.0, 130, 100]
WORDING = {"marker": "tags", "coordinates": "tags", "position": "number"}


@pytest.fixture
def row():
    return Checkpoint("t", "", "qwen3_vl", 100.0, "marker", "position", WORDING, marker_scale=2)


@pytest.fixture
def points():
    """(N, 3) metres in the optical frame, all on the image."""
    rng = np.random.default_rng(4)
    z = rng.uniform(1, 6, 12)
    return np.stack([z * rng.uniform(-0.35, 0.35, 12), z * rng.uniform(-0.25, 0.25, 12), z], 1)


def projected(points):
    fx, fy, cx, cy, _, _ = INTRINSICS
    return points[:, :2] / points[:, 2:] * (fx, fy) + (cx, cy)


def turned(yaw, pitch, roll):
    """The rotation of degrees about y, then the new x, then the new z, by OpenCV."""
    axes = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    turns = [cv2.Rodrigues(a * np.radians(t))[0] for a, t in zip(axes, (yaw, pitch, roll))]
    return turns[0] @ turns[1] @ turns[2]


def noise(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (100, 130, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def records(tmp_path, points):
    """Two records of the points, labels along the axis and along the ray."""
    noise(tmp_path / "a.png", 0)
    pixels = projected(points).tolist()
    common = {"image": "a.png", "intrinsics": INTRINSICS, "pixel_coords": pixels}
    labels = {"z": points[:, 2], "distance": np.linalg.norm(points, axis=1)}
    lines = [{**common, "kind": kind, "depth": label.tolist()} for kind, label in labels.items()]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return Records(tmp_path / "r.jsonl")


@pytest.fixture
def pose():
    """(4, 4) second_from_first: turned to the right and up, moved left and forward."""
    made = np.eye(4)
    made[:3, :3] = turned(20, 5, -8).T
    made[:3, 3] = made[:3, :3] @ -np.array([-0.6, 0.05, 0.8])
    return made


@pytest.fixture
def pairs(tmp_path, points, pose):
    """A metric pair and one without scale."""
    noise(tmp_path / "a.png", 0)
    noise(tmp_path / "b.png", 1)
    there = points @ pose[:3, :3].T + pose[:3, 3]
    pixels = projected(there)
    seen = ((pixels > 0) & (pixels < (129, 99))).all(axis=1)
    matches = np.concatenate([projected(points), pixels], axis=1)[seen]
    line = {
        "images": ["a.png", "b.png"],
        "intrinsics": [INTRINSICS, INTRINSICS],
        "second_from_first": pose.tolist(),
        "matches": matches.tolist(),
    }
    lines = [line, {**line, "metric": False}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return Pairs(tmp_path / "p.jsonl")
