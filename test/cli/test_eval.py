# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm eval: tables, JSON, the worst answers, and a run that goes on."""

import json
from pathlib import Path

import pytest

from depthlm_ros.data.files import read_image
from depthlm_ros.data.records import KINDS
from depthlm_ros.engines import Reply
from depthlm_ros.engines.scripted import ScriptedEngine

TINY = ["--checkpoint", "tiny"]
NOTHING = {"pixel_coords": [], "depth": []}
FAKE = ["--engine", "scripted", "--checkpoint", "facebook/VLM3-depth"]  # answers 2 m everywhere


def test_records_that_cannot_be_evaluated_name_file_and_line(run, tmp_path):
    camera = [40, 40, 31.5, 23.5, 64, 48]
    record = {"image": "a.png", "intrinsics": camera, "pixel_coords": [[1, 2]], "depth": [1]}
    calls = []
    for line in ("", "no json", json.dumps(record)):
        (tmp_path / "r.jsonl").write_text(f"{line}\n")
        code, out, err = run("eval", tmp_path / "r.jsonl", "--kind", "z", *FAKE)
        assert (code, out) == (2, "")
        calls.append(err)
    assert "r.jsonl" in calls[0]
    assert "r.jsonl:1: " in calls[1]
    assert "r.jsonl:1: " in calls[2] and "a.png" in calls[2]


def test_a_folder_of_records_is_told_how_to_name_them(run, tmp_path):
    code, _, err = run("eval", tmp_path, "--constant", "2")
    assert code == 2 and f"{tmp_path}/*.jsonl" in err


@pytest.mark.parametrize("command", ["eval", "calibrate", "intervals"])
@pytest.mark.parametrize(
    "changed",
    [{"image": "b.png"}, {"kind": None}, {"depth": [0]}, {"pixel_coords": [[1], [2, 3]]}],
)
def test_a_bad_line_is_told_before_anything_is_asked(
    changed, command, run, records, monkeypatch, capsys
):
    monkeypatch.setattr(ScriptedEngine, "step", lambda engine, batch: pytest.fail("asked"))
    good = {**json.loads(records.read_text().splitlines()[0]), "kind": "z"}
    lines = map(json.dumps, [good, {**good, **changed}, good, {**good, **changed}])
    records.write_text("\n".join(lines))
    code, out, err = run(command, records, *(FAKE if command == "eval" else TINY))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "r.jsonl:2: " in err and " 2 records" in err


@pytest.mark.parametrize("options", [["--each", 2], ["--task", "axis", "--dataset", "nyuv2"]])
def test_options_that_would_say_nothing_are_refused(options, run, records):
    code, _, err = run("eval", records, "--kind", "z", *options, *FAKE)
    assert code == 2 and options[-2] in err


def test_records_without_a_pixel_are_told(run, records):
    records.write_text(json.dumps({**json.loads(records.read_text().splitlines()[0]), **NOTHING}))
    code, out, err = run("eval", records, "--constant", 2)
    assert (code, out) == (2, "") and "r.jsonl" in err


@pytest.mark.parametrize("name", [".", "nowhere/report.json"])
@pytest.mark.parametrize("more", [[], ["--task", "axis"], ["--protocol", "depthvlm"]])
def test_a_report_that_cannot_be_written_is_told_before_anything_is_asked(
    more, name, run, records, tmp_path
):
    command = ["eval", records, "--kind", "z", *more, "--json", tmp_path / name, *FAKE]
    code, out, _ = run(*command)
    assert (code, out) == (2, "")


@pytest.fixture
def records(image_file):
    """A records file of two images that does not state its kind."""
    line = {"image": "a.png", "intrinsics": [40, 40, 31.5, 23.5, 64, 48]}
    line |= {"pixel_coords": [[0, 0], [32, 24]], "depth": [2.0, 2.0]}
    path = Path(image_file).with_name("r.jsonl")
    path.write_text("\n".join([json.dumps(line)] * 2))
    return path


def test_eval_prints_a_table_and_writes_json(run, records, tmp_path):
    report = tmp_path / "report.json"
    code, out, _ = run("eval", records, "--kind", "z", "--json", report, *FAKE)
    content = json.loads(report.read_text())
    assert code == 0
    assert content["images"] == 2 and content["right"]["pooled"]["points"] == 4
    for scores in (content["published"], content["right"]):  # one line each
        assert f" {scores['pooled']['delta1']:.4f} " in out
    assert content["published"]["pooled"]["delta1"] == 1.0
    assert content["right"]["pooled"]["delta1"] == 0.5


def test_eval_goes_on_where_a_run_was_cut_off_and_then_forgets_it(run, records, tmp_path):
    """The first run fails at its second image; a run with another style is refused."""
    image, lines = tmp_path / "a.png", records.read_text().splitlines()
    (tmp_path / "b.png").write_bytes(b"cut off")
    records.write_text("\n".join([lines[0], lines[1].replace("a.png", "b.png")]))
    report = tmp_path / "report.json"
    command = ["eval", records, "--kind", "z", "--json", report, *FAKE]
    assert run(*command)[0] == 2 and not report.exists()
    other = run("eval", records, "--json", report, "--constant", 2)
    assert other[0] == 2 and "checkpoint, constant" in other[2]
    image.replace(tmp_path / "b.png")
    image.write_bytes(b"not read again")
    code, _, err = run(*command)
    assert code == 0 and " 1 images " in err
    assert json.loads(report.read_text())["right"]["pooled"]["points"] == 4
    assert not list(tmp_path.glob("*.answers.jsonl"))


def test_eval_against_compares_two_ways_image_by_image(run, records, monkeypatch):
    """Plainly the fake is right everywhere; of the mirrored views it says 4 m, so 2.83 m."""
    monkeypatch.setattr(
        ScriptedEngine,
        "_reply",
        lambda engine, scene, question: Reply(4.0 if scene.view.is_mirrored else 2.0, ""),
    )
    arguments = ("eval", records, "--kind", "distance", *FAKE, "--average", "mirror", "--against")
    code, out, _ = run(*arguments, "coordinates")
    head, raw, aligned = out.splitlines()[-3:]
    names = ["facebook/VLM3-depth (coordinates+mirror)", "facebook/VLM3-depth (coordinates)"]
    assert code == 0 and all(name in head for name in names)
    assert raw.split()[1:] == ["0.000", "1.000", "-1.000", "-1.000", "to", "-1.000"]
    assert aligned.split()[2:] == ["1.000", "1.000", "+0.000", "+0.000", "to", "+0.000"]
    same = run(*arguments, "coordinates+mirror")[1].splitlines()[-2]
    assert same.split()[1:4] == ["0.000", "0.000", "+0.000"]
    assert run(*arguments, "coordinates+flip")[0] == 2 and run(*arguments, "marker")[0] == 2
    constant = ("eval", records, "--constant", 2, "--against", "coordinates")
    code, out, err = run(*constant)
    assert (code, out) == (2, "") and "--against" in err
    assert run(*arguments, "coordinates", "--protocol", "depthvlm")[0] == 2
    task = ("eval", records, "--kind", "distance", *FAKE, "--task", "points")
    assert [run(*task)[0], run(*task, "--average", "mirror")[0]] == [0, 2]


def test_eval_draws_the_worst_answers(run, records, tmp_path):
    sheet = tmp_path / "worst.png"
    assert run("eval", records, "--kind", "z", "--worst", 2, sheet, *FAKE)[0] == 0
    assert read_image(sheet).shape[1] == 2 * 320


def test_eval_prints_what_others_have_published(run, records):
    out = run("eval", records, "--constant", 2, "--dataset", "nyuv2")[1]
    line = next(line for line in out.splitlines() if line.startswith("DepthVLM 4B"))
    assert line.split()[2] == "0.908"


def test_eval_limits_the_images(run, records, tmp_path):
    given = ("eval", records, "--constant", 2, "--limit", 1, "--json", tmp_path / "report.json")
    assert run(*given)[0] == 0
    assert json.loads((tmp_path / "report.json").read_text())["images"] == 1


def test_eval_of_a_model_without_a_kind_says_what_to_pass(run, records):
    code, out, err = run("eval", records, *FAKE)
    assert (code, out) == (2, "")
    assert "r.jsonl:1" in err and "--kind distance" in err and "--kind z" in err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--style", "marker"), ("--engine", "scripted"), ("--axes", "both"), ("--average", "mirror")],
)
def test_a_constant_is_told_by_no_model(option, value, run, records):
    code, out, err = run("eval", records, "--constant", 2, option, value)
    assert (code, out, len(err.splitlines())) == (2, "", 1) and option in err


def test_eval_of_a_constant_needs_no_kind_and_says_so(run, records, tmp_path):
    report = tmp_path / "report.json"
    assert run("eval", records, "--constant", 2.0, "--json", report)[0] == 0
    assert json.loads(report.read_text())["label_kind"] not in KINDS


def test_eval_of_another_task_asks_its_question(run, records, tmp_path):
    report = tmp_path / "report.json"
    given = ("--kind", "z", "--task", "axis", "--each", 3, "--json", report)
    assert run("eval", records, *given, *FAKE)[0] == 0
    content = json.loads(report.read_text())
    assert (content["task"], content["style"], content["questions"]) == ("axis", "coordinates", 6)
    assert content["scores"]["answered"][0] == 1


def test_eval_of_a_task_about_two_images_reads_pairs(run, image_file, tmp_path):
    line = {"images": ["a.png", "a.png"], "intrinsics": [[40, 40, 31.5, 23.5, 64, 48]] * 2}
    pose = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2.1], [0, 0, 0, 1]]
    (tmp_path / "p.jsonl").write_text(json.dumps({**line, "second_from_first": pose}))
    given = ("--task", "moved", "--json", tmp_path / "report.json")
    code, out, _ = run("eval", tmp_path / "p.jsonl", *given, *FAKE)
    assert code == 0
    content = json.loads((tmp_path / "report.json").read_text())
    assert (content["task"], content["style"], content["questions"]) == ("moved", "plain", 1)
    line = next(line for line in out.splitlines() if line.startswith("delta1"))
    assert line.split()[1] == "1.0000"
    code, _, err = run("eval", tmp_path / "p.jsonl", "--task", "moved", "--constant", 2)
    assert code == 2 and "--constant" in err
