# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm calibrate and intervals: records and a checkpoint folder in, an entry and a page out."""

import hashlib
import json
import struct
from math import log

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.checkpoints import Checkpoint, find_checkpoint
from depthlm_ros.cli import main
from depthlm_ros.data.records import Records
from depthlm_ros.engines import Reply
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import load_predictor

FAKE = ("--engine", "scripted")  # says 2 m, 1.8 to 2.2 m, everywhere


@pytest.fixture
def checkpoint(tmp_path):
    """A folder that says what a checkpoint says, for the scripted engine."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    header = b"{}"
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    wording = {"coordinates": "tags", "marker": "tags"}
    Checkpoint("own", "", "none", 40.0, "coordinates", "coordinates", wording).write(folder)
    return folder


@pytest.fixture
def records(tmp_path):
    """A function (name, labels of one pixel each) -> jsonl of as many images."""
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")

    def write(name, labels):
        line = {"image": "a.png", "intrinsics": [40, 40, 31.5, 23.5, 64, 48], "kind": "distance"}
        at = {"pixel_coords": [[32, 24]]}
        lines = [json.dumps({**line, **at, "depth": [label]}) for label in labels]
        (tmp_path / name).write_text("\n".join(lines))
        return tmp_path / name

    return write


def table(text):
    """(data, second cell) -> the other cells, of the lines of Markdown tables."""
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    return {(first, second): rest for first, second, *rest in cells}


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def test_the_fitted_number_the_data_and_their_hash_are_written(checkpoint, records, capsys):
    """19 truths, the 18th largest 3.0 m: the 2.2 m of every interval are widened to it."""
    path = records("fit.jsonl", [2.0] * 17 + [3.0, 9.0])
    assert run("calibrate", path, "--checkpoint", checkpoint, *FAKE) == 0
    entry = find_checkpoint(str(checkpoint))
    assert list(entry.calibration) == ["coordinates", "marker"]
    fit = entry.calibration["coordinates"]
    assert fit.widening == pytest.approx(log(3.0 / 2.2))
    assert (fit.points, fit.images, fit.level, fit.kind) == (19, 19, 0.9, "distance")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert fit.data == [{"name": "fit.jsonl", "sha256": digest}]
    cells = capsys.readouterr().out.splitlines()[1].split()
    assert cells[:2] == ["coordinates", "+0.310"]


def test_the_predictor_then_answers_with_the_wider_interval(checkpoint, records):
    path = records("fit.jsonl", [2.0] * 17 + [3.0, 9.0])
    run("calibrate", path, "--checkpoint", checkpoint, *FAKE)
    ranges = load_predictor(str(checkpoint), "scripted").ranges(
        Records(path)[0].frame(), [(32, 24)]
    )
    assert ranges.upper_m == pytest.approx([3.0])
    assert ranges.lower_m == pytest.approx([1.8 * 2.2 / 3.0])


def test_a_second_fit_starts_from_the_models_own_interval(checkpoint, records):
    path = records("fit.jsonl", [2.0] * 17 + [3.0, 9.0])
    for _ in range(2):
        run("calibrate", path, "--checkpoint", checkpoint, *FAKE)
    fit = find_checkpoint(str(checkpoint)).calibration["coordinates"]
    assert fit.widening == pytest.approx(log(3.0 / 2.2))


def test_one_style_leaves_the_other_as_it_is(checkpoint, records):
    path = records("fit.jsonl", [2.0] * 20)
    run("calibrate", path, "--checkpoint", checkpoint, "--style", "marker", *FAKE)
    assert list(find_checkpoint(str(checkpoint)).calibration) == ["marker"]


def test_out_gets_a_complete_copy_and_the_original_stays(checkpoint, records, tmp_path):
    path = records("fit.jsonl", [2.0] * 20)
    before = (checkpoint / "depthlm.json").read_bytes()
    out = tmp_path / "calibrated"
    assert run("calibrate", path, "--checkpoint", checkpoint, "--out", out, *FAKE) == 0
    assert (checkpoint / "depthlm.json").read_bytes() == before
    assert find_checkpoint(str(out)).is_calibrated("marker")


def test_the_embedded_checkpoint_is_not_changed_unasked(records, capsys):
    assert run("calibrate", records("fit.jsonl", [2.0] * 12), *FAKE) == 2
    err = capsys.readouterr().err
    assert "--checkpoint" in err and "--out" in err


def test_too_few_images_change_nothing(checkpoint, records, tmp_path, capsys):
    path, out = records("fit.jsonl", [2.0] * 8), tmp_path / "calibrated"
    assert run("calibrate", path, "--checkpoint", checkpoint, "--out", out, *FAKE) == 2
    assert "9" in capsys.readouterr().err
    assert not out.exists() and not find_checkpoint(str(checkpoint)).calibration


@pytest.mark.parametrize("command", ["calibrate", "intervals"])
def test_an_engine_without_intervals_is_told(command, checkpoint, records, capsys, monkeypatch):
    monkeypatch.setattr(ScriptedEngine, "_reply", lambda *_: Reply(2.0, "2.00"))
    path = records("fit.jsonl", [2.0] * 20)
    assert run(command, path, "--checkpoint", checkpoint, *FAKE) == 2
    assert "interval" in capsys.readouterr().err


def test_answers_without_an_interval_are_left_out_and_counted(
    checkpoint, records, capsys, monkeypatch
):
    reply, asked = ScriptedEngine._reply, []

    def every_fifth_bare(*arguments):
        asked.append(arguments)
        return Reply(2.0, "2.00") if len(asked) % 5 == 0 else reply(*arguments)

    monkeypatch.setattr(ScriptedEngine, "_reply", every_fifth_bare)
    path = records("fit.jsonl", [2.0] * 25)
    given = ("--checkpoint", checkpoint, "--style", "marker", *FAKE)
    assert run("calibrate", path, *given) == 0
    cells = capsys.readouterr().out.splitlines()[1].split()
    assert (cells[0], cells[5:7], cells[8]) == ("marker", ["20", "20"], "5")
    assert run("intervals", path, *given) == 0
    cells = table(capsys.readouterr().out)["fit", "all, before calibration"]
    assert cells == ["25", "1.000 (1.00 to 1.00); 0.20; 5 without"]


def test_the_page_holds_coverage_before_and_after_and_rejection(checkpoint, records, capsys):
    fit = records("fit.jsonl", [2.0] * 17 + [3.0, 9.0])
    run("calibrate", fit, "--checkpoint", checkpoint, *FAKE)
    capsys.readouterr()
    test = records("test.jsonl", [2.0, 2.9, 1.5, 5.0])
    assert run("intervals", test, "--checkpoint", checkpoint, *FAKE) == 0
    out = capsys.readouterr().out
    assert all(word in out.splitlines()[0] for word in ("coordinates", "+0.310", "fit.jsonl"))
    cells = table(out)
    before, after = cells["test", "all, before calibration"], cells["test", "all"]
    assert (before[0], after[0]) == ("4", "4")
    assert before[1].startswith("0.250 ") and after[1].startswith("0.750 ")
    assert before[1].endswith(f"; {log(2.2 / 1.8):.2f}")
    assert after[1].endswith(f"; {log(2.2 / 1.8) + 2 * log(3 / 2.2):.2f}")
    assert len([key for key in cells if key[0] == "test"]) == 2 + 4 + 2


@pytest.fixture
def by_look(monkeypatch):
    """The fake says 2 m of a black image, 6 m of a grey one, to 10 %, and 2 m of a bright one with
    an interval of a factor of 4."""

    def reply(engine, scene, question):
        grey = scene.view.image.mean()
        if grey > 128:
            return Reply(2.0, "2.00", 2.0, 2.0, 1.0, 4.0, 1.0)
        metres = 6.0 if grey else 2.0
        return Reply(metres, "", metres, metres, 0.9 * metres, 1.1 * metres, 1.0)

    monkeypatch.setattr(ScriptedEngine, "_reply", reply)


def known(records):
    """Ten images at 2 m and ten at 6 m."""
    path, other = records("fit.jsonl", [2.0] * 10), records("six.jsonl", [6.0] * 10)
    Image.new("RGB", (64, 48), (60, 60, 60)).save(path.with_name("c.png"))
    path.write_text("\n".join([path.read_text(), other.read_text().replace("a.png", "c.png")]))
    return path


def bright(path):
    """The same records of a bright image."""
    Image.new("RGB", (64, 48), "white").save(path.parent / "b.png")
    other = path.with_name(f"bright_{path.name}")
    other.write_text(path.read_text().replace("a.png", "b.png"))
    return other


def test_the_width_from_which_on_nothing_is_known_is_found(
    checkpoint, records, capsys, by_look, tmp_path
):
    """Known images are as far as told; of ten strange ones two are, and a constant knows eight."""
    fit = known(records)
    strange = bright(records("strange.jsonl", [2.0] * 2 + [5.0] * 8))
    given = ("--checkpoint", checkpoint, "--style", "marker", *FAKE)
    assert run("calibrate", fit, "--strange", strange, *given) == 0
    found = find_checkpoint(str(checkpoint)).calibration["marker"]
    assert (found.points, found.images) == (20, 20)  # the strange ones calibrate nothing
    assert found.unknown_ratio == pytest.approx(4 * np.exp(2 * found.widening))
    assert [d["name"] for d in found.unknown_data] == ["bright_strange.jsonl"]
    capsys.readouterr()
    test = records("test.jsonl", [2.0] * 3 + [5.0])
    assert run("intervals", test, bright(records("new.jsonl", [2.0, 6.0, 7.0, 9.0])), *given) == 0
    cells = table(capsys.readouterr().out.split("uncertain from")[1].split("| uncertain")[1])
    assert [cells[name, "marker"][0] for name in ("test", "bright_new")] == ["0.0%", "100.0%"]
    assert cells["bright_new", "marker"][1].startswith("0.250 ")
    assert cells["test", "marker"][3].startswith("0.750 ")
    assert run("ask", tmp_path / "b.png", *ASKED, *given[:2], *FAKE) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert answer["uncertain"] is True and answer["distance_m"] == 2.0
    assert run("calibrate", fit, *given) == 0  # and is gone with a fit without strange images
    assert find_checkpoint(str(checkpoint)).calibration["marker"].unknown_ratio is None
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "marker" in told[0] and "--strange" in told[0]


ASKED = ("--fx", "40", "--at", "32,24", "--json", "--style", "marker")


def test_fewer_strange_images_than_say_something_find_no_width(checkpoint, records, by_look):
    strange = bright(records("strange.jsonl", [5.0] * 8))
    run("calibrate", known(records), "--strange", strange, "--checkpoint", checkpoint, *FAKE)
    found = find_checkpoint(str(checkpoint)).calibration["marker"]
    assert found.unknown_ratio is None and len(found.unknown_data) == 1


def test_averaged_answers_have_a_calibration_of_their_own(checkpoint, records, capsys):
    path = records("fit.jsonl", [2.0] * 17 + [3.0, 9.0])
    given = ("--checkpoint", checkpoint, "--style", "marker", *FAKE)
    assert run("calibrate", path, *given) == 0
    before = find_checkpoint(str(checkpoint)).calibration["marker"]
    ask = ("ask", path.with_name("a.png"), *ASKED, "--average", "mirror", *given[:2], *FAKE)
    assert calibrated(capsys, *ask) is False
    assert run("calibrate", path, "--average", "mirror", *given) == 0
    entry = find_checkpoint(str(checkpoint))
    assert list(entry.calibration) == ["marker", "marker+mirror"] and entry.average == {}
    assert entry.calibration["marker"] == before
    assert calibrated(capsys, *ask) is True


def calibrated(capsys, *ask):
    """Whether `depthlm ask --json` says that its intervals are."""
    capsys.readouterr()
    assert run(*ask) == 0
    return json.loads(capsys.readouterr().out)["calibrated"]
