# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The action ~/scan_grid over DDS, inside one process: progress, cancel, and what comes of it."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, RegionOfInterest

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import Code
from depthlm_ros.msgs.fields import cloud_columns
from depthlm_ros.predict import AskingPredictor, Status
from depthlm_ros.ros.serve import action
from depthlm_ros.ros.serve.queries import interfaces

WORDING = {"marker": "tags", "coordinates": "tags"}
ROW = Checkpoint("fake", "", "none", 250.0, "marker", "coordinates", WORDING)
OFF = RegionOfInterest(x_offset=320, width=4, height=4)  # right beside the image
PARAMETERS = {"grid.rate": 0, "grid.columns": 6, "grid.rows": 5, "query.max_pixels": 5}


class Scanner:
    """A robot with a node in this process, and a client of its action."""

    def __init__(self, robot, node, engine):
        self.robot, self.node, self.engine = robot, node, engine
        self.type = interfaces()[1].ScanGrid
        self.feedback = []
        self.client = ActionClient(robot.node, self.type, "/depthlm/scan_grid")

    def begin(self, **goal):
        """The handle of an accepted goal."""
        assert self.client.wait_for_server(10)
        sent = self.client.send_goal_async(
            self.type.Goal(**goal), lambda message: self.feedback.append(message.feedback)
        )
        self.robot.wait(sent.done)
        assert sent.result().accepted
        return sent.result()

    def end(self, handle):
        """(status, result) of a goal."""
        future = handle.get_result_async()
        self.robot.wait(future.done)
        return future.result().status, future.result().result

    def run(self, **goal):
        return self.end(self.begin(**goal))


@pytest.fixture
def scanner(start_node):
    engine = ScriptedEngine(lambda view, pixel: 1.0 + pixel[0] / 100)
    node, robot = start_node(lambda progress: AskingPredictor(engine, ROW), **PARAMETERS)
    made = Scanner(robot, node, engine)
    yield made
    made.client.destroy()


def test_a_grid_comes_as_an_organised_cloud_with_statistics(scanner):
    image = scanner.robot.new_image()
    scanner.robot.show(image)
    status, result = scanner.run(columns=4, rows=3)
    assert status == GoalStatus.STATUS_SUCCEEDED and result.success, result.message
    assert result.header == result.cloud.header == image.header
    assert (result.cloud.width, result.cloud.height) == (4, 3)
    expected = [1.4, 2.2, 3.0, 3.8] * 3  # columns 40, 120, 200, 280
    assert list(result.answers.distance) == pytest.approx(expected)
    assert cloud_columns(result.cloud)["distance"] == pytest.approx(expected)
    assert result.answered == 12
    figures = result.nearest, result.median, result.farthest
    assert figures == pytest.approx((1.4, 2.6, 3.8))
    assert 0 < result.latency.sec + result.latency.nanosec / 1e9 < 10


def test_a_region_is_covered_and_no_more(scanner):
    scanner.robot.show()
    region = RegionOfInterest(x_offset=100, y_offset=60, width=40, height=20)
    _, result = scanner.run(columns=2, rows=2, region=region)
    assert list(result.answers.asked_u) == [110, 130, 110, 130]  # 109.5 and 129.5, rounded to even
    assert list(result.answers.asked_v) == [64, 64, 74, 74]


def test_a_list_is_one_row_in_its_order_and_may_be_longer_than_a_question(scanner):
    scanner.robot.show()
    u = [300.0, 20.0, 900.0, 160.0, 40.0, 60.0]
    _, result = scanner.run(u=u, v=[120.0] * 6)
    assert (result.cloud.width, result.cloud.height) == (6, 1)
    expected = [4.0, 1.2, np.nan, 2.6, 1.4, 1.6]
    assert list(result.answers.distance) == pytest.approx(expected, nan_ok=True)
    assert result.answers.status[2] == Status.OUTSIDE
    assert not result.cloud.is_dense and result.answered == 5


def test_a_list_longer_than_the_largest_grid_is_refused(scanner, monkeypatch):
    monkeypatch.setattr(action, "LARGEST_GRID", 5)
    scanner.robot.show()
    status, result = scanner.run(u=[1.0] * 6, v=[1.0] * 6)
    assert (status, result.code) == (GoalStatus.STATUS_ABORTED, Code.BAD_REQUEST)
    assert not result.success and scanner.run(u=[1.0] * 5, v=[1.0] * 5)[1].success


def test_without_grid_and_list_it_is_the_grid_of_the_node(scanner):
    scanner.robot.show()
    _, result = scanner.run()
    assert (result.cloud.width, result.cloud.height) == (6, 5)


def test_a_region_without_a_grid_is_covered_by_the_stride_of_the_node(scanner):
    scanner.robot.show()
    region = RegionOfInterest(x_offset=100, y_offset=60, width=40, height=20)
    scanner.node.set_parameters([Parameter("grid.stride", value=10)])
    _, result = scanner.run(region=region)
    assert (result.cloud.width, result.cloud.height) == (4, 2)
    assert list(result.answers.asked_u) == [104, 114, 124, 134] * 2


def test_an_image_in_the_goal_is_measured_instead_of_the_newest(scanner):
    scanner.robot.show()
    own = scanner.robot.new_image()
    _, result = scanner.run(image=own, camera_info=scanner.robot.info(), columns=2, rows=1)
    assert result.success and result.header == own.header


def test_feedback_tells_progress_time_to_go_and_the_partial_cloud(scanner):
    scanner.robot.show()
    scanner.engine.seconds_per_question = 0.01
    _, result = scanner.run(columns=10, rows=10)
    assert result.answered == 100
    done = [f.done for f in scanner.feedback]
    assert done == sorted(set(done)) and 0 < done[0] < 100
    assert {f.total for f in scanner.feedback} == {100}
    for feedback in scanner.feedback:
        known = np.isfinite(cloud_columns(feedback.partial)["distance"])
        assert known.sum() >= feedback.done and (feedback.partial.width == 10)
        assert 0 <= feedback.seconds_left < 30


def test_a_cancel_keeps_what_is_done_and_ends_within_a_step(scanner):
    scanner.robot.show()
    scanner.engine.seconds_per_question, asked, answer = 0.02, [], scanner.engine.answer
    scanner.engine.answer = lambda view, pixel: asked.append(pixel) or answer(view, pixel)
    handle = scanner.begin(columns=40, rows=40)
    scanner.robot.wait(lambda: scanner.feedback)
    scanner.robot.wait(handle.cancel_goal_async().done)
    status, result = scanner.end(handle)
    scanner.robot.ask()  # whatever is still under way ends before
    step = scanner.engine.room(None, 0.1)
    assert len(asked) <= result.answered + step + 1
    assert status == GoalStatus.STATUS_CANCELED and result.success
    assert result.code == Code.CANCELLED and "of 1600" in result.message
    states = set(result.answers.status)
    assert states == {Status.OK, Status.CANCELLED}
    known = np.isfinite(cloud_columns(result.cloud)["distance"])
    assert 0 < known.sum() == result.answered < 1600


def test_questions_overtake_a_scan_under_way(scanner):
    scanner.robot.show()
    scanner.engine.seconds_per_question = 0.01
    handle = scanner.begin(columns=30, rows=30)
    scanner.robot.wait(lambda: scanner.feedback)
    response = scanner.robot.ask()
    assert response.success
    assert scanner.feedback[-1].done < 450
    scanner.robot.wait(handle.cancel_goal_async().done)
    assert scanner.end(handle)[0] == GoalStatus.STATUS_CANCELED


def test_two_scans_at_a_time_both_end(scanner):
    scanner.robot.show()
    first, second = scanner.begin(columns=3, rows=3), scanner.begin(columns=2, rows=2)
    assert scanner.end(second)[1].answered == 4
    assert scanner.end(first)[1].answered == 9


@pytest.mark.parametrize(
    "goal, code, words",
    [
        ({"camera": "rear"}, Code.BAD_REQUEST, "'rear'"),
        ({"columns": 3}, Code.BAD_REQUEST, "3 x 0"),
        ({"u": [1.0]}, Code.BAD_REQUEST, "u and v"),
        ({"max_age": Duration(sec=-3)}, Code.BAD_REQUEST, "-3"),
        ({"columns": 2, "rows": 2, "region": OFF}, Code.BAD_REQUEST, "4 x 4 at (320, 0)"),
        ({"image": Image(width=5, height=5, encoding="rgb8")}, Code.BAD_IMAGE, "step"),
    ],
)
def test_a_goal_that_cannot_be_carried_out_says_why(scanner, goal, code, words):
    scanner.robot.show()
    status, result = scanner.run(**goal)
    assert status == GoalStatus.STATUS_ABORTED
    assert (result.success, result.code) == (False, code) and words in result.message


def test_a_scan_ends_with_the_reason_when_the_node_is_deactivated(scanner):
    scanner.robot.show()
    scanner.engine.seconds_per_question = 0.02
    handle = scanner.begin(columns=40, rows=40)
    scanner.robot.wait(lambda: scanner.feedback)
    scanner.node.trigger_deactivate()
    status, result = scanner.end(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.code == Code.INACTIVE


@pytest.fixture
def forgetful(monkeypatch):
    monkeypatch.setattr("depthlm_ros.ros.serve.action.RESULT_KEPT_S", 1)


def test_results_are_forgotten_after_a_while_so_that_they_do_not_fill_the_memory(
    forgetful, scanner
):
    scanner.robot.show()
    handle = scanner.begin(columns=2, rows=2)
    assert scanner.end(handle)[0] == GoalStatus.STATUS_SUCCEEDED
    scanner.robot.wait(lambda: scanner.end(handle)[0] == GoalStatus.STATUS_UNKNOWN)
