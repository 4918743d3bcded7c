# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The comparison of engines on the command line: rows that add up, table, JSON and plot."""

import json
import math
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.bench import answers
from depthlm_ros.bench.compare import Setting
from depthlm_ros.bench.report import line, preface, write_json, write_plot
from depthlm_ros.bench.timing import Row, memory_of, with_ratios
from depthlm_ros.bench.work import Work
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import find_checkpoint
from depthlm_ros.cli import main
from depthlm_ros.demo.scene import demo_frame
from depthlm_ros.errors import InputError

KEYS = "engine style n batch measured_n extrapolated seconds_per_question first_answer_s ratio"


def _row(engine, style, n, batch, seconds):
    return Row(engine, style, n, batch, n, False, seconds, seconds, 0.0, 1)


def test_ratios_are_against_reference_at_batch_one_of_the_same_style():
    rows = [
        _row("reference", "marker", 1, 1, 8.0),
        _row("reference", "marker", 16, 1, 6.0),
        _row("reference", "marker", 16, 4, 5.0),
        _row("reference", "coordinates", 16, 1, 7.0),
        _row("local", "marker", 1, 1, 4.0),
        _row("local", "marker", 16, 1, 4.0),
        _row("local", "coordinates", 16, 16, 0.1),
        _row("local", "position", 16, 16, 0.05),
    ]
    ratios = [row.ratio for row in with_ratios(rows)]
    assert ratios == pytest.approx([1, 1, 1.2, 1, 2, 1.5, 70, 120])


@pytest.fixture
def setting():
    work = {"marker": Work(0.0, 1e9, 74), "position": Work(1e9, 1e7, 12)}
    return Setting("tiny", 4_000_000, "float32", "cpu", 60.0, 0.1, 1e11, work, "on for marker")


def test_a_line_tells_ratio_share_of_the_peak_and_what_is_extrapolated(setting):
    row = Row("local", "position", 100, 64, 40, True, 0.001, 0.03, 12.5, 2_000_000_000)
    assert setting.roofline_s("position", 100) == pytest.approx(0.02)
    said = line(setting, row).split()
    assert said[:5] == ["local", "position", "100", "64", "40*"]
    assert said[5:] == ["0.001", "0.03", "12.50x", "0.02", "20%", "2.00"]
    *_, header = preface(setting)
    assert len(header) == len(line(setting, row))


def test_a_busy_machine_is_told(setting):
    assert not any("BUSY" in said for said in preface(setting))
    busy = replace(setting, load_before=5.3)
    assert any(said.startswith("BUSY: 5.3 ") for said in preface(busy))


def test_json_holds_every_entry_of_every_row(setting, tmp_path):
    row = _row("local", "marker", 1, 1, 4.0)
    write_json(setting, [row], "a machine", tmp_path / "b.json")
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["machine"] == "a machine"
    assert content["rows"][0].keys() == {*KEYS.split(), "peak_bytes"}
    assert content["rows"][0]["seconds_per_question"] == 4.0
    assert re.search(r"\b9\b", content["tree"])


def test_a_file_that_cannot_be_written_is_named_with_its_option(setting, tmp_path):
    for option, write in (("--json", write_json), ("--plot", write_plot)):
        with pytest.raises(InputError, match=f"{option} .*nowhere"):
            write(setting, [], "a machine", tmp_path / "nowhere" / "b.png")


def test_the_plot_has_a_line_for_each_series_and_the_roofline(setting, tmp_path):
    rows = [_row("local", "marker", n, n, 4.0) for n in (1, 16)]
    rows += [_row("reference", "marker", 16, batch, 9.0) for batch in (1, 4)]
    write_plot(setting, rows, "a machine", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (1080, 720)


def test_a_whole_comparison_on_the_command_line(capsys, tmp_path):
    arguments = "bench --size tiny --n 1,2 --styles position,marker --limit 1 --device cpu --json"
    assert main([*arguments.split(), str(tmp_path / "b.json")]) == 0
    content = json.loads((tmp_path / "b.json").read_text())
    found = {(r["engine"], r["style"], r["n"]) for r in content["rows"]}
    asked = [("reference", "marker"), ("local", "marker"), ("local", "position")]
    assert found == {(*who, n) for who in asked for n in (1, 2)}
    assert all(r["ratio"] > 0 and r["seconds_per_question"] > 0 for r in content["rows"])
    assert all(r["peak_bytes"] > 10_000_000 for r in content["rows"])
    assert content["work"]["position"]["tokens"] == 12
    said = capsys.readouterr().out.splitlines()
    busy = any(line.startswith("BUSY") for line in said)
    assert len(said) == 7 + busy + len(content["rows"])
    assert re.search(r"\b9 .*\bcheck: on .*\bmarker\b", said[4])


def _interrupted(*_):
    yield _row("reference", "marker", 1, 1, 4.0)
    raise KeyboardInterrupt


def test_a_run_that_breaks_off_leaves_the_rows_it_had(monkeypatch, tmp_path):
    arguments = "bench --size tiny --n 1 --styles marker --limit 1 --device cpu --json"
    monkeypatch.setattr("depthlm_ros.bench.compare._reference", _interrupted)
    assert main([*arguments.split(), str(tmp_path / "b.json")]) == 130
    (row,) = json.loads((tmp_path / "b.json").read_text())["rows"]
    assert (row["engine"], row["n"]) == ("reference", 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "tiny", "--styles", "laser"], "'laser'"),
        (["--size", "pixtral-12b", "--styles", "position"], "marker, coordinates"),
        (["--size", "tiny", "--style", "marker"], "--styles"),
        (["--size", "tiny", "--engine", "reference"], "--engine"),
        (["--json", "b.json"], "b.json"),
        (["--n", "5,7"], "--n 5,7 belongs to --size or --remote"),
        (["--styles", "marker"], "--size or --remote"),
        (["--host", "--limit", "3"], "--limit 3.0 belongs to --size"),
        (["--size", "tiny", "--times", "3"], "--ros or --clouds"),
        (["--ros", "--parts", "main"], "--gpu"),
        (["--growth", "--json", "b.json"], "--size or --host"),
        (["--host", "--plot", "b.png"], "--size"),
        (["--size", "tiny", "--json", "nowhere/b.json"], "nowhere"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(capsys, arguments, words):
    assert main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_without_torch_the_comparison_says_what_to_do(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "depthlm_ros.models.loading", None)
    assert main(["bench", "--size", "tiny"]) == 2
    assert "make setup" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "huge"], "qwen2.5-vl-3b"),
        (["--size", "tiny", "--checkpoint", "tiny"], "--checkpoint"),
        (["--size", "tiny", "--n", "1,0"], "--n"),
        (["--size", "tiny", "--limit", "no"], "--limit"),
    ],
)
def test_a_malformed_bench_line_says_what_is_allowed(capsys, arguments, words):
    with pytest.raises(SystemExit):
        main(["bench", *arguments])
    assert words in capsys.readouterr().err


def test_growth_asks_more_and_more_and_tells_time_and_memory(capsys):
    code = main(["bench", "--growth", "--engine", "scripted", "--style", "marker"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert code == 0
    assert [(row[0], int(row[1])) for row in rows] == [("marker", n) for n in (100, 1000, 10_000)]
    assert all(float(row[2]) > 0 and float(row[4]) > 1 for row in rows)


def test_growth_times_all_questions_but_not_what_happens_once():
    from depthlm_ros.bench.predictors import growth

    now, asked, places = [0.0], [], []

    class Answering:
        def ranges(self, frame, pixels, style):
            asked.append(len(pixels))
            places.append(pixels)
            now[0] += 3.0 if len(asked) == 1 else 0.5 * len(pixels)

    memory = SimpleNamespace(reset=lambda: None, peak=lambda: 7)
    frame = SimpleNamespace(camera=SimpleNamespace(width=40, height=30))
    grown = growth(Answering(), frame, "position", memory, (4, 900), lambda: now[0])
    assert [tuple(row) for row in grown] == [("position", 4, 0.5, 7), ("position", 900, 0.5, 7)]
    assert asked == [1, 4, 900]
    assert Camera(40, 30, 9.0, 9.0, 0.0, 0.0).contains(places[-1]).all()  # none is left unasked


def test_drift_is_the_median_and_largest_relative_change_among_pixels_that_both_answer():
    from depthlm_ros.bench.predictors import drift

    def answering(change):
        def ranges(frame, pixels, style):
            metres = np.full(len(pixels), 2.0)
            metres[:4] *= change
            return SimpleNamespace(distance_m=metres)

        return SimpleNamespace(ranges=ranges)

    frame = SimpleNamespace(camera=SimpleNamespace(width=40, height=30))
    exact = answering([1.0, 1.0, 1.0, 1.0])
    found = drift(exact, answering([1.1, 1.0, math.nan, 0.8]), frame, "position")
    assert (found.answers, found.same, found.median) == (47, 45, 0.0)
    assert found.largest == pytest.approx(-math.log(0.8))


def test_bench_compares_both_formats_of_sixteen_bits_in_every_style(capsys):
    assert main(["bench", "--drift", "--engine", "scripted"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "against" in line] == [
        "bfloat16 against float32",
        "float16 against float32",
    ]
    rows = [line.split() for line in lines if line.endswith("%")]
    assert [row[0] for row in rows] == 2 * ["marker", "coordinates", "position"]
    assert all(row[1:] == ["48", "48", "0.00", "%", "0.00", "%"] for row in rows)


def test_bench_shows_a_grid_read_from_the_map_and_one_asked():
    seen = []

    def ranges(frame, pixels, style):
        seen.append((len(pixels), style))

    entry = find_checkpoint("tiny")
    predictor = SimpleNamespace(checkpoint=entry, ranges=ranges, map=lambda frame: None)
    *_, pixel, _, read, asked = answers.lines(predictor, demo_frame(), "local")
    assert pixel.startswith("one pixel, dense ")
    assert read.startswith("a grid of 32 x 24, dense ")
    assert asked.startswith("a grid of 32 x 24, position ")
    assert {(768, "dense"), (768, "position")} < set(seen)


def test_memory_is_watched_on_the_gpu_that_runs_the_model(monkeypatch):
    torch = pytest.importorskip("torch")
    gpu, reset = torch.device("cuda:1"), []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {gpu: 7, None: 5}.get)
    memory = memory_of(gpu)
    memory.reset()
    assert (reset, memory.peak()) == ([gpu], 7)
