# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Maps against depth images: what is counted, and which points DepthVLM's evaluation looks at."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from testing.array_predictor import ArrayPredictor

from depthlm_ros.camera import Camera
from depthlm_ros.data.records import Records
from depthlm_ros.errors import RecordError
from depthlm_ros.evaluation.maps import (
    MappedScene,
    drawn,
    measure_maps,
    published_place,
    read_map,
    scene_of,
)
from depthlm_ros.view import Frame

CAMERA = Camera(60, 40, 50.0, 50.0, 29.5, 19.5)
FRAME = Frame(np.zeros((40, 60, 3), np.uint8), CAMERA)
TRUTH = np.linspace(1, 4, 2400, dtype=np.float32).reshape(40, 60)


def measured(answer, *truths):
    scenes = [MappedScene(FRAME, truth) for truth in truths]
    return measure_maps(scenes, ArrayPredictor(answer))


def test_a_perfect_map_is_right_and_what_it_does_not_tell_is_wrong():
    found = measured(TRUTH, TRUTH)
    assert (found.delta1, found.abs_rel, found.inside, found.images) == (1.0, 0.0, 1.0, 1)
    assert found.pixels == 2400 and found.points == 1.0
    answer = TRUTH.copy()
    answer[:10] = np.nan
    assert measured(answer, TRUTH).delta1 == pytest.approx(0.75)


def test_named_points_of_unknown_distance_are_left_out():
    truth = TRUTH.copy()
    truth[5, 7] = np.nan
    scene = MappedScene(FRAME, truth, np.array([[7.0, 5.0], [8.0, 5.0]]))
    assert measure_maps([scene], ArrayPredictor(TRUTH)).points == 1.0
    scene = MappedScene(FRAME, truth, np.array([[7.0, 5.0]]))
    assert np.isnan(measure_maps([scene], ArrayPredictor(TRUTH)).points)


def test_unknown_pixels_do_not_count():
    truth = TRUTH.copy()
    truth[:, 30:] = np.nan
    answer = TRUTH.copy()
    answer[:, 30:] *= 3
    found = measured(answer, truth)
    assert (found.delta1, found.points, found.pixels) == (1.0, 1.0, 1200)


def test_an_image_counts_once_however_much_of_it_is_known():
    few = np.full_like(TRUTH, np.nan)
    few[0, :20] = 2 * TRUTH[0, :20]  # twice what the map says
    found = measured(TRUTH, TRUTH, few)
    assert found.delta1 == pytest.approx(0.5) and found.pixels == 2420


def test_a_coarser_truth_is_read_at_its_own_pixels():
    assert measured(TRUTH, TRUTH[::2, ::2] + 0.0).delta1 == 1.0
    places = np.array([[0, 0], [1, 1], [2, 0], [59, 39]])
    found = read_map(np.arange(600).reshape(20, 30), places, CAMERA)
    assert found.tolist() == [0, 0, 1, 599]


def test_ten_points_an_image_are_drawn_as_numbered():
    known = np.zeros((40, 60), bool)
    known[5:9, 10:30] = True
    first, second = drawn(known, 0), drawn(known, 1)
    assert first.shape == (10, 2) and len(np.unique(first, axis=0)) == 10
    assert known[first[:, 1].astype(int), first[:, 0].astype(int)].all()
    places = np.argwhere(known)
    expected = places[np.random.RandomState(43).choice(80, 10, replace=False)][:, ::-1]
    assert np.array_equal(second, expected)


def test_published_indexing_looks_beside_the_point():
    """1342 x 1006 become 1344 x 1008, then 1344 x 1024 (31.5 rounds to 32): row 500 gets the
    value of row 491."""
    camera = Camera(1342, 1006, 1000.0, 1000.0, 670.5, 502.5)
    found = published_place(camera, np.array([[700.0, 500.0]]), 1000.0)
    np.testing.assert_allclose(found, [[700.5 * 1342 / 1344 - 0.5, 500.5 * 1006 / 1024 - 0.5]])
    assert 491 < found[0, 1] < 492


def test_sizes_at_the_unified_focal_length_are_rounded_as_published():
    """640 / 530 = 1207.55 to 1208, then 1204 and 1216; 480 / 530 = 905.66 to 906, 896 and 896."""
    camera = Camera(640, 480, 530.0, 530.0, 319.5, 239.5)
    found = published_place(camera, np.array([[639.0, 479.0]]), 1000.0)
    x, y = round(639 * 1208 / 640), round(479 * 906 / 480)
    np.testing.assert_allclose(
        found, [[(x + 0.5) * 640 / 1216 - 0.5, (y + 0.5) * 480 / 896 - 0.5]]
    )


def test_labels_are_read_in_the_depth_image_at_the_unified_focal_length_as_published():
    """utils/datasets.py of the release: the depth image to the canonical size, nearest; the point
    times the ratio of the sizes, rounded; there 0 means that the point's own label holds."""
    camera = Camera(60, 40, 580.0, 580.0, 29.5, 19.5)
    z_m = np.random.default_rng(0).choice([0.0, 2.0, 4.0], (40, 60), p=[0.1, 0.6, 0.3])
    rays = camera.rays(np.stack(np.meshgrid(np.arange(60), np.arange(40)), -1).reshape(-1, 2))
    known = np.argwhere(z_m > 0)
    v, u = known[np.random.default_rng(1).choice(len(known), 300, replace=False)].T
    canonical = round(60 * 1000 / 580), round(40 * 1000 / 580)
    resized = cv2.resize(z_m, canonical, interpolation=cv2.INTER_NEAREST)
    x = np.round(u * (canonical[0] / 60)).astype(int)
    y = np.round(v * (canonical[1] / 40)).astype(int)
    label = np.where(resized[y, x] > 0, resized[y, x], z_m[v, u])
    truth = np.where(z_m > 0, z_m, np.nan) / rays[:, 2].reshape(40, 60)
    scene = MappedScene(Frame(FRAME.image, camera), truth, np.stack([u, v], 1) + 0.0, "z")
    answer = ArrayPredictor(2.0 / rays[:, 2].reshape(40, 60))
    found = measure_maps([scene], answer)
    assert found.points == pytest.approx((z_m[v, u] == 2).mean())
    assert found.points_published == pytest.approx((label == 2).mean())
    assert (label != z_m[v, u]).mean() > 0.1


def test_the_number_in_the_file_is_compared_with_z_as_published():
    """Far to the left z is 0.6 of the distance."""
    wide = Camera(60, 40, 20.0, 20.0, 29.5, 19.5)
    frame, points = Frame(FRAME.image, wide), np.array([[2.0, 20.0]])
    shares = {}
    for kind in ("z", "distance"):
        scene = MappedScene(frame, np.full((40, 60), 2.0), points, kind)
        found = measure_maps([scene], ArrayPredictor(np.full((40, 60), 2.0)))
        shares[kind] = found.points, found.points_published
    assert shares == {"z": (1.0, 1.0), "distance": (1.0, 0.0)}


def test_pixels_of_a_coarser_depth_image_are_taken_for_pixels_of_the_image_as_published():
    """So all of 20 x 13 lie in the top-left third, beyond which the answer is wrong here."""
    answer = np.full((40, 60), 9.0)
    answer[:14, :21] = 2.0
    scene = MappedScene(FRAME, np.full((13, 20), 2.0))
    found = measure_maps([scene], ArrayPredictor(answer))
    assert found.points < 0.5 and found.points_published == 1.0


def test_an_image_of_which_nothing_counts_is_left_out_and_counted():
    unknown = np.full_like(TRUTH, np.nan)
    found = measured(TRUTH, unknown, TRUTH)
    assert (found.images, found.left_out, found.delta1, found.points) == (1, 1, 1.0, 1.0)
    with pytest.raises(RecordError):
        measured(TRUTH, unknown, unknown)


@pytest.fixture
def maps(tmp_path):
    """A records file of one image of 64 x 48 with a depth image of 2 m along the ray."""
    Image.fromarray(np.full((48, 64), 2000, np.uint16)).save(tmp_path / "d.png")
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "a.png")
    lens = [60.0, 60.0, 31.5, 23.5, 64, 48]
    line = {"image": "a.png", "intrinsics": lens, "depth_path": "d.png", "kind": "distance"}
    (tmp_path / "r.jsonl").write_text(json.dumps(line))
    return tmp_path / "r.jsonl"


def test_records_bring_their_maps_and_points(maps):
    (scene,) = map(scene_of, Records(maps))
    assert (scene.distance_m == 2).all() and scene.points is None
    plain = {"depth_path": None, "pixel_coords": [[1, 2]], "depth": [1.0]}
    content = json.loads(maps.read_text()) | plain
    maps.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=r"r\.jsonl:1: "):
        list(map(scene_of, Records(maps)))
