# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Cameras as they are: several on one model, pairs by stamp, compressed, changing, of any QoS."""

import itertools
from io import BytesIO

import numpy as np
import pytest

pytest.importorskip("rclpy")
from PIL import Image as ImageFile
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import Code, InputError
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.camera import inputs
from depthlm_ros.ros.convert import image_message
from depthlm_ros.ros.node import DepthLMNode

ROW = Checkpoint("fake", "", "none", 250.0, "marker", "marker", {"marker": "tags"})
RELIABILITIES = [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT]
DURABILITIES = [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL]
WIDE = Camera(320, 240, 125.0, 125.0, 160.0, 120.0)


def brightness(view, pixel):
    """Metres: the grey of the image's first pixel."""
    return float(view.image[0, 0, 0])


@pytest.fixture
def start(start_node):
    """start(parameter=value) -> robot beside a node whose answer is the image's grey."""

    def started(load=lambda progress: AskingPredictor(ScriptedEngine(brightness), ROW), **values):
        return start_node(load, **values)[1]

    return started


def grey(robot, value):
    return image_message(robot.header(), np.full((240, 320, 3), value, np.uint8))


def camera_publishers(robot, name):
    return [
        robot.node.create_publisher(k, f"{name}/{t}", 1)
        for k, t in ((Image, "image"), (CameraInfo, "camera_info"))
    ]


def test_several_cameras_share_one_model_and_have_topics_of_their_own(start):
    loads = []

    def load(progress):
        loads.append(1)
        return AskingPredictor(ScriptedEngine(brightness), ROW)

    robot = start(load, cameras=["left", "right"], grid__rate=20, grid__columns=2, grid__rows=2)
    shown = {"left": grey(robot, 30), "right": grey(robot, 70)}
    publishers = {name: camera_publishers(robot, name) for name in shown}
    clouds = {"left": [], "right": []}
    for name, received in clouds.items():
        robot.node.create_subscription(PointCloud2, f"/depthlm/{name}/points", received.append, 1)

    def answered(name):
        for each, (images, infos) in publishers.items():
            infos.publish(robot.info())
            images.publish(shown[each])
        response = robot.ask(camera=name)
        return response if response.success else None

    for name, metres in (("left", 30.0), ("right", 70.0)):
        response = robot.wait(lambda name=name: answered(name))
        assert response.header == shown[name].header
        assert list(response.answers.distance) == [metres]
        cloud = robot.wait(lambda name=name: clouds[name] and clouds[name][-1])
        values = np.frombuffer(cloud.data, np.float32).reshape(4, 6)
        assert cloud.header == shown[name].header and values[:, 4].tolist() == [metres] * 4
    for unnamed in (robot.ask(), robot.ask(camera="rear")):
        assert unnamed.code == Code.BAD_REQUEST
        assert "'left'" in unnamed.message and "'right'" in unnamed.message
    assert "'rear'" in unnamed.message
    assert loads == [1]


def test_a_single_camera_with_a_name_has_topics_of_that_name(start):
    robot = start(cameras=["left"], grid__rate=20, grid__columns=2, grid__rows=2)
    images, infos = camera_publishers(robot, "left")
    clouds = []
    robot.node.create_subscription(PointCloud2, "/depthlm/left/points", clouds.append, 1)

    def answered():
        infos.publish(robot.info())
        images.publish(grey(robot, 30))
        return clouds and robot.ask().success and robot.ask(camera="left").success

    robot.wait(answered)


def test_what_is_wrong_with_each_camera_is_told_and_not_for_each_image(start, capfd):
    """Of cameras that differ in what is wrong, and in numbers that differ from image to image."""
    names = "left", "right"
    robot = start(cameras=list(names))
    publishers = {name: camera_publishers(robot, name) for name in names}

    def answered(name, image):
        images, infos = publishers[name]
        infos.publish(robot.info())
        images.publish(image)
        return robot.ask(camera=name).code == Code.BAD_IMAGE

    for short in range(1, 6):
        image = robot.new_image()
        image.encoding = "16UC1"
        robot.wait(lambda image=image: answered("left", image))
        image = robot.new_image()
        image.data = image.data[:-short]
        robot.wait(lambda image=image: answered("right", image))
    told = capfd.readouterr().err
    assert told.count("'16UC1'") == 1 and told.count("230399 bytes") == 1
    assert told.count("bytes of data") == told.count("230399 bytes of data")


def test_the_same_fault_of_two_cameras_is_told_of_each(start, capfd):
    names = "left", "right"
    robot = start(cameras=list(names))
    publishers = {name: camera_publishers(robot, name) for name in names}

    def answered(name):
        images, infos = publishers[name]
        infos.publish(robot.info())
        image = robot.new_image()
        image.encoding = "16UC1"
        images.publish(image)
        return robot.ask(camera=name).code == Code.BAD_IMAGE

    for name in names:
        robot.wait(lambda name=name: answered(name))
    told = [line for line in capfd.readouterr().err.splitlines() if "'16UC1'" in line]
    assert [name for line in told for name in names if f"/{name}/image: " in line] == [*names]


@pytest.mark.parametrize("names", [["left", "left"], ["x" * 65], ["a"] * 500])
def test_names_that_cannot_be_used_are_refused_and_not_repeated_at_length(
    context, make_robot, names
):
    robot = make_robot()
    overrides = [Parameter("cameras", value=names)]
    with pytest.raises(InputError) as refused:
        DepthLMNode(lambda progress: None, context=context, parameter_overrides=overrides)
    assert "cameras" in str(refused.value) and len(str(refused.value)) < 300
    robot.wait(lambda: "depthlm" not in robot.node.get_node_names())  # nobody would close it


def test_a_long_name_in_a_request_is_not_repeated_at_length(start):
    robot = start()
    refused = robot.ask(camera="x" * 5000)
    assert not refused.success and len(refused.message) < 300


def test_the_camera_info_of_the_images_stamp_holds_though_a_newer_one_has_come(start):
    robot = start()
    image, own, newer = grey(robot, 40), robot.info(WIDE), robot.info()
    own.header, newer.header = image.header, robot.header()

    def answered():
        robot.infos.publish(own)
        robot.infos.publish(newer)
        robot.images.publish(image)
        response = robot.ask([285.0], [120.0])
        return response if response.header == image.header else None

    answers = robot.wait(answered).answers
    assert answers.x[0] == pytest.approx(answers.z[0])  # 45 degrees by the wide lens


def test_a_camera_info_that_comes_after_its_image_is_waited_for(start):
    robot = start()
    robot.show()
    image, own = grey(robot, 40), robot.info(WIDE)
    own.header = image.header
    robot.images.publish(image)
    robot.executor.spin_once(timeout_sec=0.05)
    robot.infos.publish(own)
    response = robot.wait(lambda: (r := robot.ask([285.0], [120.0])).header == image.header and r)
    assert response.answers.x[0] == pytest.approx(response.answers.z[0])


def test_exact_pairing_takes_the_camera_info_of_the_images_stamp_whichever_comes_first(start):
    robot = start(input__pairing="exact")
    for first, second in itertools.permutations((robot.images, robot.infos)):
        image, info = grey(robot, 40), robot.info(WIDE)
        info.header = image.header
        other = robot.info()  # newer and of another lens, but not of this image
        other.header = robot.header()
        messages = {robot.images: image, robot.infos: info}

        def answered(sent=(first, second, messages, other, image)):
            sent[0].publish(sent[2][sent[0]])
            sent[1].publish(sent[2][sent[1]])
            robot.infos.publish(sent[3])
            response = robot.ask([285.0], [120.0])
            return response if response.header == sent[4].header else None

        answers = robot.wait(answered).answers
        assert answers.x[0] == pytest.approx(answers.z[0])  # 45 degrees by the wide lens


def test_exact_pairing_says_which_stamps_came_where_none_agree(start):
    robot = start(input__pairing="exact")
    image, info = grey(robot, 40), robot.info()
    info.header = robot.header()

    def refused():
        robot.images.publish(image)
        robot.infos.publish(info)
        message = robot.ask().message
        return message if "1002.000000005" in message else None

    message = robot.wait(refused)
    assert "1001.000000005" in message and "input.pairing" in message


def test_a_camera_info_that_changes_holds_from_then_on(start):
    robot = start()
    robot.show()
    narrow = robot.ask([285.0], [120.0]).answers
    assert narrow.x[0] == pytest.approx(narrow.z[0] / 2)

    def is_wide():
        robot.infos.publish(robot.info(WIDE))
        robot.images.publish(robot.new_image())
        answers = robot.ask([285.0], [120.0]).answers
        return answers.x[0] == pytest.approx(answers.z[0])

    robot.wait(is_wide)
    big = Camera(640, 480, 500.0, 500.0, 320.0, 240.0)  # and the images grow too
    image = image_message(robot.header(), np.full((480, 640, 3), 40, np.uint8))
    assert robot.show(image, robot.info(big)).success


def test_a_stamp_that_jumps_back_is_answered_like_any_other(start):
    robot = start()
    robot.show()
    earlier = grey(robot, 50)
    earlier.header.stamp.sec = 3
    assert robot.show(earlier).answers.distance[0] == 50.0


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_compressed_images_are_subscribed_beside_the_raw_topic(start, form):
    robot = start(input__compressed=True)
    content = BytesIO()
    ImageFile.new("RGB", (320, 240), (80, 80, 80)).save(content, form)
    message = CompressedImage(header=robot.header(), format=f"rgb8; {form} compressed bgr8")
    message.data = content.getvalue()
    robot.images = robot.node.create_publisher(CompressedImage, "image/compressed", 1)
    response = robot.show(message)
    assert response.success and response.answers.distance[0] == pytest.approx(80, abs=1)
    broken = CompressedImage(header=robot.header(), format="jpeg", data=b"no image")
    refused = robot.show(broken)
    assert refused.code == Code.BAD_IMAGE and "'jpeg'" in refused.message
    assert "0x" not in refused.message  # Pillow names an object of Python, each time another one


def test_a_camera_with_compressed_images_alone_is_named_with_the_parameter_to_set(start):
    robot = start()
    robot.node.destroy_publisher(robot.images)
    robot.images = robot.node.create_publisher(CompressedImage, "image/compressed", 1)
    advice = "/image/compressed is published: set input.compressed to true"
    robot.wait(lambda: advice in robot.ask().message)


def test_a_topic_of_another_type_is_told_with_both_types_and_what_to_do(node_process, make_robot):
    """As where the topic of compressed images is given for the raw ones."""
    robot = make_robot("", "/typed")
    for topic in ("wrong", "wrong_too"):
        robot.node.create_publisher(CompressedImage, topic, 1)

    def told(camera, kind, advice):
        robot.images.publish(robot.new_image())
        words = "sensor_msgs/msg/CompressedImage", f"sensor_msgs/msg/{kind};", advice
        message = robot.ask(camera=camera).message
        return all(word in message for word in words)

    cameras = "-p", "engine:=scripted", "-p", "cameras:=[left, right]"
    wrong = "-r", "left/image:=/wrong", "-r", "right/camera_info:=/wrong_too"
    with node_process("-r", "__node:=typed", *cameras, *wrong, "-r", "right/image:=/image"):
        robot.wait(lambda: told("left", "Image", "left.input.compressed to true"))
        robot.wait(lambda: told("right", "CameraInfo", "-r right/camera_info:="))


def test_one_topic_for_images_and_camera_info_is_refused_by_name(node_process, make_robot):
    words = "-r", "__node:=same", "-p", "engine:=scripted", "-r", "camera_info:=/image"
    with node_process(*words):
        message = make_robot("", "/same").ask().message
    assert all(w in message for w in ("image (", "camera_info (", " /image:", "/same configure"))


def test_one_of_several_is_named_with_its_own_parameter_and_launch_argument(start):
    robot = start(cameras=["left", "right", "rear"], right__input__compressed=True)
    robot.node.create_publisher(CompressedImage, "left/image/compressed", 1)
    robot.node.create_publisher(Image, "right/image", 1)

    def advised(camera, *advice):
        robot.wait(lambda: all(part in robot.ask(camera=camera).message for part in advice))

    advised("left", "/left/image/compressed ", " left.input.compressed to true")
    advised("right", "/right/image ", " right.input.compressed to false")
    advised("rear", " /image, /right/image.")  # left/image nobody publishes
    advised("rear", "-r rear/image:=TOPIC", "cameras:=rear=IMAGE_TOPIC,...")


@pytest.mark.parametrize("reliability", RELIABILITIES)
@pytest.mark.parametrize("durability", DURABILITIES)
def test_publishers_of_every_qos_are_heard(start, reliability, durability):
    robot = start()
    qos = QoSProfile(depth=1, reliability=reliability, durability=durability)
    for attribute, topic, kind in (
        ("images", "image", Image),
        ("infos", "camera_info", CameraInfo),
    ):
        robot.node.destroy_publisher(getattr(robot, attribute))
        setattr(robot, attribute, robot.node.create_publisher(kind, topic, qos))
    assert robot.show().success


@pytest.mark.parametrize("reliability", RELIABILITIES)
@pytest.mark.parametrize("durability", DURABILITIES)
def test_subscribers_of_every_qos_hear_the_cloud(start, reliability, durability):
    robot = start(grid__rate=20, grid__columns=2, grid__rows=2)
    qos, clouds = QoSProfile(depth=1, reliability=reliability, durability=durability), []
    robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, qos)
    robot.show()
    robot.wait(lambda: clouds)


def test_a_reliable_subscriber_of_a_best_effort_camera_is_told_what_to_set(start):
    robot = start(input__reliability="reliable")
    robot.node.destroy_publisher(robot.images)
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    robot.images = robot.node.create_publisher(Image, "image", best_effort)
    robot.wait(lambda: "input.reliability" in robot.ask().message)


def test_a_silent_camera_is_told_with_what_may_be_wrong_with_just_that_topic(start, monkeypatch):
    """A camera_info is small: no shared memory is too small for it."""
    monkeypatch.setattr(inputs, "SILENT_S", 0.0)
    robot = start()
    profile = "FASTRTPS_DEFAULT_PROFILES_FILE="
    robot.wait(lambda: profile in robot.ask().message)

    def of_camera_info():
        robot.images.publish(grey(robot, 9))
        message = robot.ask().message
        return "/camera_info" in message and message

    assert profile not in robot.wait(of_camera_info)


def test_with_simulated_time_that_stands_still_questions_and_clouds_are_answered(start):
    robot = start(use_sim_time=True, grid__rate=20, grid__columns=2, grid__rows=2)
    clouds = []
    robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 1)
    assert robot.show().success
    robot.wait(lambda: clouds)


def test_a_camera_info_that_is_published_once_and_kept_is_fetched(context, start):
    """As static intrinsics are published; a late volatile subscriber hears nothing of them."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot = start()
    robot.node.destroy_publisher(robot.infos)
    infos = robot.node.create_publisher(CameraInfo, "camera_info", latched)
    infos.publish(robot.info())
    robot.wait(lambda: robot.images.publish(grey(robot, 20)) or robot.ask().success)
