# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Scanned things: read at their true size, and shown from an arm's distance."""

import json
import shutil

import cv2
import numpy as np
import pytest

from depthlm_ros.errors import InputError
from training import synthetic
from training.scenes import near, things
from training.scenes.assets.__main__ import build, main
from training.scenes.furnished.library import Library
from training.scenes.furnished.views import furnished_shot

CAN = """mtllib textured.mtl
usemtl material_0
vn 0 0 1
vt 0 0
vt 1 1
v 0.1 0.2 0.00
v 0.16 0.2 0.00
v 0.1 0.3 0.00
v 0.13 0.25 0.12
f 1/1/1 3/2/1 2/1/1
f 1/1/1 2/2/1 4/1/1
f 2/1/1 3/2/1 4/1/1
f 3/1/1 1/2/1 4/1/1
"""


def scan(folder, text=CAN):
    """A thing of 0.06 by 0.1 by 0.12 m, red, as a scanner writes it."""
    folder.mkdir(parents=True)
    (folder / "textured.obj").write_text(text)
    (folder / "textured.mtl").write_text("newmtl material_0\nmap_Kd texture_map.png\n")
    red = np.full((1024, 1024, 3), (0, 0, 255), np.uint8)
    cv2.imwrite(str(folder / "texture_map.png"), red)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory, sh3f):
    """Assets of the small library and of one scan."""
    folder = tmp_path_factory.mktemp("scanned")
    scan(folder / "ycb" / "red_can")
    build([sh3f(folder / "few.sh3f")], folder / "built", scanned=[folder / "ycb"])
    return folder / "built"


def test_a_scan_keeps_its_metres_its_upright_axis_and_its_image(scanned):
    known = Library(scanned, False)
    (number,) = known.roles["scan"]
    low, high = known.piece(number).extent()
    np.testing.assert_allclose(high - low, [0.06, 0.1, 0.12], atol=1e-6)
    tip = known.piece(number).corners.reshape(-1, 3)
    tip = tip[np.argmax(tip[:, 2])]  # whose x is in the middle
    np.testing.assert_allclose(tip, [0, 0.05, 0.12], atol=1e-6)
    row = known.models[number]
    assert (row["name"], row["size"]) == ("red can", pytest.approx([0.06, 0.1, 0.12]))
    (texture,) = row["textures"]
    assert known.texels.width[texture, 0] == 512
    assert known.texels.rgba[known.texels.first[texture, 0]].tolist() == [255, 0, 0, 255]


def test_scans_are_shown_in_no_other_world(scanned, assets):
    known = Library(scanned, False)
    rows = json.loads((assets / "models.json").read_text())["models"]
    assert known.models[: len(rows)] == rows
    others = set().union(*(known.roles[role] for role in known.roles if role != "scan"))
    assert others.isdisjoint(known.roles["scan"])
    with_scans, without = (furnished_shot(folder, 7).frame.image for folder in (scanned, assets))
    np.testing.assert_array_equal(with_scans, without)


def test_images_show_things_from_nearby_and_are_functions_of_their_number(scanned):
    shots = [things.things_shot(scanned, seed) for seed in (3, 40)]
    for shot in shots:
        assert shot.kind in ("things_on_a_table", "things_on_the_floor")
        assert near.is_near(shot.distance_m)
    again = synthetic.drawer("things", scanned)(40)
    assert np.array_equal(again.frame.image, shots[1].frame.image)
    other = synthetic.drawer("things", scanned)(40, "heldout")
    assert not np.array_equal(other.frame.image, again.frame.image)


@pytest.mark.parametrize("seed", range(6))
def test_things_stand_on_what_is_under_them_and_cameras_look_at_them(scanned, seed):
    rng = np.random.default_rng(seed)
    known = Library(scanned, False)
    _, made = things.laid_out(rng, known)
    (number,) = known.roles["scan"]
    material = known.piece(number).material[0]
    shown = [piece for piece in made.pieces if (piece.material == material).any()]
    feet = [piece.extent()[0][2] for piece in shown]
    assert shown and np.ptp(feet) < 1e-4
    assert feet[0] == pytest.approx(0, abs=1e-4) or 0.6 <= feet[0] <= 0.95
    middles = np.array([np.add(*piece.extent()) / 2 for piece in shown])
    away = np.abs(middles[:, None] - np.array(made.targets)[None]).sum(2).min(1)
    assert away.max() < 1e-6  # each is looked at, cartons beside them too
    assert np.hypot(*(made.close - made.targets[0])[:2]) < 2


def test_a_thing_on_its_side_is_as_large_and_looks_outwards(scanned):
    known = Library(scanned, False)
    piece = known.piece(known.roles["scan"][0])
    tipped = piece.tipped()
    low, high = tipped.extent()
    np.testing.assert_allclose(high - low, [0.06, 0.12, 0.1], atol=1e-6)
    assert low[2] == pytest.approx(0, abs=1e-7)

    def volume(corners):
        return np.einsum("fd,fd->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum()

    assert volume(tipped.corners) == pytest.approx(volume(piece.corners), rel=1e-4)
    np.testing.assert_array_equal(tipped.normals[..., 2], piece.normals[..., 1])


def test_folders_without_scans_and_assets_without_them_are_refused(tmp_path, assets, sh3f, capsys):
    with pytest.raises(InputError, match="textured.obj"):
        build([sh3f(tmp_path / "few.sh3f")], tmp_path / "out", scanned=[tmp_path])
    with pytest.raises(InputError, match="--scans"):
        things.things_shot(assets, 1)
    scan(tmp_path / "bad" / "empty", "v 0 0 0\n")
    command = ["--from", str(tmp_path / "few.sh3f"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="no triangle"):
        main([*command, "--scans", str(tmp_path / "bad")])
    shutil.rmtree(tmp_path / "bad")
    scan(tmp_path / "good" / "can")
    main([*command, "--scans", str(tmp_path / "good")])
    assert "good" in capsys.readouterr().out
