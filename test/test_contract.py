# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The commands with a predictor that has neither engine nor model: the contract is enough."""

import json

import numpy as np
import pytest
from PIL import Image
from testing.array_predictor import NO_WORDS, ArrayPredictor

from depthlm_ros.camera import Camera
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import UnsupportedError
from depthlm_ros.predict import PREDICTORS, AskingPredictor, Predictor
from depthlm_ros.view import Frame

# Of 64 x 48 pixels, as the image_file of conftest.py; every entry is another.
DISTANCE_M = 1.0 + np.arange(48 * 64).reshape(48, 64) / 1000
ARRAY = ["--engine", "array"]


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """The predictors that were made for the engine name "array"."""
    predictors = []

    def make(checkpoint, warm_up, progress):
        predictors.append(ArrayPredictor(DISTANCE_M, checkpoint))
        return predictors[-1]

    monkeypatch.setitem(PREDICTORS, "array", make)
    return predictors


def test_a_predictor_has_the_members_of_the_contract_and_no_others():
    contract = {n for n in vars(Predictor) if not n.startswith("_")}
    has = {n for n in dir(ArrayPredictor(DISTANCE_M)) if not n.startswith("_")}
    assert has - {"closed"} == contract
    assert contract <= set(dir(AskingPredictor)) | {"checkpoint"}


def test_ask_answers_from_the_array(run, image_file):
    at = ["--at", "20,10", "--at", "63,47", "--at", "64,3"]
    code, out, _ = run("ask", image_file, "--fx", 40, *at, "--json", *ARRAY)
    content = json.loads(out)
    assert code == 0 and content["checked"] == 0
    assert [a["distance_m"] for a in content["answers"]] == [
        DISTANCE_M[10, 20],
        DISTANCE_M[47, 63],
        None,
    ]
    assert content["answers"][2]["status"] == "OUTSIDE"


def test_scan_writes_the_cloud_of_the_array(run, image_file, tmp_path):
    code, _, _ = run(
        "scan", image_file, "--fx", 40, "--grid", "4x2", "--out", tmp_path / "out", *ARRAY
    )
    lines = (tmp_path / "out" / "cloud.ply").read_bytes().split(b"\n")
    assert code == 0 and b"element vertex 8" in lines
    assert (tmp_path / "out" / "overlay.png").exists()


def test_eval_of_the_array_against_itself_is_right(run, image_file, tmp_path):
    pixels = [[5, 6], [40, 20], [63, 0]]
    record = {
        "image": "a.png",
        "intrinsics": [40.0, 40.0, 31.5, 23.5, 64, 48],
        "pixel_coords": pixels,
        "depth": [DISTANCE_M[v, u] for u, v in pixels],
        "kind": "distance",
    }
    records, report = tmp_path / "r.jsonl", tmp_path / "report.json"
    records.write_text(json.dumps(record))
    code, _, err = run("eval", records, "--json", report, *ARRAY)
    assert code == 0, err
    found = report.read_text()
    assert '"delta1": 1.0' in found and '"abs_rel": 0.0' in found


def test_a_task_is_refused_with_the_reason_where_it_cannot_be_asked(run, image_file, tmp_path):
    record = {
        "image": "a.png",
        "intrinsics": [100.0, 100.0, 31.5, 23.5, 64, 48],
        "pixel_coords": [[20, 20], [40, 30], [30, 20]],
        "depth": [1.0, 2.0, 3.0],
        "kind": "z",
    }
    (tmp_path / "r.jsonl").write_text(json.dumps(record))
    code, _, err = run("eval", tmp_path / "r.jsonl", "--task", "axis", *ARRAY)
    assert code == 2 and NO_WORDS in err


def test_a_map_holds_every_pixel():
    camera = Camera(64, 48, 40.0, 40.0, 31.5, 23.5)
    frame = Frame(np.zeros((48, 64, 3), np.uint8), camera)
    predictor = ArrayPredictor(DISTANCE_M)
    whole = predictor.map(frame)
    some = predictor.ranges(frame, [(20, 10), (63, 47)])
    for field in ("distance_m", "z_m", "lower_m", "upper_m", "stddev_m", "points"):
        of_map = getattr(whole, field)[[10, 47], [20, 63]]
        assert np.allclose(of_map, getattr(some, field)), field


def test_a_predictor_that_asks_by_pixel_has_no_map(image_file):
    frame = Frame(np.asarray(Image.open(image_file)), Camera(64, 48, 40.0, 40.0, 31.5, 23.5))
    predictor = AskingPredictor(ScriptedEngine(), ArrayPredictor(DISTANCE_M).checkpoint)
    with pytest.raises(UnsupportedError, match="grid"):
        predictor.map(frame)
