# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The commands with a checkpoint that has a dense head: the embedded model, its head random."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from PIL import Image
from testing.tiny_models import add_head

from depthlm_ros.checkpoints import TINY, find_checkpoint, from_folder
from depthlm_ros.dense.spec import HeadSpec, Tap

SPEC = HeadSpec("light", (Tap("vision", 5), Tap("text", -1)), (8, 6, 4), uncertainty=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("dense") / "tiny"
    shutil.copytree(TINY, made)
    add_head(from_folder(made), SPEC)
    return made


@pytest.fixture
def asked(run, image_file, folder):
    """Runs a command about the image of 64 x 48 pixels."""
    return lambda command, *more: run(
        command, image_file, "--fx", 50, "--checkpoint", folder, *more
    )


def test_ask_writes_the_same_map_in_every_form(asked, tmp_path):
    paths = [tmp_path / f"m.{kind}" for kind in ("png", "npy", "ply")]
    given = [part for path in paths for part in ("--map", path)]
    code, out, err = asked("ask", *given, "--at", "20,30", "--style", "dense", "--json")
    assert code == 0 and len(err.splitlines()) == 3
    z_m = np.load(paths[1])
    assert z_m.shape == (48, 64) and z_m.dtype == np.float32 and z_m.std() > 0.001
    stored = np.asarray(Image.open(paths[0]))
    assert stored.dtype.itemsize >= 2 and np.abs(stored / 1000 - z_m).max() < 0.00051
    answer = json.loads(out)["answers"][0]
    assert answer["z_m"] == pytest.approx(z_m[30, 20], rel=1e-5)
    assert 0 < answer["lower_m"] < answer["distance_m"] < answer["upper_m"]
    header, _, points = paths[2].read_bytes().partition(b"end_header\n")
    assert b"element vertex 3072" in header
    found = np.frombuffer(points, "<f4,<f4,<f4,u1,u1,u1")
    assert np.allclose(found["f2"], z_m.ravel(), rtol=1e-5)


def test_a_map_alone_asks_about_no_pixel(asked, tmp_path):
    code, out, _ = asked("ask", "--map", tmp_path / "m.npy")
    assert (code, out) == (0, "") and (tmp_path / "m.npy").exists()


@pytest.mark.parametrize(
    "wrong",
    [(), ("--map", "m.tiff"), ("--map", "no/such/folder/m.png")],
    ids=["nothing", "ending", "folder"],
)
def test_what_cannot_be_written_is_refused_before_a_model_is_loaded(run, image_file, wrong):
    code, out, err = run("ask", image_file, "--fx", 50, "--checkpoint", "/nowhere", *wrong)
    assert (code, out) == (2, "") and "/nowhere" not in err


def test_a_checkpoint_without_a_head_says_so(run, image_file, tmp_path):
    if find_checkpoint("tiny").head:
        pytest.skip("the embedded checkpoint has a head")
    code, _, _ = run("ask", image_file, "--fx", 50, "--map", tmp_path / "m.png")
    assert code == 2 and not (tmp_path / "m.png").exists()


@pytest.mark.parametrize(("stride", "points"), [(1, 3072), (3, 21 * 16)])
def test_scan_reads_every_nth_pixel(asked, tmp_path, stride, points):
    code, _, _ = asked("scan", "--stride", stride, "--out", tmp_path / "out")
    assert code == 0
    assert f"element vertex {points}".encode() in (tmp_path / "out/cloud.ply").read_bytes()


def test_a_stride_reads_the_map_of_a_checkpoint_that_asks_its_grids(run, image_file, tmp_path):
    """In position style 3,072 questions would take minutes."""
    shutil.copytree(TINY, tmp_path / "asking")
    entry = from_folder(tmp_path / "asking")
    replace(entry, style="marker", grid_style="position").write(tmp_path / "asking")
    lens = ("--fx", 50, "--checkpoint", tmp_path / "asking")
    run("ask", image_file, *lens, "--map", tmp_path / "m.ply")
    code, _, _ = run("scan", image_file, *lens, "--stride", 1, "--out", tmp_path / "out")
    assert code == 0
    clouds = (tmp_path / "m.ply", tmp_path / "out/cloud.ply")
    whole, strided = (path.read_bytes().partition(b"end_header\n")[2] for path in clouds)
    form = "<f4,<f4,<f4,u1,u1,u1"
    one, other = (np.frombuffer(cloud, form) for cloud in (whole, strided))
    assert len(one) == len(other) == 3072
    assert all(np.allclose(one[axis], other[axis], rtol=1e-5) for axis in ("f0", "f1", "f2"))


def test_a_named_style_asks_a_stride_all_the_same(run, image_file, tmp_path):
    given = ("--fx", 50, "--stride", 16, "--out", tmp_path / "out")
    clouds = {}
    for style in ("", "position", "dense"):
        assert run("scan", image_file, *given, *(["--style", style] if style else []))[0] == 0
        clouds[style] = (tmp_path / "out/cloud.ply").read_bytes()
    assert clouds[""] == clouds["dense"] != clouds["position"]


def test_eval_of_the_map_against_itself_is_right(asked, run, image_file, folder, tmp_path):
    assert asked("ask", "--map", tmp_path / "m.npy")[0] == 0
    z_m = np.load(tmp_path / "m.npy")
    pixels = [[5, 6], [40, 20], [63, 0]]
    record = {"image": "a.png", "intrinsics": [50.0, 50.0, 31.5, 23.5, 64, 48], "kind": "z"}
    record |= {"pixel_coords": pixels, "depth": [float(z_m[v, u]) for u, v in pixels]}
    records, report = tmp_path / "r.jsonl", tmp_path / "report.json"
    records.write_text(json.dumps(record))
    given = ("--checkpoint", folder, "--style", "dense", "--json", report)
    code, _, err = run("eval", records, *given)
    assert code == 0, err
    assert '"delta1": 1.0' in report.read_text()


def test_a_recording_gets_depth_and_its_deviation_at_full_size(run, folder, tmp_path):
    from rosbags.highlevel import AnyReader

    out = tmp_path / "out.mcap"
    code, _, err = run("bag", "demo", out, "--checkpoint", folder, "--stride", 2, "--every", 4)
    assert code == 0, err
    with AnyReader([out]) as reader:
        found = {
            connection.topic: reader.deserialize(raw, connection.msgtype)
            for connection, _, raw in reader.messages()
            if connection.topic.startswith("/depthlm/")
        }
    depth, deviation = found["/depthlm/depth/image"], found["/depthlm/depth/stddev"]
    info, cloud = found["/depthlm/depth/camera_info"], found["/depthlm/points"]
    assert (depth.width, depth.height) == (info.width, info.height) == (320, 240)
    assert (cloud.width, cloud.height) == (320, 240)
    z_m, stddev = depth.data.view(np.float32), deviation.data.view(np.float32)
    values = cloud.data.view(np.float32).reshape(-1, 6)
    assert np.isfinite(z_m).all() and np.array_equal(z_m, values[:, 2])
    assert np.allclose(stddev / z_m, values[:, 5] / values[:, 4], rtol=1e-4)  # of z, of distance
    assert (stddev > 0).all()


@pytest.fixture
def maps(image_file, tmp_path):
    """A records file of the image with a depth image of 2.5 m along every ray."""
    Image.fromarray(np.full((48, 64), 2500, np.uint16)).save(tmp_path / "d.png")
    lens = [50.0, 50.0, 31.5, 23.5, 64, 48]
    line = {"image": "a.png", "intrinsics": lens, "depth_path": "d.png", "kind": "distance"}
    (tmp_path / "r.jsonl").write_text(json.dumps(line))
    return tmp_path / "r.jsonl"


def test_eval_by_protocol_measures_whole_maps(run, maps, folder, tmp_path):
    report, image = tmp_path / "report.json", tmp_path / "a.png"
    asked = ("eval", maps, "--protocol", "depthvlm", "--checkpoint", folder)
    code, out, _ = run(*asked, "--json", report)
    assert code == 0
    values = json.loads(report.read_text())
    assert f"{values['delta1']:.3f}" in out and f"{values['points_published']:.3f}" in out
    assert (values["images"], values["pixels"]) == (1, 48 * 64)
    assert not list(tmp_path.glob("*.answers.jsonl"))
    lens = ("--fx", 50, "--checkpoint", folder)
    run("ask", image, *lens, "--map", tmp_path / "m.npy")
    z_m = np.load(tmp_path / "m.npy")
    u, v = np.meshgrid((np.arange(64) - 31.5) / 50, (np.arange(48) - 23.5) / 50)
    ratio = z_m * np.sqrt(1 + u**2 + v**2) / 2.5
    right = np.maximum(ratio, 1 / ratio) < 1.25
    assert values["delta1"] == pytest.approx(right.mean(), abs=1e-3)
    assert values["abs_rel"] == pytest.approx(np.abs(ratio - 1).mean(), rel=1e-3)


def test_eval_by_protocol_counts_the_labels_of_the_named_set(run, maps, folder, tmp_path):
    """Of NYU 0.005 to 10 m count, of iBims-1 25 m: 100 pixels have 12 m, one row 30 m."""
    depth = np.full((48, 64), 2500, np.uint16)
    depth[10:20, :10], depth[40] = 12_000, 30_000
    Image.fromarray(depth).save(tmp_path / "d.png")
    counted, report = {}, tmp_path / "report.json"
    for name in ("nyuv2", "ibims1", "ddad"):
        asked = ("--protocol", "depthvlm", "--checkpoint", folder, "--dataset", name)
        assert run("eval", maps, *asked, "--json", report)[0] == 0
        counted[name] = json.loads(report.read_text())["pixels"]
    assert counted == {"nyuv2": 48 * 64 - 100 - 64, "ibims1": 48 * 64 - 64, "ddad": 48 * 64}


def test_labels_that_a_protocol_does_not_count_are_refused(run, maps, folder, tmp_path):
    Image.fromarray(np.full((48, 64), 12_000, np.uint16)).save(tmp_path / "d.png")
    asked = ("--protocol", "depthvlm", "--checkpoint", folder, "--dataset", "nyuv2")
    code, out, err = run("eval", maps, *asked)
    assert (code, out) == (2, "") and "r.jsonl:1" in err and "10 m" in err


@pytest.mark.parametrize("more", [("--constant", 2), ("--task", "axis", "--checkpoint", "tiny")])
def test_eval_by_protocol_refuses_other_questions(run, maps, more):
    code, out, err = run("eval", maps, "--protocol", "depthvlm", *more)
    assert (code, out) == (2, "") and err.startswith("depthlm: ")


def test_eval_of_pixels_needs_pixels(run, maps):
    code, out, err = run("eval", maps, "--constant", 2)
    assert (code, out) == (2, "") and "--protocol" in err and "r.jsonl:1" in err
