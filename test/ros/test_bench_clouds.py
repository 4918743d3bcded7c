# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm bench --clouds: camera, node with the embedded checkpoint and client as processes."""

import json
import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("torch")

from depthlm_ros.cli import main
from depthlm_ros.ros.tools.bench_clouds import CLOUDS_HZ, pace
from depthlm_ros.ros.tools.bench_clouds_node import MODEL, PARTS, Stopwatch


def test_clouds_their_costs_and_queries_beside_them_are_told_as_table_and_json(capfd, tmp_path):
    path = tmp_path / "clouds.json"
    assert main(["bench", "--clouds", "--times", "4", "--device", "cpu", "--json", str(path)]) == 0
    content = json.loads(path.read_text())
    assert (content["checkpoint"], content["stride"]) == ("tiny", 4)
    rows = {row["what"].strip(): row for row in content["rows"]}
    between = "between two clouds of 320 x 180 points"
    order = ["query in style dense, no clouds", between, "processor time of a cloud, the node"]
    assert [row["what"] for row in content["rows"]][:3] == order
    assert rows["query in style dense beside the clouds"]["n"] == 1
    assert content["rows"][1]["n"] == 4 and content["rows"][1]["goal"].startswith("5 a second: ")
    whole = rows["processor time of a cloud, the node"]["processor_ms"]
    costs = {name: row["processor_ms"] for name, row in rows.items() if "processor_ms" in row}
    del costs["processor time of a cloud, the node"]
    assert {part for part, *_ in PARTS} < set(costs) and min(costs.values()) > 0
    assert sum(costs.values()) == pytest.approx(whole)
    assert costs["vision part"] > costs["image message to array"]
    assert "processor time of a cloud, the node" in capfd.readouterr().out


def test_a_checkpoint_without_a_head_is_refused(checkpoint, capsys):
    assert main(["bench", "--clouds", "--checkpoint", str(checkpoint)]) != 0
    assert "--checkpoint" in capsys.readouterr().err


def test_a_part_is_counted_without_the_parts_that_it_calls(tmp_path):
    class Work:
        def outer(self):
            spin(0.02)
            self.inner()

        def inner(self):
            spin(0.06)

        def shown(self):
            pass

    watch = Stopwatch(tmp_path / "spent.json")
    watch.watch("outer", Work, "outer")
    watch.watch("inner", Work, "inner")
    watch.tell_after(Work, "shown")
    work = Work()
    work.outer()  # in the main thread: what the executor does is no part of a cloud
    work.shown()
    for name in ("ahead", MODEL):
        thread = threading.Thread(target=lambda: (work.outer(), work.shown()), name=name)
        thread.start()
        thread.join()
    spent = json.loads((tmp_path / "spent.json").read_text())
    assert spent["clouds"] == 1
    assert spent["parts"] == pytest.approx({"outer": 0.04, "inner": 0.12}, rel=0.2)
    assert spent["parts_of_model"] == pytest.approx(0.08, rel=0.2)
    assert spent["process"] > spent["model"] > 0.08


@pytest.mark.parametrize(("seconds", "says"), [(0.2, "5.00, met"), (0.25, "4.00, missed")])
def test_the_rate_is_that_of_the_clock(seconds, says):
    cloud = SimpleNamespace(width=2, height=1)
    row = pace([(seconds * n, cloud) for n in range(5)])
    assert row.goal == f"{CLOUDS_HZ:g} a second: {says}"
    assert (row.n, row.median_ms) == (4, pytest.approx(1e3 * seconds))


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
