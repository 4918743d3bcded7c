# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Distances that follow from level ground, against a world in which every ray is followed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from training.tools.panoramas import __main__ as command
from training.tools.panoramas.grounds import COLUMNS, ROWS, Ground, read_grounds
from training.tools.panoramas.views import Look

HEIGHT = 1.7
SIDES = 12.0, 7.0, 9.0, 20.0  # walls of a square: right, behind, left, ahead; metres
TOP = 4.0  # of the walls above the camera


def rays():
    """(512, 1024, 3) unit: x right, y down, z to the middle of the panorama."""
    around = (np.arange(COLUMNS) + 0.5) / COLUMNS * 2 * np.pi - np.pi
    down = ((np.arange(ROWS) + 0.5) / ROWS - 0.5) * np.pi
    around, down = np.meshgrid(around, down)
    return np.stack(
        [np.sin(around) * np.cos(down), np.sin(down), np.cos(around) * np.cos(down)], axis=-1
    )


def to_the_walls(x, z):
    """How often a vector fits before the nearest wall that it points to."""
    right, behind, left, ahead = SIDES
    with np.errstate(divide="ignore"):
        across = np.where(x > 0, right / x, -left / x)
        along = np.where(z > 0, ahead / z, -behind / z)
    return np.minimum(across, along)


def followed():
    """(512, 1024) metres to what each ray meets first: the ground, or a wall up to its top."""
    x, y, z = np.moveaxis(rays(), -1, 0)
    ground = np.where(y > 0, HEIGHT / y, np.inf)
    wall = to_the_walls(x, z)
    wall = np.where(wall * -y > TOP, np.inf, wall)  # over it
    found = np.minimum(wall, ground)
    return np.where(np.isfinite(found), found, 0)


def walls():
    """Of that square as somebody marks them who sees where they end."""
    x, _, z = np.moveaxis(rays()[ROWS // 2], -1, 0)
    away = np.hypot(x, z) * to_the_walls(x, z)
    foot, top = (
        ROWS / 2 + np.degrees(np.arctan2(height, away)) * ROWS / 180 for height in (HEIGHT, -TOP)
    )
    return list(zip(np.arange(COLUMNS) + 0.5, foot, top))


def test_the_ground_and_the_walls_of_a_square():
    found, true = Ground(walls(), height_m=HEIGHT).distances(), followed()
    assert found.shape == (ROWS, COLUMNS) and found.dtype == np.float32
    same = (found > 0) == (true > 0)
    assert same.mean() > 0.995  # but for the pixels of the skyline
    known = (found > 0) & (true > 0)
    assert np.abs(found / np.where(true > 0, true, 1) - 1)[known].max() < 0.01


def test_what_stands_before_the_walls():
    plain = Ground(walls(), height_m=HEIGHT).distances()
    pillar = Ground(walls(), objects=[(100, 110, 340, 200)], height_m=HEIGHT).distances()
    changed = pillar != plain
    assert changed[200:340, 100:110].all()
    changed[200:340, 100:110] = False
    assert not changed.any()
    away = HEIGHT / np.tan(np.radians((340 - 256) * 180 / 512))
    assert pillar[256, 105] == pytest.approx(away, rel=1e-3)  # at the camera's height
    assert pillar[339, 105] == pytest.approx(plain[340, 105], rel=0.01), "not on the ground"


def test_what_is_not_known():
    ground = Ground(walls(), objects=[(100, 110, 340, 200)], unknown=[(90, 120, 190, 400)])
    assert not ground.distances()[190:400, 90:120].any()
    assert ground.distances()[401, 100] > 0


def test_twice_as_high_is_twice_as_far():
    low, high = (Ground(walls(), height_m=metres).distances() for metres in (1.0, 2.0))
    assert np.allclose(high, 2 * low)


def test_a_jump_between_two_walls():
    found = Ground([(0, 300, 100), (512, 300, 100), (512, 280, 100), (1024, 280, 100)])
    at = found.distances()[256]
    assert len(set(at[:511])) == 1 and len(set(at[513:])) == 1 and at[600] > 1.5 * at[400]


def test_the_views_of_a_marked_panorama(tmp_path, capsys):
    image = np.random.default_rng(1).integers(30, 220, (16, 32, 3)).astype(np.uint8)
    path = tmp_path / "square_1k.png"
    Image.fromarray(image).resize((1024, 512), Image.BILINEAR).save(path)
    marks = {"square": {"walls": walls(), "height_m": HEIGHT}, "another": {"walls": walls()}}
    (tmp_path / "grounds.json").write_text(json.dumps(marks))
    out = tmp_path / "out"
    given = ["--grounds", str(tmp_path / "grounds.json"), "--out", str(out), "--views", "3"]
    command.main([str(path), *given])
    assert "wrote 3 records" in capsys.readouterr().out
    right, behind, left, ahead = SIDES
    for number, record in enumerate(Records(out / "train.jsonl")):
        look = Look.drawn(np.random.default_rng([*b"square_1k", number]))
        metres = record.depth_map_as("distance")
        v, u = np.nonzero(np.nan_to_num(metres))
        assert len(v) > 0.3 * metres.size
        seen = record.camera.rays(np.stack([u, v], axis=1).astype(float))
        x, y, z = look.turn @ seen.T * metres[v, u]
        planes = np.stack([y - HEIGHT, x - right, x + left, z - ahead, z + behind])
        off = np.abs(planes).min(axis=0) / metres[v, u]
        assert off.max() < 0.01  # a pixel of the panorama is 0.006 rad


def test_the_bundled_grounds_are_sound():
    grounds = read_grounds(Path(command.__file__).parent / "grounds.json")
    assert len(grounds) >= 30
    for name, ground in grounds.items():
        known = ground.distances()
        assert known.shape == (ROWS, COLUMNS), name
        assert 0.2 < (known[ROWS // 2 :] > 0).mean() <= 1, name
        assert known[known > 0].min() > 1.0, name


@pytest.mark.parametrize(
    "change, match",
    [
        ({"walls": []}, "square.walls is"),
        # the foot above the horizon
        ({"walls": [(0, 250, 100)]}, r"square.walls\[0\]\[1\] is 250"),
        ({"walls": [(9, 300, 100), (3, 300, 100)]}, "must ascend"),
        ({"height_m": 0}, "square.height_m is 0"),
        ({"wall": []}, "square.wall is unknown: did you mean walls"),
    ],
)
def test_grounds_that_cannot_be(tmp_path, change, match):
    path = tmp_path / "grounds.json"
    path.write_text(json.dumps({"square": {"walls": walls(), **change}}))
    with pytest.raises(InputError, match=match):
        read_grounds(path)


def test_files_that_hold_no_grounds(tmp_path):
    with pytest.raises(InputError, match="none.json"):
        read_grounds(tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(InputError, match="broken.json cannot be read"):
        read_grounds(broken)
