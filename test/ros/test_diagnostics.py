# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What /diagnostics and ~/status say of a node that is well, and of each thing that goes wrong."""

import builtins
import io
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros import diagnostics, health, inputs
from depthlm_ros.ros.node import DepthLMNode

ROW = Checkpoint("fake", "", "none", 250.0, "marker", "marker", {"marker": "tags"})
OK, WARN, ERROR = (bytes([level]) for level in range(3))
KEPT = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Watched:
    """A node in this process, a robot, and the newest of what the node says of itself."""

    def __init__(self, context, robot, engine, **parameters):
        self.robot, self.engine = robot, engine
        overrides = [Parameter(n.replace("__", "."), value=v) for n, v in parameters.items()]
        self.node = DepthLMNode(self.load, context=context, parameter_overrides=overrides)
        robot.executor.add_node(self.node)
        self.statuses, self.arrays = [], []
        robot.node.create_subscription(DiagnosticArray, "/diagnostics", self.arrays.append, 10)
        self.listen(self.statuses)

    def close(self):
        if self.node is not None:
            self.node.close()
        self.node = None

    def load(self, progress):
        engine = self.engine(progress) if callable(self.engine) else self.engine
        return AskingPredictor(engine, ROW)

    def listen(self, heard):
        self.robot.node.create_subscription(
            DiagnosticStatus, "/depthlm/status", heard.append, KEPT
        )

    def has_told(self, state, words):
        return any(
            words in status.message and KeyValue(key="state", value=state) in status.values
            for status in self.statuses
        )

    def told(self, name, level, words):
        """Values of the first /diagnostics entry of this name with this level and these words."""

        def found():
            for status in (s for array in self.arrays for s in array.status):
                if (status.name, status.level) == (name, level) and words in status.message:
                    return {v.key: v.value for v in status.values}
            return None

        self.arrays.clear()
        try:
            return self.robot.wait(found)
        except AssertionError:
            said = {(s.name, s.level, s.message) for array in self.arrays for s in array.status}
            raise AssertionError(f"only: {said}") from None


@pytest.fixture
def watch(context, make_robot, monkeypatch):
    """watch(engine or (progress) -> engine, parameter=value) -> Watched; ten reports a second."""
    monkeypatch.setattr(diagnostics, "PERIOD_S", 0.1)
    made = []

    def start(engine=None, **parameters):
        made.append(Watched(context, make_robot(), engine or ScriptedEngine(), **parameters))
        return made[-1]

    yield start
    for watched in made:
        watched.close()


def test_a_node_that_is_well_says_what_it_runs_and_how_fast(watch):
    watched = watch()
    watched.robot.show()
    for _ in range(4):
        assert watched.robot.ask([100.0] * 30, [100.0] * 30).success
    model = watched.told("depthlm: model", OK, "ready")
    assert (model["state"], model["ready"]) == ("active", "true")
    assert (model["checkpoint"], model["engine"], model["device"]) == ("tiny", "local", "none")
    assert float(model["query answered a second"]) >= 0.5
    assert 0 < float(model["query latency median ms"]) <= float(model["query latency 95 % ms"])
    assert (model["batch size"], model["questions waiting"]) == ("30", "0")
    assert float(model["memory MB"]) > 10
    camera = watched.told("depthlm: camera camera", OK, "pictures come")
    assert camera["topic"] == "/image" and int(camera["pictures received"]) >= 1
    assert 0 <= float(camera["age of the newest picture s"]) < 10


def test_status_is_kept_for_whoever_comes_late_and_holds_everything(watch):
    watched = watch()
    watched.robot.show()
    watched.told("depthlm: model", OK, "ready")
    late = []
    watched.listen(late)
    status = watched.robot.wait(lambda: late and late[-1])
    values = {v.key: v.value for v in status.values}
    assert (status.name, status.level, status.message) == ("depthlm", OK, "ready")
    assert values["ready"] == "true" and values["camera: topic"] == "/image"


def test_diagnostics_read_no_file_again(watch, monkeypatch):
    """A model that computes in Python gives the interpreter back 5 ms after each call of the
    kernel; opening a file takes five of them, and every transition waited for all."""
    watched = watch()
    before = float(watched.told("depthlm: model", OK, "ready")["memory MB"])
    grown = np.ones(50_000_000, np.uint8)
    for module in (io, builtins):
        monkeypatch.setattr(module, "open", lambda *args, **kwargs: 1 / 0)
    after = float(watched.told("depthlm: model", OK, "ready")["memory MB"])
    assert after > before + 40 and len(grown)


def test_each_state_is_told_at_once(watch, monkeypatch):
    monkeypatch.setattr(diagnostics, "PERIOD_S", 3600.0)
    watched = watch(autostart=False)
    change = watched.robot.node.create_client(ChangeState, "/depthlm/change_state")
    for label, state, words in (
        ("configure", "inactive", "is inactive: type"),
        ("activate", "active", "waiting for image"),
        ("deactivate", "inactive", "is inactive: type"),
    ):
        request = ChangeState.Request(transition=Transition(label=label))
        watched.statuses.clear()
        assert watched.robot.call(change, request).success
        watched.robot.wait(lambda state=state, words=words: watched.has_told(state, words))


def test_a_configuration_that_failed_is_an_error_with_its_reason(watch):
    watched = watch(autostart=False, grid__rate=500)
    watched.told("depthlm: model", WARN, "unconfigured: type")
    assert watched.node.trigger_configure().name == "FAILURE"
    watched.told("depthlm: model", ERROR, "configure failed: parameter grid.rate")


def test_a_model_that_cannot_be_loaded_is_an_error(watch):
    def load(progress):
        raise RuntimeError("no CUDA")

    values = watch(load).told("depthlm: model", ERROR, "RuntimeError: no CUDA")
    assert values["ready"] == "false"


def test_a_model_that_loads_is_a_warning_with_its_progress(watch):
    may_load = threading.Event()

    def load(progress):
        progress(0.5, "reading weights")
        assert may_load.wait(10)
        return ScriptedEngine()

    watched = watch(load)
    watched.told("depthlm: model", WARN, "loading the model, 50%")
    may_load.set()
    watched.told("depthlm: model", OK, "ready")


def test_an_engine_that_always_fails_is_an_error_and_one_success_ends_it(watch):
    broken = [True]

    def answer(view, pixel):
        if broken:
            raise MemoryError("out of memory")
        return 2.0

    watched = watch(ScriptedEngine(answer), grid__rate=0.0)
    watched.robot.show()
    for _ in range(3):
        assert not watched.robot.ask().success
    values = watched.told("depthlm: model", ERROR, "questions failed: the engine failed")
    assert int(values["failures EngineError"]) >= 3
    broken.clear()
    assert watched.robot.ask().success
    watched.told("depthlm: model", OK, "ready")


def test_an_engine_that_hangs_is_an_error_and_requests_still_end(watch, monkeypatch):
    monkeypatch.setattr(health, "STUCK_S", 0.3)
    go_on = threading.Event()

    def answer(view, pixel):
        if pixel[0] > 200:
            go_on.wait(20)
        return 2.0

    watched = watch(ScriptedEngine(answer, 0.1), grid__rate=0.0, query__timeout=1)
    watched.robot.show()
    response = watched.robot.ask([100.0, 300.0], [100.0, 100.0])
    assert response.success and list(response.answers.status) == [0, 5]  # OK, TIMED_OUT
    late = watched.robot.ask()
    assert not late.success and "has not begun this question" in late.message
    watched.told("depthlm: model", ERROR, "silent for")
    go_on.set()
    values = watched.told("depthlm: model", WARN, "requests time out")
    assert values["failures TIMED_OUT"] == "1"
    assert watched.robot.ask().success


def test_a_camera_that_stops_is_a_warning_until_it_returns(watch, monkeypatch):
    monkeypatch.setattr(inputs, "SILENT_S", 0.5)
    watched = watch()
    watched.told("depthlm: camera camera", WARN, "waiting for image on /image")
    watched.robot.show()
    watched.told("depthlm: camera camera", WARN, "is the camera still running?")
    watched.robot.show()
    watched.told("depthlm: camera camera", OK, "pictures come")


def test_a_camera_info_that_lies_is_an_error_though_nobody_asks(watch):
    watched = watch()
    info = watched.robot.info()
    info.width, info.height = 640, 480
    watched.robot.wait(lambda: watched.robot.infos.get_subscription_count())
    watched.robot.infos.publish(info)
    watched.robot.wait(lambda: watched.robot.images.get_subscription_count())
    watched.robot.images.publish(watched.robot.picture())
    watched.told("depthlm: camera camera", ERROR, "the picture is 320 x 240 but camera_info")


def test_stamps_that_jump_back_are_a_warning(watch):
    watched = watch()
    watched.robot.show()
    earlier = watched.robot.picture()
    earlier.header.stamp.sec = 3
    assert watched.robot.show(earlier).success
    values = watched.told("depthlm: camera camera", WARN, "stamps jump back")
    assert values["stamps that jumped back"] == "1"


def test_two_nodes_of_one_name_are_a_warning(watch):
    watched, other = watch(), watch()
    watched.told("depthlm: model", WARN, "1 more nodes are called /depthlm")
    other.close()
    watched.told("depthlm: model", OK, "ready")


def test_the_memory_of_the_gpu_that_runs_the_model_is_told(monkeypatch):
    torch = pytest.importorskip("torch")
    held = {"cuda:1": 3_000_000_000}
    monkeypatch.setattr(torch.cuda, "memory_allocated", held.get)
    assert dict(health._memory("cuda:1"))["GPU memory MB"] == 3000
    assert "GPU memory MB" not in dict(health._memory("cpu"))
