# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What /diagnostics and ~/status say of a node that is well, when, and at what cost."""

import builtins
import io
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from depthlm_ros.ros.publish import diagnostics

OK = DiagnosticStatus.OK


def test_a_node_that_is_well_says_what_it_runs_and_how_fast(watch):
    watched = watch()
    watched.robot.show()
    for _ in range(4):
        assert watched.robot.ask([100.0] * 30, [100.0] * 30).success
    model = watched.reported("depthlm: model", OK)
    assert (model["state"], model["ready"]) == ("active", "true")
    assert (model["checkpoint"], model["engine"], model["device"]) == ("tiny", "local", "none")
    assert float(model["query answered per second"]) >= 0.5
    assert 0 < float(model["query latency median ms"]) <= float(model["query latency 95 % ms"])
    assert (model["batch size"], model["questions waiting"]) == ("30", "0")
    assert float(model["memory MB"]) > 10
    watched.robot.show()  # on a busy machine the first one is old by now
    camera = watched.reported("depthlm: camera camera", OK)
    assert camera["topic"] == "/image" and int(camera["images received"]) >= 1
    assert 0 <= float(camera["age of the newest image s"]) < 10
    page = Path(__file__).parents[3] / "docs/interfaces.md"
    assert {*model, *camera} <= set(re.findall(r"`([^`]+)`", page.read_text()))


def test_status_is_kept_for_whoever_comes_late_and_holds_everything(watch):
    watched = watch()
    watched.robot.show()
    watched.reported("depthlm: model", OK)
    late = []
    watched.listen(late)
    status = watched.robot.wait(lambda: late and late[-1])
    values = {v.key: v.value for v in status.values}
    assert (status.name, status.level) == ("depthlm", OK)
    assert values["ready"] == "true" and values["camera: topic"] == "/image"


def test_diagnostics_read_no_file_again(watch, monkeypatch):
    """A model that computes in Python gives the interpreter back 5 ms after each call of the
    kernel; opening a file takes five of them, and every transition waited for all."""
    watched = watch()

    def memory_mb():
        return float(watched.reported("depthlm: model", OK)["memory MB"])

    before, grown = memory_mb(), []
    for module in (io, builtins):
        monkeypatch.setattr(module, "open", lambda *args, **kwargs: 1 / 0)

    def told():  # what other tests held may be given back meanwhile
        if len(grown) < 10:
            grown.append(np.ones(50_000_000, np.uint8))
        return memory_mb() > before + 40

    watched.robot.wait(told)


def test_each_state_is_told_at_once(watch, monkeypatch):
    monkeypatch.setattr(diagnostics, "PERIOD_S", 3600.0)
    watched = watch(autostart=False)
    change = watched.robot.node.create_client(ChangeState, "/depthlm/change_state")
    for label, state, words in (
        ("configure", "inactive", "/depthlm activate"),
        ("activate", "active", "/image"),
        ("deactivate", "inactive", "/depthlm activate"),
    ):
        request = ChangeState.Request(transition=Transition(label=label))
        watched.statuses.clear()
        assert watched.robot.call(change, request).success
        watched.robot.wait(lambda state=state, words=words: watched.has_reported(state, words))


@pytest.mark.parametrize(
    "value, text",
    [
        (12345.678, "12346"),
        (439.2, "439"),
        (99.04, "99"),
        (4.5678, "4.57"),
        (0.5, "0.5"),
        (0.00012345, "0.0001"),
        (float("inf"), "unknown"),
        (np.float64(2.5), "2.5"),
        (True, "true"),
        (17, "17"),
        ("cuda:0", "cuda:0"),
    ],
)
def test_figures_are_for_people(value, text):
    assert diagnostics._text(value) == text


def test_the_memory_of_the_gpu_that_runs_the_model_is_told(monkeypatch):
    torch = pytest.importorskip("torch")
    held = {"cuda:1": 3_000_000_000}
    monkeypatch.setattr(torch.cuda, "memory_allocated", held.get)
    assert dict(diagnostics._memory("cuda:1"))["GPU memory MB"] == 3000
    assert "GPU memory MB" not in dict(diagnostics._memory("cpu"))
