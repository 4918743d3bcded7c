# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The rendered world: its distances against geometry, its files against what was written."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training import synthetic
from training.data import shards
from training.scenes import exhibits
from training.scenes.boxes import camera_work, furniture, places, solids, surfaces, textures
from training.scenes.boxes.camera_work import render
from training.scenes.boxes.floor import Place
from training.scenes.boxes.outdoors import person
from training.scenes.boxes.parts import ball, box, extent, placed, tube
from training.scenes.boxes.rooms import room
from training.scenes.boxes.solids import Pose, Solids, Surface, first_hits, ray_planes

ROOT = Path(__file__).parents[2]
GREY = Surface(textures.plain, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CAMERA = Camera(80, 60, 60.0, 60.6, 39.0, 30.0)
FLOOR = box(0, 0, -0.1, 200, 200, 0.1, GREY)


def seen(parts, pose, camera=CAMERA):
    """Distances, indices and rays of parts seen by a camera."""
    rays = ray_planes(camera, pose)
    return *first_hits(Solids.of(parts), camera, pose, rays), rays


def test_distance_of_a_floor_is_height_over_the_rays_descent():
    pose = Pose.looking((0, 0, 1.4), yaw=0.3, pitch=-0.9, roll=0.05)
    distance, index, rays = seen([FLOOR], pose)
    assert (index == 0).all()
    np.testing.assert_allclose(distance, 1.4 / -rays[2], rtol=1e-5)


def test_distance_is_along_the_ray_and_not_z():
    """A wall 3 m ahead is 3 m of z everywhere, and farther along the ray at the corners."""
    distance, _, _ = seen([box(3.5, 0, -50, 1, 100, 100, GREY)], Pose.looking((0, 0, 0), 0, 0))
    pixels = np.array([[39, 30], [0, 0], [79, 59]])
    z = CAMERA.z_from_distance(pixels, distance[pixels[:, 1], pixels[:, 0]])
    np.testing.assert_allclose(z, 3.0, rtol=1e-5)
    assert distance[0, 0] == pytest.approx(3 * np.sqrt(1 + (39 / 60) ** 2 + (30 / 60.6) ** 2))


@pytest.mark.parametrize("part", [tube(4, 0, -1, 1, 2, GREY), ball(4, 0, -0.8, 1, 2, 1.6, GREY)])
def test_round_solids_begin_half_their_thickness_before_their_centre(part):
    distance, _, _ = seen([part], Pose.looking((0, 0, 0), 0, 0))
    assert distance[30, 39] == pytest.approx(3.5, abs=1e-5)
    assert np.isinf(distance[30, 0])


def test_a_turned_box_seen_by_a_turned_camera_is_the_straight_one():
    straight, turned = box(3, 0.2, 0, 1, 1.5, 1, GREY), 0.7
    first, _, _ = seen([straight], Pose.looking((0, 0, 0.6), 0, 0))
    second, _, _ = seen(placed([straight], 0, 0, 0, turned), Pose.looking((0, 0, 0.6), turned, 0))
    hit = np.isfinite(first) & np.isfinite(second)
    assert hit.sum() > 300 and (np.isfinite(first) == np.isfinite(second)).mean() > 0.999
    np.testing.assert_allclose(first[hit], second[hit], rtol=1e-5)


def test_a_quarter_turn_swaps_the_sides_of_a_box():
    turned = Solids.of(placed([box(1, 0, 0, 2, 4, 1, GREY)], 0, 0, 0, np.pi / 2))
    np.testing.assert_allclose(turned.half[0], [2, 1, 0.5])
    np.testing.assert_allclose(turned.centre[0], [0, 1, 0.5], atol=1e-12)
    assert turned.yaw[0] == 0


def test_a_box_hides_what_is_behind_it_and_nothing_else():
    pose = Pose.looking((0, 0, 1.4), 0, -0.5)
    alone, _, _ = seen([FLOOR], pose)
    both, index, _ = seen([FLOOR, box(2, 0, 0, 0.5, 0.5, 0.5, GREY)], pose)
    assert 100 < (index == 1).sum() < 2000
    assert (both[index == 1] < alone[index == 1]).all()
    np.testing.assert_array_equal(both[index == 0], alone[index == 0])


def test_looking_only_where_a_solid_may_be_finds_what_looking_everywhere_finds(monkeypatch):
    rng = np.random.default_rng(3)
    place = room(rng)
    pose = places.standing(rng, place)
    rays = ray_planes(CAMERA, pose)
    culled = first_hits(place.solids, CAMERA, pose, rays)
    whole = np.tile([0, 0, CAMERA.width, CAMERA.height], (len(place.surfaces), 1))
    monkeypatch.setattr(solids, "windows", lambda *_: whole)
    for found, expected in zip(culled, first_hits(place.solids, CAMERA, pose, rays), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_gap_is_the_distance_to_the_box_and_zero_inside():
    there = Solids.of([box(0, 0, 0, 2, 2, 2, GREY)])
    assert there.gap((4, 5, 1))[0] == pytest.approx(5)
    assert there.gap((0.9, -0.9, 1.5))[0] == 0


def test_floor_tiles_are_half_a_metre_and_fade_to_their_mean_far_away():
    u, v = np.array([0.5, 0.25, 1.0]), np.full(3, 0.25)
    near, salt = np.full(3, 1e-3), np.zeros(3, int)
    joint, _ = textures.tiles(u, v, near, near, np.full(3, 0.5), salt)
    np.testing.assert_allclose(joint, [1, 0, 1], atol=1e-6)
    far, _ = textures.tiles(u, v, near + 2, near + 2, np.full(3, 0.5), salt)
    np.testing.assert_allclose(far, 1 - (1 - 0.012 / 0.5) ** 2, rtol=1e-6)


def test_the_floor_under_a_table_lies_in_the_shadow_of_the_lamp():
    lamp = surfaces.Light((0, 0, 2.5), (0, 1e-3, 0), 1.0, 2.0, shadow_px=96, focal_px=40.0)
    parts = [FLOOR, box(0, 0, 0.7, 1, 1, 0.04, GREY)]
    place = Place.of("test", parts, [lamp], 0.1, (), ())
    light, distance = render(place, CAMERA, Pose.looking((-2.5, 0, 0.5), 0, -0.1))
    below, beside = np.array([[39, 36]]), np.array([[39, 50]])
    dark, bright = (light[0, p[0, 1], p[0, 0]] for p in (below, beside))
    assert distance[36, 39] == pytest.approx(0.5 / np.sin(0.1 + np.arctan(6 / 60.6)), rel=0.02)
    assert dark < 0.5 * bright


@pytest.mark.parametrize(
    "name, high, low",
    [
        ("table", (0.72, 0.76), 0),
        ("chair", (0.80, 0.95), 0),
        ("wardrobe", (1.9, 2.2), 0),
        ("bed", (0.95, 0.95), 0),
    ],
)
def test_furniture_stands_on_the_floor_at_its_true_height(name, high, low):
    for seed in range(20):
        corners = extent(getattr(furniture, name)(np.random.default_rng(seed)))
        assert corners[0, 2] == pytest.approx(low, abs=1e-9)
        assert high[0] - 1e-9 <= corners[1, 2] <= high[1] + 1e-9


def test_people_are_one_and_a_half_to_two_metres_tall():
    tall = [extent(person(np.random.default_rng(i)))[1, 2] for i in range(30)]
    assert 1.5 < min(tall) < 1.62 and 1.8 < max(tall) < 2.0


def test_equal_seeds_give_equal_images_and_the_splits_differ():
    first, again, other = (synthetic.shot(5, split) for split in ("train", "train", "heldout"))
    np.testing.assert_array_equal(first.frame.image, again.frame.image)
    np.testing.assert_array_equal(first.distance_m, again.distance_m)
    assert first.distance_m.shape != other.distance_m.shape or (
        np.abs(first.distance_m - other.distance_m).mean() > 0.1
    )


def test_every_pixel_but_the_sky_has_a_finite_distance():
    shots = [synthetic.shot(i, "heldout") for i in (*range(12), 17)]
    assert {s.kind for s in shots} == {"room", "corridor", "street"}
    for one in shots:
        camera = one.frame.camera
        assert one.distance_m.shape == (camera.height, camera.width)
        assert one.distance_m.dtype == np.float32 and one.frame.image.std() > 5
        assert 0.25 < np.nanmin(one.distance_m) and np.nanmax(one.distance_m) < 60
        assert one.kind == "street" or np.isfinite(one.distance_m).all()
    assert any(np.isnan(one.distance_m).any() for one in shots)


def test_cameras_see_fifty_to_eighty_degrees_from_230_pixels_focal_length_on():
    cameras = [camera_work.random_camera(np.random.default_rng(i)) for i in range(200)]
    angle = [2 * np.degrees(np.arctan(c.width / 2 / c.fx)) for c in cameras]
    assert 49 < min(angle) < 52 and 77 < max(angle) < 81
    assert min(c.fx for c in cameras) > 228
    assert all(280 <= c.width <= 400 and abs(c.fy / c.fx - 1) <= 0.01 for c in cameras)


def test_an_image_of_a_surface_before_the_lens_is_not_worth_showing():
    room_like = np.full((10, 10), 3.0)
    assert camera_work.worth_showing(room_like)
    assert not camera_work.worth_showing(np.full((10, 10), 0.6))
    room_like[0, :5] = 0.3
    assert not camera_work.worth_showing(room_like)


def test_shards_give_back_what_was_written_to_the_millimetre(tmp_path):
    synthetic.shards(tmp_path, 5, "train", size=2)
    read = shards.Shards(tmp_path)
    assert [s.seed for s in read] == [0, 1, 2, 3, 4]
    for i in (0, 3, 4):
        wrote = synthetic.shot(i)
        assert read[i].frame.camera == wrote.frame.camera and read[i].kind == wrote.kind
        np.testing.assert_array_equal(read[i].frame.image, wrote.frame.image)
        np.testing.assert_allclose(read[i].distance_m, wrote.distance_m, atol=5.1e-4)
    with pytest.raises(IndexError, match=r"\b5 .*\b5$"):
        read[5]


def test_making_shards_again_writes_only_the_missing_ones(tmp_path, capsys):
    synthetic.shards(tmp_path, 4, "heldout", size=2)
    first, second = sorted(tmp_path.glob("*.npz"))
    kept = first.stat().st_mtime_ns
    second.unlink()
    (tmp_path / "heldout_0000002_2.npz.123.part").write_bytes(b"half")
    synthetic.shards(tmp_path, 4, "heldout", size=2)
    assert first.stat().st_mtime_ns == kept and len(shards.Shards(tmp_path)) == 4
    *_, output = capsys.readouterr().out.splitlines()
    assert re.search(r"^4 .*\b1\b", output)


def test_no_more_processes_draw_than_there_are_cores(tmp_path, capsys, monkeypatch):
    """A thousand take all memory."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    begun = []
    there = synthetic.get_context("spawn").Pool
    pools = SimpleNamespace(Pool=lambda count: begun.append(count) or there(count))
    monkeypatch.setattr(synthetic, "get_context", lambda kind: pools)
    synthetic.shards(tmp_path, 1, "train", workers=10**9)
    assert begun == [1] and "1000000000" in capsys.readouterr().out


def test_a_terminals_interrupt_ends_drawing_in_one_line(tmp_path):
    """Its processes hear it too, and had a traceback each."""
    words = "-m training.synthetic shards --count 4000 --size 1 --workers 2 --out"
    heard = ["env", "--default-signal=INT"]  # where pytest runs in the background
    command = [*heard, sys.executable, *words.split(), str(tmp_path / "shards")]
    drawing = subprocess.Popen(
        command, stdout=PIPE, stderr=PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    assert drawing.stdout.readline()  # of the first shard
    os.killpg(drawing.pid, signal.SIGINT)
    said = drawing.communicate(timeout=60)[1]
    assert (said, drawing.returncode) == ("training.synthetic: interrupted\n", 130)


def test_every_tenth_image_is_written_beside_what_is_there(tmp_path):
    synthetic.shards(tmp_path, 1, "heldout")
    command = f"shards --split heldout --first 10 --every 10 --count 3 --size 2 --out {tmp_path}"
    synthetic.main(command.split())
    assert [s.seed for s in shards.Shards(tmp_path)] == [0, 10, 20, 30]


def test_a_folder_of_other_images_is_not_taken_for_what_is_asked(tmp_path):
    """Of another world, where it said that they were there already; or some of them twice."""
    synthetic.main(f"shards --out {tmp_path} --count 3 --size 2".split())
    before = sorted(tmp_path.iterdir())
    for other in ("--world road --count 2", "--count 4"):
        with pytest.raises(SystemExit, match=r"train_000000\d_\d\.npz"):
            synthetic.main(f"shards --out {tmp_path} --size 2 {other}".split())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["none/sheet.png", "sheet.txt", "sheet"])
def test_a_sheet_that_cannot_be_written_is_refused_before_it_is_drawn(name, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "shot", lambda *_: pytest.fail("drawn"))
    with pytest.raises(SystemExit, match=Path(name).name):
        synthetic.main(f"sheet --count 1 --out {tmp_path / name}".split())


def test_an_image_that_the_disk_has_no_room_for_is_told(tmp_path):
    """OpenCV's own writer says False."""
    shot = synthetic.shot(0)
    exhibits.write_demo(shot, tmp_path)
    assert cv2.imread(str(tmp_path / "scene.png")).shape == shot.frame.image.shape
    (tmp_path / "scene.png").unlink()
    (tmp_path / "scene.png").symlink_to("/dev/full")
    with pytest.raises(OSError, match="space"):
        exhibits.write_demo(shot, tmp_path)
    assert not (tmp_path / "scene.png").is_symlink()


def test_a_shard_that_could_not_be_written_leaves_nothing(tmp_path, full_disk):
    with pytest.raises(OSError, match="space"):
        shards.write_shard(tmp_path / "train_0000000_1.npz", [synthetic.shot(0)])
    assert not list(tmp_path.iterdir())


def test_a_folder_without_shards_is_refused_with_the_command_that_makes_some(tmp_path):
    with pytest.raises(InputError, match=r"training\.synthetic shards"):
        shards.Shards(tmp_path)


def test_a_shard_that_is_not_whole_is_named(tmp_path):
    synthetic.shards(tmp_path, 1, "heldout", size=1)
    (shard,) = tmp_path.glob("*.npz")
    for broken in (shard.read_bytes()[:-100], b"nothing"):
        shard.write_bytes(broken)
        with pytest.raises(InputError, match=shard.name):
            shards.Shards(tmp_path)


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--split", "unseen", "--count", "1"], "train, heldout"),
        (["--world", "furnished", "--count", "1"], "--assets"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, arguments, named):
    with pytest.raises(SystemExit, match=named):
        synthetic.main(["shards", "--out", str(tmp_path), *arguments])
