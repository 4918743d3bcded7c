# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The furnished world: distances against geometry, light, splits, places, pure functions."""

import sys

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError, MissingDependency
from training import synthetic
from training.data.shards import Shards
from training.scenes.boxes.solids import Pose, ray_planes
from training.scenes.furnished import layouts, views
from training.scenes.furnished.library import Library, _held_out
from training.scenes.furnished.light import Lamp, Lamps, smoothed
from training.scenes.furnished.meshes import Material, Scene, box, tube
from training.scenes.furnished.render import render
from training.scenes.furnished.texels import Texels

CAMERA = Camera(80, 60, 60.0, 60.6, 39.0, 30.0)
LAMP = Lamp((0, 0, 2.5), (0.1, 0, 0), (0, 0.1, 0), (0, 0, -1), (3, 3, 3))
GREY = Material((0.5, 0.5, 0.5))
FLOOR = box(-50, -50, -0.1, 50, 50, 0, 0)


def seen(pieces, pose, materials=(GREY,), images=(), camera=CAMERA):
    """Light and distance of pieces under one lamp."""
    scene = Scene(list(pieces), list(materials), [Texels.of(images)])
    dark = np.float32(0)
    return render(
        np.random.default_rng(0),
        scene,
        Lamps([LAMP]),
        camera,
        pose,
        lambda rays: np.full(rays.shape, dark),
    )


def test_distance_is_along_the_ray_and_nan_where_nothing_is_hit():
    pose = Pose.looking((0, 0, 1.4), yaw=0.3, pitch=-0.3, roll=0.05)
    _, distance = seen([FLOOR], pose)
    rays = ray_planes(CAMERA, pose)
    there = np.isfinite(distance)
    assert distance.dtype == np.float32 and 0.3 < there.mean() < 1
    np.testing.assert_allclose(distance[there], 1.4 / -rays[2][there], rtol=1e-4)
    assert (rays[2][~there] > -1.4 / 49).all()


def test_a_tube_begins_its_radius_before_its_axis():
    _, distance = seen([tube(4, 0, -1, 1, 0.5, 0, sides=400)], Pose.looking((0, 0, 0), 0, 0))
    assert distance[30, 39] == pytest.approx(3.5, abs=1e-3)
    assert np.isnan(distance[30, 0])


def test_the_holes_of_a_leaf_let_rays_through_to_what_is_behind():
    leaf = np.zeros((2, 2, 4), np.uint8)
    leaf[..., 3] = [[255, 0], [255, 0]]
    pieces = [box(3, -1, -1, 3.1, 1, 1, 1, metres=2), box(5, -9, -9, 6, 9, 9, 0)]
    _, distance = seen(
        pieces, Pose.looking((0, 0, 0), 0, 0), (GREY, Material((1, 1, 1), 0)), [leaf]
    )
    left, right = distance[30, 49], distance[30, 29]
    assert sorted([round(float(left)), round(float(right))]) == [3, 5]


def test_the_floor_under_a_plate_lies_in_shadow_and_light_fades_with_distance():
    plate = box(-0.5, -0.5, 0.7, 0.5, 0.5, 0.74, 0)
    light, distance = seen([FLOOR, plate], Pose.looking((-2.5, 0, 0.5), 0, -0.1))
    dark, bright = light[0, 36, 39], light[0, 50, 39]
    assert distance[36, 39] == pytest.approx(0.5 / np.sin(0.1 + np.arctan(6 / 60.6)), rel=0.02)
    assert dark < 0.5 * bright
    light, _ = seen([FLOOR], Pose.looking((0, 0, 1.5), 0, -0.6))
    assert light[0, 59, 39] > 3 * light[0, 10, 39]


def test_smoothing_averages_along_a_surface_and_not_across_an_edge():
    rng = np.random.default_rng(0)
    normals = np.zeros((20, 20, 3), np.float32)
    normals[:, :10, 2], normals[:, 10:, 0] = 1, 1
    points = np.zeros((20, 20, 3), np.float32)
    light = rng.normal(1, 0.2, (20, 20, 3)).astype(np.float32)
    light[:, 10:] += 5
    calm = smoothed(light, normals, points, np.ones((20, 20), np.float32), (1, 2))
    assert calm[:, :10].std() < 0.5 * light[:, :10].std()
    assert calm[:, :10].max() < 2 and calm[:, 10:].min() > 5


def test_texels_are_exact_near_and_their_mean_far_away():
    image = np.zeros((4, 4, 4), np.uint8)
    image[..., 3], image[0, 1, :3] = 255, 255
    texels, one = Texels.of([np.full((1, 1, 4), 9, np.uint8), image]), np.array([1])
    middle = np.array([1.5 / 4]), np.array([1 - 0.5 / 4])
    near = texels.look(one, *middle, np.array([0.01]))
    np.testing.assert_allclose(near, [[1, 1, 1, 1]], rtol=1e-5)
    far = texels.look(one, *middle, np.array([4.0]))
    assert far[0, 0] == pytest.approx((16 / 255) ** 2.2, rel=0.05)


def test_unseen_models_are_never_used_by_the_other_splits(assets):
    known, unseen = Library(assets, False), Library(assets, True)
    for role in known.roles:
        assert not set(known.roles[role]) & set(unseen.roles[role])
    assert len(unseen.roles["chair"]) >= 1 and len(known.roles["chair"]) >= 2


def test_models_that_share_a_texture_stay_in_one_split():
    rows = [
        {
            "id": f"c{i}",
            "name": "Chair",
            "category": "Office",
            "size": [0.5, 0.5, 0.9],
            "textures": [i // 4],
        }
        for i in range(40)
    ]
    held_out = np.array(_held_out(rows)).reshape(10, 4)
    assert (held_out.all(1) == held_out.any(1)).all() and held_out.all(1).sum() == 1


@pytest.mark.parametrize("make", views.PLACES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("unseen", [False, True])
def test_every_place_can_be_furnished_from_few_models(make, unseen, assets):
    build = make(np.random.default_rng(1), Library(assets, unseen))
    scene, lamps = build.finished()
    assert len(scene.material) > 200 and len(lamps.at) >= 1
    spots = np.array(build.taken)
    assert (spots[:, 2:] > spots[:, :2]).all()


def test_things_on_the_floor_do_not_overlap(assets):
    rng = np.random.default_rng(3)
    build = views.Builder(rng, Library(assets, False), (0, 0, 4, 4), 2.5)
    put = [build.anywhere([build.thing("chair")], 3, 0.0) for _ in range(60)]
    taken = np.array(build.taken)
    assert 5 < sum(put) < 60 and len(taken) == sum(put)
    for i, one in enumerate(taken):
        for other in taken[i + 1 :]:
            assert (one[2:] <= other[:2]).any() or (other[2:] <= one[:2]).any()


def test_an_image_is_a_function_of_split_and_seed_alone(assets):
    draw = synthetic.drawer("furnished", assets)
    first = draw(13, "heldout")
    views.place_of.cache_clear()
    draw(14, "heldout")
    again, other = draw(13, "heldout"), draw(13, "train")
    np.testing.assert_array_equal(first.frame.image, again.frame.image)
    np.testing.assert_array_equal(first.distance_m, again.distance_m)
    assert first.kind == draw(14, "heldout").kind
    assert other.distance_m.shape != first.distance_m.shape or (
        np.nanmean(np.abs(other.distance_m - first.distance_m)) > 0.05
    )


@pytest.mark.parametrize("split", ["train", "unseen", "wider"])
def test_images_show_a_place_from_a_camera_that_touches_nothing(split, assets):
    for seed in (3, 40):
        shot = synthetic.drawer("furnished", assets)(seed, split)
        camera = shot.frame.camera
        assert shot.distance_m.shape == shot.frame.image.shape[:2] == (camera.height, camera.width)
        assert shot.frame.image.dtype == np.uint8 and shot.frame.image.std() > 5
        assert 0.2 < np.nanmin(shot.distance_m) and np.nanmax(shot.distance_m) < 60
        assert np.isfinite(shot.distance_m).mean() > 0.6


def test_rooms_of_the_wider_split_are_often_higher_and_its_cameras_look_up_more(assets):
    def seen(wider, seed):
        rng = np.random.default_rng(seed)
        build = layouts.living(rng, Library(assets, False, taller=wider))
        pose = views.standing(rng, build, build.finished()[0], wider)
        return build.high, np.nan if pose is None else pose.axes[2, 2]

    usual, wider = (np.array([seen(w, seed) for seed in range(12)]) for w in (False, True))
    assert (wider[:, 0] > 1.2 * usual[:, 0].max()).any() and usual[:, 0].max() < 5
    assert np.nanmax(usual[:, 1]) < np.sin(np.radians(13)) < np.nanmax(wider[:, 1])


def test_a_piece_is_scaled_along_each_axis():
    low, high = box(-1, 0, 0, 1, 1, 1, 0).scaled((2, 1, 3)).extent()
    assert low.tolist() == [-2, 0, 0] and high.tolist() == [2, 1, 3]


def test_shards_of_the_furnished_world_are_written_from_the_command_line(tmp_path, assets):
    command = ["shards", "--world", "furnished", "--assets", str(assets), "--out", str(tmp_path)]
    synthetic.main([*command, "--first", "40", "--count", "2", "--split", "unseen"])
    assert [p.name for p in tmp_path.glob("*")] == ["unseen_0000040_2.npz"]
    assert [s.seed for s in Shards(tmp_path)] == [40, 41]


def test_without_embreex_the_error_says_what_to_install(assets, monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex.rtcore_scene", None)
    views.place_of.cache_clear()
    with pytest.raises(MissingDependency, match="embreex"):
        synthetic.drawer("furnished", assets)(0)


def test_missing_assets_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"training\.scenes\.assets"):
        synthetic.drawer("furnished")
    with pytest.raises(InputError, match=r"models\.json"):
        synthetic.drawer("furnished", tmp_path)(0)
