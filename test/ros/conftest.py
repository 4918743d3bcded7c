# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A graph of its own for all tests here, node processes on it, and a robot that talks to them."""

import json
import os
import struct
import time

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.errors import Code

try:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
except ImportError:
    pass  # then every module here skips itself and says so
else:
    from rclpy.duration import Duration
    from rclpy.parameter import Parameter
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CameraInfo, Image
    from std_msgs.msg import Header

    from depthlm_ros.ros.convert import camera_info_message, image_message
    from depthlm_ros.ros.dds import environment, private_graph
    from depthlm_ros.ros.node import DepthLMNode
    from depthlm_ros.ros.serve.queries import interfaces
    from depthlm_ros.ros.tools.child import Child

PATIENCE_S = 60.0  # of a test, on machines that are busy with others
CAMERA = Camera(320, 240, 250.0, 250.0, 160.0, 120.0)


@pytest.fixture(scope="session")
def graph():
    """This process and its children see each other and nothing else."""
    with private_graph() as variables, environment(variables):
        yield variables


@pytest.fixture(scope="session")
def context(graph):
    made = rclpy.Context()
    rclpy.init(context=made)
    yield made
    rclpy.shutdown(context=made)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A folder with a row and weights without tensors: enough for the scripted engine.

    Its focal length is that of the robot's camera, so that view and frame pixels agree.
    """
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.json").write_text("{}")
    header = json.dumps({}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    wording = {"marker": "tags", "coordinates": "tags"}
    row = Checkpoint("fake", "", "none", CAMERA.fx, "marker", "coordinates", wording)
    row.write(folder)
    return folder


class Nodes:
    """Node processes on the graph of the tests, stopped together."""

    def __init__(self, folders):
        self._folders = folders  # tmp_path_factory
        self._started = []

    def start(self, *ros_arguments, module="depthlm_ros.ros.node") -> Child:
        """start("-p", "grid.rate:=2", ...): the node, or another module that is one."""
        log = self._folders.mktemp("node") / "log"
        self._started.append(Child(module, ["--ros-args", *ros_arguments], log=log))
        return self._started[-1]

    def start_code(self, code, *ros_arguments) -> Child:
        """A process that runs the code as its module."""
        folder = self._folders.mktemp("module")
        (folder / "node_of_a_test.py").write_text(code)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
            return self.start(*ros_arguments, module="node_of_a_test")

    def show(self):
        """Print what each wrote."""
        for child in self._started:
            print(f"--- process {child.pid}, exit status {child.status}\n{child.output()}")

    def stop(self):
        """All, those that ended too."""
        for child in self._started:
            child.stop()


@pytest.fixture
def nodes(graph, tmp_path_factory):
    """Nodes of one test: the next test never hears them."""
    made = Nodes(tmp_path_factory)
    yield made
    made.stop()


@pytest.fixture
def node_process(nodes):
    """Nodes.start"""
    return nodes.start


@pytest.fixture
def node_from(nodes):
    """Nodes.start_code"""
    return nodes.start_code


@pytest.fixture(scope="module")
def lasting_nodes(graph, tmp_path_factory):
    """Nodes that the tests of a module share."""
    made = Nodes(tmp_path_factory)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def what_the_nodes_say(request):
    """Shows the output of node processes beside a test of them that fails."""
    asked = {"nodes", "lasting_nodes"} & set(request.fixturenames)
    running = [request.getfixturevalue(name) for name in sorted(asked)]
    yield
    for nodes in running:
        nodes.show()


class Robot:
    """A node with a camera that shows images and a client that asks about them."""

    def __init__(self, context, namespace="", service="/depthlm"):
        self.node = rclpy.create_node("robot", context=context, namespace=namespace)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self.images = self.node.create_publisher(Image, "image", qos)
        self.infos = self.node.create_publisher(CameraInfo, "camera_info", qos)
        srv, _ = interfaces()
        self.query_distance, self.query_image = srv.QueryDistance, srv.QueryImage
        self.distance = self.node.create_client(self.query_distance, f"{service}/query_distance")
        self.image = self.node.create_client(self.query_image, f"{service}/query_image")
        self._stamp = 1000

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()

    def header(self):
        """A header with a stamp that no other has."""
        self._stamp += 1
        header = Header(frame_id="robot_eye")
        header.stamp.sec, header.stamp.nanosec = self._stamp, 5
        return header

    def play(self, from_s):
        """As a recording that begins at this second: the next stamp is the one after it."""
        self._stamp = from_s

    def new_image(self, width=CAMERA.width, height=CAMERA.height):
        return image_message(self.header(), np.full((height, width, 3), 90, np.uint8))

    def info(self, camera=CAMERA):
        return camera_info_message(Header(frame_id="robot_eye"), camera)

    def wait(self, condition, seconds=PATIENCE_S):
        """What condition() returns once it is true; fails after some seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
            result = condition()
            if result:
                return result
        raise AssertionError(f"waited {seconds} s in vain")

    def call(self, client, request):
        """The response, which must come within some seconds."""
        response = self.response(client, request, PATIENCE_S)
        assert response is not None, f"no response of {client.srv_name} within {PATIENCE_S} s"
        return response

    def response(self, client, request, seconds):
        """The response, None where none comes within so many seconds."""
        assert client.wait_for_service(PATIENCE_S), f"no service {client.srv_name}"
        future = client.call_async(request)
        self.executor.spin_until_future_complete(future, timeout_sec=seconds)
        return future.result()

    def ask(self, u=(160.0,), v=(120.0,), **fields):
        request = self.query_distance.Request(u=list(u), v=list(v), **fields)
        return self.call(self.distance, request)

    def show(self, image=None, info=None):
        """Publish until the node's newest image is this one; the response that said so."""
        image, info = image or self.new_image(), info or self.info()
        info.header.stamp = image.header.stamp  # as cameras do

        def seen():
            self.infos.publish(info)
            self.infos.wait_for_all_acked(Duration(seconds=1))  # else the image may overtake it
            self.images.publish(image)
            request = self.query_distance.Request(u=[160.0], v=[120.0])
            response = self.response(
                self.distance, request, 20.0
            )  # None: DDS may lose a first one
            same = response and response.header == image.header
            return response if same and response.code != Code.LOADING else None

        return self.wait(seen)


@pytest.fixture
def make_robot(context):
    """make_robot(namespace, service) -> Robot, closed at the end."""
    made = []

    def make(*arguments):
        made.append(Robot(context, *arguments))
        return made[-1]

    yield make
    for robot in made:
        robot.close()


@pytest.fixture
def start_node(context, make_robot):
    """start_node(load, parameter=value) -> (node in this process, a robot beside it).

    load: (progress) -> Predictor, None for the node's own. A double underscore is a dot.
    """
    nodes = []

    def start(load=None, **parameters):
        overrides = [Parameter(n.replace("__", "."), value=v) for n, v in parameters.items()]
        given = [load] if load else []
        nodes.append(DepthLMNode(*given, context=context, parameter_overrides=overrides))
        robot = make_robot()
        robot.executor.add_node(nodes[-1])
        return nodes[-1], robot

    yield start
    for node in nodes:
        assert node.close()


@pytest.fixture(scope="module")
def robot(context):
    made = Robot(context)
    yield made
    made.close()
