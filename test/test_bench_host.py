# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a GPU would wait for, at tiny size: every row tells its figures, and what the model
computes is left out of what a question costs."""

import json
import time

import pytest

pytest.importorskip("torch")

from depthlm_ros.bench import host
from depthlm_ros.bench.shapes import Text, Vision, build, view_of
from depthlm_ros.cli import main
from depthlm_ros.engines.local.engine import LocalEngine

TINY = host.THIN_3B._replace(
    text=Text(32, 3, 4, 2, 8, 32, 1024), vision=Vision(32, 3, 4, 48, (1,))
)


def test_the_command_tells_times_goals_and_operations(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(host, "THIN_3B", TINY)
    monkeypatch.setattr(host, "QUESTIONS", {"position": 16, "coordinates": 8})
    monkeypatch.setattr(host, "TIMES", 2)
    assert main(["bench", "--host", "--json", str(tmp_path / "host.json")]) == 0
    report = json.loads((tmp_path / "host.json").read_text())
    rows = report["rows"]
    assert report["questions"] == {"position": 16, "coordinates": 8}
    assert [row["goal_ms"] for row in rows] == [6.0, 6.0, 6.0, 0.05, 0.15, 6.0]
    assert [row["times"] for row in rows] == [2] * 6
    assert all(row["least_ms"] <= row["median_ms"] for row in rows)
    assert [row["operations"] > 0 for row in rows] == [True, True, False, False, False, True]
    assert all(row["least_ms"] > 0 for row in rows if row["operations"])
    assert [row["what"] in line for row, line in zip(rows, _table(capsys), strict=True)] == [
        True
    ] * 6


def _table(capsys):
    return capsys.readouterr().out.splitlines()[-6:]


def test_what_the_model_computes_is_told_from_what_the_host_does():
    engine = LocalEngine(build(TINY, "tiny", "cpu"), check="off")
    view, style = view_of(TINY), engine.loaded.checkpoint.asker("coordinates")
    scene = engine.open([view], style)
    pair, clock = (scene, style.question(view, (70, 60))), host._Clock(engine)
    with clock.running():
        begin = time.thread_time()
        engine.step([pair])
        whole = time.thread_time() - begin
    assert clock.passes == 3  # its words, and two rounds of digits
    assert 0 < clock.inside < whole
    engine.step([pair])
    assert clock.passes == 3, "nobody listens any more"


def test_what_a_graph_would_do_is_told_from_what_the_host_does():
    engine = LocalEngine(build(TINY, "tiny", "cpu"), check="off")
    view, style = view_of(TINY), engine.loaded.checkpoint.asker("marker")
    scene, clock = engine.open([view], style), host._Clock(engine)
    pair = scene, style.question(view, (70, 60))
    plain = engine.step([pair])
    with clock.running(), host._graphs_of(engine, clock):
        begin = time.thread_time()
        found = engine.step([pair])
        whole = time.thread_time() - begin
    assert found[0].text == plain[0].text
    assert 0 < clock.graphs_s < whole
    assert engine.graphs is None, "as it was"


@pytest.mark.parametrize("more", [["--size", "tiny"], ["--gpu", "--device", "cpu"]])
def test_one_thing_is_measured_at_a_time(more, capsys):
    assert main(["bench", "--host", *more]) == 2
    assert "--host" in capsys.readouterr().err
