# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm eval --protocol depthvlm over folders that training.curate makes of official layouts."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pyarrow")

from testing.layouts import argoverse2, ibims, scannetpp, sunrgbd
from testing.plane_and_box import cast, curated

from depthlm_ros.cli import main
from depthlm_ros.data.records import Records
from depthlm_ros.engines.engine import Reply
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.evaluation.metrics import delta1
from depthlm_ros.evaluation.protocol import PROTOCOLS
from depthlm_ros.predict import load_predictor

TITLES = ["AV2", "Waymo", "DDAD", "nuSc", "ETH3D", "SN++", "SUN", "iBims", "NYU"]
# Of these painted images the embedded checkpoint is right about some, if it finds them between 0.3
# and 3 m away.
SCALES = 0.02, 0.035, 0.06, 0.1, 0.2
PLACES = "corridor_01", "corridor_02", "office_01", "office_02", "store"
KILLED = """
import os, signal, sys
from depthlm_ros.cli import evaluate, main
name, left = sys.argv[1], [4]
real = getattr(evaluate, name)
def killed(*given):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given)
setattr(evaluate, name, killed)
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Four of the nine sets, three with the labels of the release."""
    given, out = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("curated")
    argoverse2.write_log(given / "argoverse2" / "test" / argoverse2.LOG)
    (given / "scannetpp").mkdir()
    scannetpp.write(given / "scannetpp", (scannetpp.WIDTH, scannetpp.HEIGHT), far=0.03)
    for folder in (sunrgbd.TEST, sunrgbd.NYU):
        points = cast(sunrgbd.WIDTH, sunrgbd.HEIGHT, *sunrgbd.CAMERA)
        sunrgbd.write(given / "sunrgbd", folder, points)
    sunrgbd.write_list(given / "sunrgbd", [], [sunrgbd.TEST, sunrgbd.NYU])
    for name, far in zip(PLACES, SCALES, strict=True):
        ibims.write(given / "ibims", "raw", name, far * ibims.scene())
    published = ("--depth", "--as-published", "depthvlm")
    for name, split, more in (
        ("argoverse2", "test", published),
        ("scannetpp", "val", (*published, "--limit", "1")),
        ("sunrgbd", "test", published),
        ("ibims", "test", ("--depth",)),
    ):
        curated(name, given / name, out / name / split, "--split", split, *more)
    return out


@pytest.fixture(scope="module")
def evaluated(root, tmp_path_factory):
    """(what is printed, the report) of one run over all sets."""
    report = tmp_path_factory.mktemp("report") / "report.json"
    with redirect_stdout(StringIO()) as out:
        assert main(command(root, report)) == 0
    return out.getvalue(), json.loads(report.read_text())


@pytest.fixture(scope="module")
def predictor():
    return load_predictor("tiny", warm_up=False)


def command(root, report, *more):
    asked = ("--protocol", "depthvlm", "--checkpoint", "tiny", "--json", report)
    return [str(part) for part in ("eval", root, *asked, *more)]


def cells(out, row):
    """The nine cells and the mean of the row that begins so."""
    (line,) = [line for line in out.splitlines() if line.startswith(row)]
    return line.removeprefix(row).split()


def test_one_table_has_points_and_maps_beside_the_published_rows(evaluated):
    out, content = evaluated
    assert out.splitlines()[0].split()[1:] == [*TITLES, "mean", "of", "9"]
    sets = content["sets"]
    assert list(sets) == ["argoverse2", "scannetpp", "sunrgbd", "ibims1"]
    for row, name in (
        ("tiny (dense), all known pixels", "delta1"),
        ("tiny (dense), 10 points an image", "points"),
        ("  the same points, indexed and counted as published", "points_published"),
    ):
        found = dict(zip(TITLES, cells(out, row), strict=False))
        told = {"AV2": "argoverse2", "SN++": "scannetpp", "SUN": "sunrgbd", "iBims": "ibims1"}
        assert found == {
            title: f"{sets[told[title]][name]:.3f}" if title in told else "-" for title in TITLES
        }
    assert cells(out, "DepthVLM 4B (published: depthvlm)") == [
        *("0.810", "0.879", "0.818", "0.821", "0.924", "0.861", "0.882", "0.912", "0.908"),
        "0.868",
    ]
    whole = cells(out, "DepthVLM 8B (published: depthvlm_maps)")
    assert whole == ["-", "0.884", "-", "0.837", "0.959", "-", "0.890", "0.939", "-", "-"]


def test_what_is_missing_and_what_is_known_of_the_labels_stands_below(evaluated, root):
    out, content = evaluated
    commands = [line for line in out.splitlines() if line.startswith("missing ")]
    assert len(commands) == 5
    assert (
        "missing Waymo: python -m training.curate waymo --root ROOT --split validation --depth"
        f" --limit 1000 --out {root}/waymo/validation"
    ) in commands
    traps = {line.split(":")[0] for line in out.splitlines() if line.startswith("published ")}
    assert {"published AV2", "published Waymo", "published SN++"} <= traps
    (measured,) = [line for line in out.splitlines() if line.startswith("measured here: ")]
    pixels = content["sets"]["argoverse2"]["pixels"]
    assert f"AV2 (1 images, {pixels} pixels, labels distance, depthvlm)" in measured
    assert "SUN (1 images, " in measured  # and not the one of NYU
    assert "iBims (5 images, " in measured and measured.endswith("labels z, ours)")


def test_figures_are_means_over_images_of_the_points_that_the_release_draws(
    evaluated, predictor, root
):
    records = list(Records(f"{root}/ibims/test/*.jsonl"))
    random.Random(42).shuffle(records)
    shares, points = [], []
    for number, record in enumerate(records):
        found = predictor.map(record.frame()).z_m
        truth = record.depth_map()
        known = np.isfinite(truth)
        shares.append(delta1(found[known], truth[known]).mean())
        there = np.argwhere(known)
        state = np.random.RandomState(42 + number)
        v, u = there[state.choice(len(there), 10, replace=False)].T
        points.append(delta1(found[v, u], truth[v, u]).mean())
    told = evaluated[1]["sets"]["ibims1"]
    assert np.ptp(shares) > 0.1
    assert told["delta1"] == pytest.approx(np.mean(shares), abs=1e-3)
    assert told["points"] == pytest.approx(np.mean(points))
    assert (told["images"], told["left_out"]) == (5, 0)


def test_points_of_scannetpp_are_looked_up_in_a_corner_as_published(evaluated, predictor, root):
    """Cells of the phone's map, 256 x 192, as pixels of the image: label and answer of there."""
    (record,) = Records(f"{root}/scannetpp/val/*.jsonl")
    camera, truth = record.camera, record.depth_map()
    assert truth.shape == (192, 256) and (camera.width, camera.height) == (1920, 1440)
    there = np.argwhere(np.isfinite(truth))
    v, u = there[np.random.RandomState(42).choice(len(there), 10, replace=False)].T
    canonical = round(1920 * 1000 / camera.fx), round(1440 * 1000 / camera.fx)
    column = np.round(u * canonical[0] / 1920).astype(int)
    row = np.round(v * canonical[1] / 1440).astype(int)
    label = cv2.resize(truth, canonical, interpolation=cv2.INTER_NEAREST)[row, column]
    label = np.where(np.isfinite(label), label, truth[v, u])  # where the corner is unknown
    # At 200 px the image has 267 x 200 pixels, then 280 x 196, then 288 x 192.
    x, y = np.round(u * 267 / 1920), np.round(v * 200 / 1440)
    seen = np.stack([(x + 0.5) * 1920 / 288, (y + 0.5) * 1440 / 192], 1)
    z_m = predictor.map(record.frame()).z_m
    assert z_m.shape == (1440, 1920)
    column, row = np.floor(seen).astype(int).T
    hit, aligned = (
        delta1(z_m[row, column], label),
        delta1(z_m[v * 15 // 2 + 3, u * 15 // 2 + 3], truth[v, u]),
    )
    found = evaluated[1]["sets"]["scannetpp"]
    assert found["points_published"] == pytest.approx(hit.mean())
    assert found["points"] == pytest.approx(aligned.mean()) and (hit != aligned).any()


@pytest.mark.parametrize(
    ("measure", "who"),
    [
        ("measure_points", ("--constant", "15")),
        pytest.param("measure_map", ("--checkpoint", "tiny"), marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_and_tells_the_same(run, root, tmp_path, measure, who):
    copied, report, whole = tmp_path / "curated", tmp_path / "report.json", tmp_path / "whole.json"
    shutil.copytree(root, copied)
    asked = ("eval", str(copied), "--protocol", "depthvlm", *who, "--json")
    out = run(*asked, whole)[1]
    line = [sys.executable, "-c", KILLED, measure, *asked, str(report)]
    done = subprocess.run(line, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    lines = {
        path.name.split(".")[2]: path.read_bytes().count(b"\n")
        for path in tmp_path.glob("report.json.*.answers.jsonl")
    }
    assert lines == {"argoverse2": 2, "scannetpp": 2, "sunrgbd": 2, "ibims1": 2}
    with open(tmp_path / "report.json.ibims1.answers.jsonl", "ab") as file:
        file.write(b'{"record": "0000')  # as if it had been killed while it wrote
    for image in (copied / "scannetpp").rglob("*.jpg"):
        image.write_bytes(b"not read again")
    code, _, err = run(*asked, report, "--limit", 3)  # other images, other answers
    assert code == 2 and "samples" in err
    assert run(*asked, report)[:2] == (0, out)
    assert report.read_bytes() == whole.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["curated", "report.json", "whole.json"]


def test_folders_without_depth_images_are_named_with_the_command(run, tmp_path, capsys):
    ibims.write(tmp_path / "given", "raw")
    folder = tmp_path / "curated" / "ibims" / "test"
    curated("ibims", tmp_path / "given", folder)
    capsys.readouterr()
    code, out, err = run(*command(tmp_path / "curated", tmp_path / "report.json"))
    assert (code, out) == (2, "") and err.count("python -m training.curate ") == 9
    (line,) = [line for line in err.splitlines() if str(folder) in line]
    assert line.count(str(folder)) == 2 and line.count("--depth") == 2
    shutil.rmtree(folder)
    assert run(*command(tmp_path / "curated", tmp_path / "report.json"))[2].count("--depth") == 9


def test_both_protocols_read_the_same_folder_and_refuse_the_same(run, root, tmp_path):
    fake = ("--engine", "scripted", "--checkpoint", "facebook/VLM3-depth", "--limit", 4)
    code, out, _ = run("eval", root, "--protocol", "depthlm", *fake)
    assert code == 0 and "iBims (4 samples, labels z, ours)" in out
    assert "SUN (4 samples, labels z, depthvlm)" in out
    for protocol in PROTOCOLS:
        for more in (("--task", "axis"), ("--dataset", "nyuv2"), (tmp_path,)):
            code, out, err = run("eval", root, *more, "--protocol", protocol)
            assert (code, out) == (2, "") and err.startswith("depthlm: ")
    assert run("eval", root, "--protocol", "depthvlm", *fake, "--style", "dense")[0] == 2


def test_who_has_no_maps_is_asked_about_the_points(run, root, tmp_path, monkeypatch):
    """The fake says metres along the ray, the constant is of whatever kind the label is."""
    (record,) = Records(f"{root}/argoverse2/test/*.jsonl")
    truth = record.depth_map()
    there = np.argwhere(np.isfinite(truth))
    v, u = there[np.random.RandomState(42).choice(len(there), 10, replace=False)].T
    label = truth[v, u]  # distances, as published
    metres = 15.0
    monkeypatch.setattr(ScriptedEngine, "_reply", lambda *_: Reply(metres, ""))
    report, found = tmp_path / "report.json", {}
    asked = ("eval", root, "--protocol", "depthvlm", "--json", report)
    fake = ("--engine", "scripted", "--checkpoint", "facebook/VLM3-depth")
    for name, more in (("fake", fake), ("constant", ("--constant", metres))):
        code, out, _ = run(*asked, *more)
        assert code == 0 and "all known pixels" not in out
        found[name] = json.loads(report.read_text())["sets"]["argoverse2"]
        assert found[name]["delta1"] is None
    z_m = record.camera.z_from_distance(np.stack([u, v], 1), np.full(10, metres))
    share, as_z = delta1(metres, label).mean(), delta1(z_m, label).mean()
    assert 0 < share != as_z
    assert found["fake"]["points"] == found["constant"]["points"] == share
    assert found["fake"]["points_published"] == as_z
    assert found["constant"]["points_published"] == share
