# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records with depth images teach what shards of the same images teach."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError, RecordError
from depthlm_ros.view import unify_focal
from training.config import ConfigError, Crop, DataEntry, Stage, read_config
from training.data.blocks import number_of
from training.data.examples import of_record, of_shot
from training.data.labels import checked_labels
from training.data.lessons import lessons
from training.data.rows import make_row, stage_rows
from training.data.shards import write_shard
from training.tools import estrange, split

WORDING = {"marker": "tags", "coordinates": "tags", "position": "number"}
ROW = Checkpoint("t", "", "qwen3_vl", 100.0, "marker", "position", WORDING)
CROP = Crop(width=(60, 90), height=(60, 90))
ASK = {"position": 3, "coordinates": 2, "marker": 1}


@pytest.fixture
def pair(shot, tmp_path):
    """(a Shot in whole millimetres, the same as a record with a depth image, its folder)."""
    one = shot(3)
    millimetres = np.round(one.distance_m * 1000).astype(np.uint16)
    millimetres[:20] = 0
    distance_m = np.where(millimetres, millimetres / np.float32(1000), np.nan).astype(np.float32)
    camera = one.frame.camera
    Image.fromarray(one.frame.image).save(tmp_path / "a.png")
    Image.fromarray(millimetres).save(tmp_path / "d.png")
    lens = [camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height]
    line = {"image": "a.png", "intrinsics": lens, "depth_path": "d.png", "kind": "distance"}
    (tmp_path / "r.jsonl").write_text(json.dumps(line))
    return replace(one, distance_m=distance_m), Records(tmp_path / "r.jsonl")[0], tmp_path


def asked(example):
    row = make_row(example, ROW, Stage("s", 1, 1.0, ASK), np.random.default_rng(5), CROP, 16)
    return row.view.camera, row.image, [(a.style.name, a.question, a.metres) for a in row.asked]


def test_the_same_crops_pixels_and_answers_in_all_styles(pair):
    shot, record, _ = pair
    (camera, image, questions), (camera2, image2, questions2) = (
        asked(of_shot(shot)),
        asked(of_record(record)),
    )
    assert camera == camera2 and np.array_equal(image, image2)
    assert len(questions) == 6 and questions == questions2


def test_a_coarser_map_tells_the_place_that_the_image_shows(pair, tmp_path):
    """Half the size: each of its pixels stands for four of the image's."""
    shot, record, folder = pair
    coarse = (np.round(shot.distance_m[::2, ::2] * 1000)).astype(np.float64)
    Image.fromarray(np.nan_to_num(coarse).astype(np.uint16)).save(folder / "d.png")
    view = unify_focal(record.frame(), record.camera.fx)
    fine = np.array([[40, 60], [41, 61], [40, 61], [129, 99]])
    metres = of_record(record).metres(view, fine)
    np.testing.assert_allclose(metres[:3], shot.distance_m[60, 40], rtol=1e-6)
    np.testing.assert_allclose(metres[3], shot.distance_m[98, 128], rtol=1e-6)


def test_z_is_taught_as_the_distance_that_it_is(pair):
    _, record, _ = pair
    view = unify_focal(record.frame(), record.camera.fx)
    corner = np.array([[0, 99]])
    along, in_z = (
        of_record(replace(record, kind=k)).metres(view, corner) for k in ("distance", "z")
    )
    stretch = 1 / record.camera.rays(corner)[0, 2]
    assert stretch > 1.2
    np.testing.assert_allclose(in_z, along * stretch, rtol=1e-6)


def test_tasks_draw_their_points_from_the_map(pair):
    _, record, folder = pair
    data = [DataEntry(records=str(folder / "r.jsonl"))]
    items = lessons(data, ["axis"], ROW, seed=1, length=8)
    for i in range(8):
        item = items[i].value
        view, (u, v) = item.views[0], item.question.pixel
        distance_m = of_record(record).metres(view, np.array([[u, v]]))
        z = view.camera.z_from_distance([[u, v]], distance_m)[0]
        assert item.truth == pytest.approx(z, rel=0.03)


def test_labels_of_maps_are_looked_at_before_a_run(pair):
    _, record, _ = pair
    checked_labels("maps", [record], (0.05, 200.0))
    with pytest.raises(InputError, match="median"):
        checked_labels("maps", [replace(record, depth_scale=1.0)], (0.05, 200.0))


@pytest.mark.parametrize("change", [{"kind": ""}, {"depth_path": "absent"}], ids=str)
def test_a_map_that_cannot_be_used_is_the_records_fault(pair, change, tmp_path):
    _, record, _ = pair
    change = {k: tmp_path / v if k == "depth_path" else v for k, v in change.items()}
    with pytest.raises(RecordError, match=r"r\.jsonl:1: "):
        of_record(replace(record, **change))


def test_shards_and_maps_mix(pair):
    shot, _, folder = pair
    write_shard(folder / "s.npz", [shot])
    data = [DataEntry(shards=str(folder)), DataEntry(records=str(folder / "r.jsonl"))]
    items = lessons(data, ["distance"], ROW, seed=1, length=12)
    assert {items[i].value.where[:5] for i in range(12)} == {"plane", str(folder)[:5]}


def test_blocks_of_records_are_held_out(pair, tmp_path, capsys):
    """Of 12 numbers in blocks of two, every third block: 4, 5 and 10, 11."""
    line = json.loads((tmp_path / "r.jsonl").read_text())
    lines = [json.dumps({**line, "image": f"rgb/x_{number:04}.png"}) for number in range(12)]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    out = tmp_path / "split"
    split.main([str(tmp_path / "all.jsonl"), "--out", str(out), "--every", "3", "--block", "2"])
    kept, held = (Records(out / f"{name}.jsonl") for name in ("train", "heldout"))
    assert [number_of(record) for record in held] == [4, 5, 10, 11] and len(kept) == 8
    assert len({record.scene for record in held}) == 2 and held[0].scene == held[1].scene
    assert held[0].depth_map().shape == (100, 130) and not len(held[0])
    (tmp_path / "bad.jsonl").write_text(json.dumps({**line, "image": "a.png"}))
    with pytest.raises(SystemExit, match="bad.jsonl:1"):
        split.main([str(tmp_path / "bad.jsonl"), "--out", str(out)])


def test_what_is_held_out_gets_labels_of_its_depth_images(pair, tmp_path):
    """At pixels that are known, each with its metres; fewer are the first ones of more."""
    shot, _, _ = pair
    line = json.loads((tmp_path / "r.jsonl").read_text())
    names = ("a7", "a27", "a28")
    for name in names:
        Image.fromarray(shot.frame.image).save(tmp_path / f"{name}.png")
    lines = [json.dumps({**line, "image": f"{name}.png"}) for name in names]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    found = []
    for count in (50, 12):
        out = tmp_path / str(count)
        given = ["--every", "2", "--pixels", str(count)]
        split.main([str(tmp_path / "all.jsonl"), "--out", str(out), *given])
        found.append(list(Records(out / "heldout.jsonl")))
    many, few = found
    assert [len(record) for record in (*many, *few)] == [50, 50, 12, 12]
    u, v = many[0].pixels.astype(int).T
    assert np.allclose(many[0].label_m, shot.distance_m[v, u]) and v.min() >= 20
    assert len(set(zip(u, v, strict=True))) == 50 and u.std() > 20 and v.std() > 15
    assert np.array_equal(few[1].pixels, many[1].pixels[:12])
    assert not np.array_equal(many[0].pixels, many[1].pixels)


def test_strange_looks_change_images_and_keep_what_is_measured(pair, tmp_path):
    shot, _, _ = pair
    line = json.loads((tmp_path / "r.jsonl").read_text())
    known = np.argwhere(np.isfinite(shot.distance_m))[::997]
    labels = {"pixel_coords": known[:, ::-1].tolist()}
    labels["depth"] = [float(shot.distance_m[v, u]) for v, u in known]
    (tmp_path / "l.jsonl").write_text(json.dumps({**line, **labels}))
    estrange.main([str(tmp_path / "l.jsonl"), "--out", str(tmp_path / "out")])
    (before,) = Records(tmp_path / "l.jsonl")
    found = {look: Records(tmp_path / f"out/l_{look}.jsonl")[0] for look in estrange.LOOKS}
    image = before.frame().image
    for look in ("blur", "night"):
        assert found[look].camera == before.camera
        assert np.array_equal(found[look].pixels, before.pixels)
        assert np.array_equal(found[look].label_m, before.label_m)
    assert found["night"].frame().image.mean() < 0.5 * image.mean()
    assert np.diff(found["blur"].frame().image.astype(int), axis=1).std() < (
        0.5 * np.diff(image.astype(int), axis=1).std()
    )
    turned = found["sideways"]
    (u, v), (x, y) = before.pixels.astype(int).T, turned.pixels.astype(int).T
    assert np.array_equal(turned.frame().image[y, x], image[v, u])
    assert np.array_equal(turned.label_m, before.label_m)
    straight, rays = before.camera.rays(before.pixels), turned.camera.rays(turned.pixels)
    assert np.allclose(rays, np.stack([straight[:, 1], -straight[:, 0], straight[:, 2]], axis=1))
    with pytest.raises(SystemExit, match="pixel_coords"):
        estrange.main([str(tmp_path / "r.jsonl"), "--out", str(tmp_path / "no")])


STRETCHED = """
data: [{{records: {records}, aspect: [1.0, 1.3]}}]
out: {folder}/run
base: fresh
batch: 1
crop: {{width: [60, 60], height: [60, 60]}}
checkpoint:
  {{name: t, architecture: qwen3_vl, focal_px: 110.0, style: marker, grid_style: marker,
   wording: {{marker: tags}}}}
stages: [{{name: s, steps: 20, lr: 0.001, ask: {asked}}}]
"""


def stretched(folder, **changes):
    content = {"records": folder / "s.jsonl", "folder": folder, "asked": "{marker: 1}", **changes}
    (folder / "c.yaml").write_text(STRETCHED.format(**content))
    return read_config(folder / "c.yaml")


def test_views_of_an_aspect_are_stretched_and_asked_as_depthlm_does_with_taskonomy(shot, tmp_path):
    """getitem_Taskonomy of its release: int(width / drawn) rows, fy and cy with them, no crop, the
    arrow where int((v - cy) * (fy' / fy) + cy') leads, and the label as it was."""
    image = shot(1, 100, 100).frame.image
    Image.fromarray(image).save(tmp_path / "a.png")
    lens, (u, v) = [50.0, 50.0, 48.0, 51.0, 100, 100], (61, 37)
    line = {"image": "a.png", "intrinsics": lens, "kind": "distance"}
    line |= {"pixel_coords": [[u, v]], "depth": [3.25]}
    (tmp_path / "s.jsonl").write_text(json.dumps(line))
    config = stretched(tmp_path)
    rows = stage_rows(config, config.entry(""))
    heights = []
    for row in (rows[i] for i in range(20)):
        camera, height = row.view.camera, row.view.camera.height
        heights.append(height)
        assert int(220 / 1.3) <= height <= 220 == camera.width
        squeezed = Image.fromarray(image).resize((220, 220)).resize((220, height))
        np.testing.assert_array_equal(row.view.image, np.asarray(squeezed))
        fy, cy = 110.0 * height / 220, 51.0 * 2.2 * height / 220
        assert (camera.fx, camera.cx) == pytest.approx((110.0, 48.0 * 2.2))
        assert (camera.fy, camera.cy) == pytest.approx((fy, cy))
        x, y = int((u - 48.0) * 2.2 + 48.0 * 2.2), int((v - 51.0) * (fy / 50.0) + cy)
        (asked,) = row.asked
        assert asked.question.pixel == (x, y) and asked.metres == 3.25
        assert row.image[y, x - 5 : x].tolist() == [[255, 0, 0]] * 5
    assert len(set(heights)) > 10


def test_a_task_is_about_views_as_they_are(tmp_path):
    with pytest.raises(ConfigError, match="aspect"):
        stretched(tmp_path, asked="{}, tasks: [axis]")


TWICE = """
data:
  - {{records: {records}, weight: 3}}
  - {{records: {records}, nearer: [2, 2]}}
out: {folder}/run
base: fresh
batch: 1
checkpoint:
  {{name: t, architecture: qwen3_vl, focal_px: 110.0, style: position, grid_style: position,
   wording: {{position: number}}}}
stages: [{{name: s, steps: 60, lr: 0.001, ask: {{position: 1}}}}]
"""


def test_data_may_be_given_twice_and_are_drawn_both_ways(pair):
    _, record, folder = pair
    text = TWICE.format(records=folder / "r.jsonl", folder=folder)
    (folder / "c.yaml").write_text(text)
    config = read_config(folder / "c.yaml")
    rows = stage_rows(config, config.entry(""))
    own = record.camera
    nearer = [row.view.frame.camera.fx < own.fx for row in (rows[i] for i in range(60))]
    assert 5 < sum(nearer) < 30
