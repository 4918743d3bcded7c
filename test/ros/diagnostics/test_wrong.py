# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What /diagnostics say of each thing that goes wrong, and when it is well again."""

import threading
import time
from functools import partial
from io import BytesIO

import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus
from PIL import Image as ImageFile
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from depthlm_ros.camera import Camera
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import Code
from depthlm_ros.ros.camera import inputs
from depthlm_ros.ros.publish import diagnostics

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def test_a_configuration_that_failed_is_an_error_with_its_reason(watch):
    watched = watch(autostart=False, grid__rate=500)
    watched.reported("depthlm: model", WARN, "/depthlm configure")
    assert watched.node.trigger_configure().name == "FAILURE"
    watched.reported("depthlm: model", ERROR, "grid.rate")


def test_a_model_that_cannot_be_loaded_is_an_error(watch):
    def load(progress):
        raise RuntimeError("no CUDA")

    values = watch(load).reported("depthlm: model", ERROR, "RuntimeError: no CUDA")
    assert values["ready"] == "false"


def test_a_model_that_loads_is_a_warning_with_its_progress(watch):
    may_load = threading.Event()

    def load(progress):
        progress(0.5, "reading weights")
        assert may_load.wait(10)
        return ScriptedEngine()

    watched = watch(load)
    watched.reported("depthlm: model", WARN, "50%")
    may_load.set()
    watched.reported("depthlm: model", OK)


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
    values = watched.reported("depthlm: model", ERROR, "MemoryError")
    assert int(values["failures EngineError"]) >= 3
    broken.clear()
    assert watched.robot.ask().success
    watched.reported("depthlm: model", OK)


def test_grids_that_fail_are_not_called_slow(watch):
    def answer(view, pixel):
        raise RuntimeError("no such kernel")

    watched = watch(ScriptedEngine(answer), grid__rate=20, grid__columns=2, grid__rows=2)
    watched.robot.node.create_subscription(PointCloud2, "/depthlm/points", [].append, 1)
    watched.robot.show()

    def failed():
        values = watched.reported("depthlm: model", ERROR, "no such kernel")
        return int(values["failures EngineError"]) > 20

    watched.robot.wait(failed)
    watched.reported("depthlm: camera camera", OK)


def test_what_callers_do_wrong_is_no_error_of_the_node(watch):
    watched = watch(grid__rate=0.0)
    robot = watched.robot
    robot.show()
    image, info = robot.new_image(), robot.info(Camera(640, 480, 500.0, 500.0, 320.0, 240.0))
    bad = robot.query_image.Request(image=image, camera_info=info, u=[1.0], v=[1.0])
    for _ in range(diagnostics.ROW):
        assert robot.call(robot.image, bad).code == Code.BAD_INTRINSICS
    values = watched.reported("depthlm: model", OK)
    assert values["failures CameraError"] == str(diagnostics.ROW)


def test_an_engine_that_hangs_is_an_error_and_requests_still_end(watch, monkeypatch):
    monkeypatch.setattr(diagnostics, "STUCK_S", 0.3)
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
    assert not late.success and late.code == Code.TIMED_OUT
    watched.reported("depthlm: model", ERROR, "query.timeout")
    go_on.set()
    values = watched.reported("depthlm: model", WARN, "query.timeout")
    assert values["failures TIMED_OUT"] == "1"
    assert watched.robot.ask().success


def test_a_camera_that_stops_is_a_warning_until_it_returns(watch, monkeypatch):
    monkeypatch.setattr(inputs, "SILENT_S", 0.5)
    watched = watch()
    watched.reported("depthlm: camera camera", WARN, "/image")
    watched.robot.show()
    silent = partial(watched.reported, "depthlm: camera camera", WARN, "/image")
    watched.robot.wait(lambda: int(silent()["images received"]))
    watched.robot.show()
    watched.reported("depthlm: camera camera", OK)


def test_a_camera_info_that_lies_is_an_error_though_nobody_asks(watch):
    watched = watch()
    info = watched.robot.info()
    info.width, info.height = 640, 480
    watched.robot.wait(lambda: watched.robot.infos.get_subscription_count())
    watched.robot.infos.publish(info)
    watched.robot.wait(lambda: watched.robot.images.get_subscription_count())
    watched.robot.images.publish(watched.robot.new_image())
    watched.reported("depthlm: camera camera", ERROR, "320 x 240")


@pytest.mark.parametrize("compressed", [False, True])
def test_images_that_cannot_be_decoded_are_an_error_though_nobody_asks(watch, compressed):
    watched = watch(input__compressed=compressed)
    robot = watched.robot
    if compressed:
        robot.images = robot.node.create_publisher(CompressedImage, "image/compressed", 1)

    def image(good):
        header, content = robot.header(), BytesIO()
        ImageFile.new("RGB", (320, 240), (80, 80, 80)).save(content, "jpeg")
        if compressed:
            data = content.getvalue() if good else b"no image"
            return CompressedImage(header=header, format="jpeg", data=data)
        message = robot.new_image()
        message.encoding = "rgb8" if good else "vendor8"
        return message

    def send(good):
        message, info = image(good), robot.info()
        info.header = message.header
        robot.infos.publish(info)
        robot.images.publish(message)

    timers = [robot.node.create_timer(0.1, lambda: send(True))]
    watched.reported("depthlm: camera camera", OK)
    robot.node.destroy_timer(timers.pop())
    timers = [robot.node.create_timer(0.1, lambda: send(False))]
    words = "jpeg" if compressed else "vendor8"
    watched.reported("depthlm: camera camera", ERROR, words)
    robot.node.destroy_timer(timers.pop())
    robot.node.create_timer(0.1, lambda: send(True))
    watched.reported("depthlm: camera camera", OK)


def test_a_rate_of_grids_that_is_not_held_is_a_warning_with_the_rate_that_is(watch):
    def answer(view, pixel):
        time.sleep(0.02)
        return 2.0

    watched = watch(
        ScriptedEngine(answer), grid__rate=10.0, grid__columns=6, grid__rows=5, grid__max_age=0.2
    )
    robot, clouds = watched.robot, []
    robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 1)

    def send():
        image, info = robot.new_image(), robot.info()
        info.header.stamp = image.header.stamp
        robot.infos.publish(info)
        robot.images.publish(image)

    robot.node.create_timer(0.05, send)
    values = watched.reported("depthlm: camera camera", WARN, "grid.max_age")
    assert float(values["grids per second"]) == 0 and not clouds
    assert int(values["grids given up"]) >= 1
    watched.node.set_parameters([Parameter("grid.max_age", value=0.0)])
    robot.wait(lambda: len(clouds) > 2)
    values = watched.reported("depthlm: camera camera", WARN, "grid.rate")
    assert 0 < float(values["grids per second"]) < 7


def test_cameras_that_are_missing_are_all_named(watch):
    watched = watch(cameras=["left", "right"])
    robot = watched.robot
    robot.wait(lambda: watched.statuses and "/left/image" in watched.statuses[-1].message)
    assert "/right/image" in watched.statuses[-1].message


def test_the_advice_lists_no_topics_of_the_node_itself(watch):
    watched = watch()
    others = watched.robot.node.create_publisher(Image, "/other/image", 1)
    watched.robot.node.destroy_publisher(watched.robot.images)
    status = watched.robot.wait(
        lambda: next((s for s in watched.statuses if "/other/image" in s.message), None)
    )
    assert "overlay" not in status.message and "depth/image" not in status.message
    assert others


def test_stamps_that_jump_back_are_a_warning(watch):
    watched = watch()
    watched.robot.show()
    earlier = watched.robot.new_image()
    earlier.header.stamp.sec = 3
    assert watched.robot.show(earlier).success
    values = watched.reported("depthlm: camera camera", WARN)
    assert values["stamps that jumped back"] == "1"


def test_two_nodes_of_one_name_are_a_warning(watch):
    watched, other = watch(), watch()
    watched.reported("depthlm: model", WARN, "__node:=")
    other.close()
    watched.reported("depthlm: model", OK)


@pytest.mark.parametrize(("fell_back", "level"), [(0, OK), (3, OK), (10, WARN)])
def test_answers_in_other_words_are_told_with_their_rate_and_the_command(watch, fell_back, level):
    engine = ScriptedEngine()
    engine.counts.update(checked=100, fell_back=fell_back)
    words = "checkpoints --verify tiny" if level == WARN else ""
    values = watch(engine).reported("depthlm: model", level, words)
    assert (values["answers checked"], values["answers in other words"]) == ("100", str(fell_back))
    assert float(values["fall-back rate"]) == fell_back / 100
