# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Views cut out of panoramas: their cameras, and labels of the image alone or of the ground."""

import numpy as np
import pytest
import torch
from PIL import Image

from depthlm_ros.data.records import Records, map_pixels
from depthlm_ros.predict import load_predictor
from test.testing.tiny_models import write_checkpoint
from training.tools.panoramas import __main__ as command
from training.tools.panoramas import views


@pytest.fixture
def written(tmp_path):
    """A panorama file of broad stripes and spots."""
    rough = np.random.default_rng(3).integers(30, 220, (16, 32, 3)).astype(np.uint8)
    path = tmp_path / "hall.png"
    Image.fromarray(rough).resize((512, 256), Image.BILINEAR).save(path)
    return path


@pytest.fixture(scope="module")
def teacher():
    return command.teacher_of("tiny")


def directions(rows):
    """(rows, 2 rows, 3) the direction that each pixel of a panorama looks in: x right, y down, z
    to its middle."""
    around = (np.arange(2 * rows) + 0.5) / (2 * rows) * 2 * np.pi - np.pi
    down = (np.arange(rows) + 0.5) / rows * np.pi - np.pi / 2
    around, down = np.meshgrid(around, down)
    return np.stack(
        [np.sin(around) * np.cos(down), np.sin(down), np.cos(around) * np.cos(down)], axis=-1
    )


def seen(axis, seed):
    """(camera, (N,) one coordinate of the direction that each pixel of a view shows): the panorama
    says it in red against blue, which no exposure changes."""
    light = np.ones((512, 1024, 3), np.float32)
    light[..., 0] += 0.5 * directions(512)[..., axis]
    frame, _ = views.cut(light, np.random.default_rng(seed))
    shown = (frame.image / 255.0) ** 2.2
    shown = shown / (1 - 0.25 * shown)
    return frame.camera, 2 * (shown[..., 0] / shown[..., 2] - 1).ravel()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_view_shows_what_its_camera_states(seed):
    (camera, x), (_, y), (_, z) = (seen(axis, seed) for axis in range(3))
    shown = np.stack([x, y, z], axis=1)
    rays = camera.rays(map_pixels((camera.height, camera.width), camera))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    left, _, right = np.linalg.svd(rays.T @ shown)
    turn = left @ right
    assert np.linalg.det(turn) == pytest.approx(1), "mirrored"
    assert np.abs(rays @ turn - shown).mean() < 0.02  # 8 bits of colour
    ahead = turn[2] / np.linalg.norm(turn[2])
    assert -30.5 < np.degrees(np.arcsin(-ahead[1])) < 15.5
    assert turn[1, 1] > 0, "upside down"


def test_views_differ_and_are_the_same_again(written):
    light = views.read_panorama(written)
    one, again, other = (views.cut(light, np.random.default_rng(seed))[0] for seed in (5, 5, 6))
    assert np.array_equal(one.image, again.image) and one.camera == again.camera
    assert one.camera != other.camera
    assert 50 < one.image.mean() < 200


def test_records_with_depth_images_that_the_head_told(written, tmp_path, teacher, capsys):
    command.main([str(written), "--out", str(tmp_path / "out"), "--views", "2"])
    assert "wrote 2 records" in capsys.readouterr().out
    records = list(Records(tmp_path / "out/train.jsonl"))
    assert {record.scene for record in records} == {"hall"}
    for record in records:
        frame = record.frame()
        told = teacher.map(frame).distance_m
        assert np.nanmax(np.abs(record.depth_map_as("distance") - told)) < 0.001
    assert not np.array_equal(records[0].depth_map(), records[1].depth_map())


def test_labels_come_from_the_image_alone(written, teacher):
    frame, _ = views.cut(views.read_panorama(written), np.random.default_rng(4))
    usual, alone = load_predictor("tiny").map(frame), teacher.map(frame)
    assert not np.allclose(usual.distance_m, alone.distance_m)
    with torch.no_grad():
        for weights in teacher.engine.loaded.model.parameters():
            weights.mul_(1.5)
    assert np.array_equal(teacher.map(frame).distance_m, alone.distance_m)
    assert not np.array_equal(teacher.map(frame).distance_m, usual.distance_m)


def test_what_cannot_be_told(written, tmp_path):
    square = tmp_path / "square.png"
    Image.new("RGB", (64, 64)).save(square)
    write_checkpoint(tmp_path / "plain", "qwen3_vl")
    out = ["--out", str(tmp_path / "out")]
    for given, match in (
        ([str(square), *out], "twice as wide"),
        ([str(written), str(written), *out], "named hall"),
        ([str(tmp_path / "none.hdr"), *out], "none.hdr is no image"),
        ([str(written), *out, "--checkpoint", str(tmp_path / "plain")], "no dense head"),
    ):
        with pytest.raises(SystemExit, match=match):
            command.main(given)
