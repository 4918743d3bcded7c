# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A library of furniture as Sweet Home 3D's are, small enough to write in a test."""

import platform
import zipfile

import cv2
import numpy as np
import pytest

from training.scenes.assets.__main__ import build

# embreex has wheels for this machine only; what needs no rays is tested everywhere.
collect_ignore = [] if platform.machine() == "x86_64" else ["test_furnished.py"]


def corners_of(low, high, names):
    """OBJ text of boxes between corners, y up; each with its material, texture and normals."""
    lines = ["mtllib thing.mtl", "vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1"]
    for a, b, name in zip(low, high, names, strict=True):
        lines += [
            f"v {x} {y} {z}" for x in (a[0], b[0]) for y in (a[1], b[1]) for z in (a[2], b[2])
        ]
        sides = ("1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4")
        lines.append(f"usemtl {name}")
        for side in sides:
            corners = (f"{int(i) - 9}/{j}" for j, i in enumerate(side.split(), 1))
            lines.append("f " + " ".join(corners))
    return "\n".join(lines)


THINGS = [  # name, category, width, depth, height in cm, boxes (low, high, material)
    ("Table", "Living room", 100, 60, 75, [((0, 0, 0), (9, 8, 5), "wood")]),
    ("Oak table", "Living room", 120, 80, 72, [((0, 0, 0), (1, 1, 1), "wood")]),
    *(
        (
            f"Chair {i}",
            "Office",
            45,
            50 + i,
            90,
            [((0, 0, 0), (1, 1, 2), "red"), ((0, 1, 0), (1, 2, 0.2), "red")],
        )
        for i in range(4)
    ),
    (
        "Window",
        "Doors and windows",
        100,
        12,
        120,
        [((0, 0, 0), (1, 0.1, 0.1), "red"), ((0, 0.1, 0), (1, 1, 0.1), "pane")],
    ),
    ("Cup", "Kitchen", 8, 8, 10, [((0, 0, 0), (1, 1, 1), "red")]),
]
MATERIALS = """newmtl wood
Kd 1 1 1
map_Kd wood.png
newmtl red
Kd 1 0 0
newmtl pane
d 0.5
"""


def write_sh3f(path, licence="Public domain"):
    """A small Sweet Home 3D library: tables, chairs, a window, a cup."""
    rows = [f"license={licence}"]
    wood = np.zeros((300, 600, 3), np.uint8)
    wood[:, :300, 0] = 255
    with zipfile.ZipFile(path, "w") as file:
        for i, (name, category, wide, deep, high, parts) in enumerate(THINGS, 1):
            entry = {
                "id": f"{path.stem}#{i}",
                "name": name,
                "category": category,
                "model": f"/m{i}/thing.obj",
                "width": wide,
                "depth": deep,
                "height": high,
                "movable": "true",
                "creator": "A. Joiner",
            }
            rows += [f"{key}#{i}={value}" for key, value in entry.items()]
            file.writestr(f"m{i}/thing.obj", corners_of(*zip(*parts, strict=True)))
            file.writestr(f"m{i}/thing.mtl", MATERIALS)
            file.writestr(f"m{i}/wood.png", cv2.imencode(".png", wood)[1].tobytes())
        file.writestr("PluginFurnitureCatalog.properties", "\n".join(rows))
    return path


@pytest.fixture(scope="session")
def sh3f():
    """(path, licence) -> path: writes the small library."""
    return write_sh3f


@pytest.fixture(scope="session")
def assets(tmp_path_factory):
    """The folder that training.scenes.assets makes of the small library."""
    folder = tmp_path_factory.mktemp("assets")
    build([write_sh3f(folder / "few.sh3f")], folder / "built")
    return folder / "built"
