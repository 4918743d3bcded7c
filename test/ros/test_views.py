# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""RViz and Foxglove views show what the node publishes: names, types, QoS, frames and fields.

Neither program is here: their files are held against a running node and the demo's recording.
"""

import ast
import json
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
pytest.importorskip("rclpy")
from rclpy.parameter import Parameter
from rosbags.highlevel import AnyReader

from depthlm_ros.bags.demo import TOPICS
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.cli import main
from depthlm_ros.demo.scene import FRAME_ID
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.msgs.fields import CLOUD_FIELDS
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.node import DepthLMNode
from depthlm_ros.ros.publish.markers import NAMESPACES
from depthlm_ros.ros.publish.streams import STREAMS

CONFIG = Path(__file__).parents[2] / "config"
ROW = Checkpoint("fake", "", "none", 250.0, "marker", "marker", {"marker": "tags"})
CAMERA = dict(zip(TOPICS, ("sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"), strict=True))
RVIZ_TYPES = {
    "Image": "sensor_msgs/msg/Image",
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
}


@pytest.fixture
def published(context, make_robot):
    """published(cameras) -> {topic: type} of a running node."""
    nodes = []

    def run(*cameras):
        made = DepthLMNode(
            lambda progress: AskingPredictor(ScriptedEngine(), ROW),
            context=context,
            parameter_overrides=[Parameter("cameras", value=list(cameras))],
        )
        nodes.append(made)
        found = made.get_publisher_names_and_types_by_node("depthlm", "/")
        return {name: kinds[0] for name, kinds in found}

    yield run
    for node in nodes:
        assert node.close()


def rviz(name):
    """(displays with a topic, fixed frame) of an RViz file."""
    content = yaml.safe_load((CONFIG / name).read_text())["Visualization Manager"]
    shown = [display for display in content["Displays"] if "Topic" in display]
    return shown, content["Global Options"]["Fixed Frame"]


def test_rviz_shows_every_stream_of_one_camera_as_what_it_is(published):
    shown, frame = rviz("depthlm.rviz")
    topics = {d["Topic"]["Value"]: RVIZ_TYPES[d["Class"].rpartition("/")[2]] for d in shown}
    assert topics.items() <= {**published("camera"), **CAMERA}.items()
    assert set(topics) == {
        "/camera/image_raw",
        *(f"/depthlm/{name}" for name in STREAMS if not name.endswith(("_info", "/compressed"))),
    }
    assert frame == FRAME_ID


def test_rviz_shows_both_of_two_cameras(published):
    shown, frame = rviz("two_cameras.rviz")
    topics = {d["Topic"]["Value"]: RVIZ_TYPES[d["Class"].rpartition("/")[2]] for d in shown}
    assert topics.items() <= published("left", "right").items()
    kinds = ("points", "markers", "overlay")
    assert set(topics) == {f"/depthlm/{c}/{k}" for c in ("left", "right") for k in kinds}
    assert frame == "base_link"  # each camera has a frame of its own
    cameras = yaml.safe_load((CONFIG / "two_cameras.yaml").read_text())
    assert cameras["/**"]["ros__parameters"]["cameras"] == ["left", "right"]


@pytest.mark.parametrize("name", ["depthlm.rviz", "two_cameras.rviz"])
def test_rviz_asks_for_a_qos_that_fits_and_for_fields_that_there_are(name):
    shown, _ = rviz(name)
    for display in shown:
        qos = display["Topic"]
        own = qos["Value"].startswith("/depthlm/")
        # The camera's QoS is not ours: best effort hears all.
        assert qos["Reliability Policy"] == ("Reliable" if own else "Best Effort")
        assert qos["Durability Policy"] == ("Transient Local" if own else "Volatile")
        if display["Class"].endswith("PointCloud2"):
            assert display["Color Transformer"] == "RGB8" and "rgb" in CLOUD_FIELDS
            assert display["Position Transformer"] == "XYZ" and CLOUD_FIELDS[:3] == ("x", "y", "z")
        if display["Class"].endswith("MarkerArray"):
            assert set(display["Namespaces"]) == set(NAMESPACES)


@pytest.mark.parametrize(
    "name, cameras, expected",
    [
        ("depthlm.rviz", {}, "/robot/depthlm/points"),
        ("two_cameras.rviz", {"front": "/f", "rear": "/r"}, "/robot/depthlm/rear/points"),
        ("two_cameras.rviz", {"front": "/f"}, "/robot/depthlm/front/points"),
    ],
)
def test_the_launch_file_remaps_all_that_rviz_shows(name, cameras, expected):
    source = (CONFIG.parent / "launch" / "depthlm.launch.py").read_text()
    names = {}
    for node in ast.parse(source).body:
        if getattr(node, "name", "") in ("_shown", "_prefix"):
            exec(ast.unparse(node), names)  # noqa: S102, the launch system is not here
    given = {"namespace": "robot", "image": "/eye", "cameras": cameras}
    remapped = dict(names["_shown"](given))
    if len(cameras) != 1:  # of the view of two cameras half is empty then
        assert {display["Topic"]["Value"] for display in rviz(name)[0]} <= set(remapped)
    assert expected in remapped.values() and remapped["/camera/image_raw"] == "/eye"


@pytest.fixture
def layout():
    return json.loads((CONFIG / "depthlm.foxglove.json").read_text())


def test_the_foxglove_layout_places_every_panel_once(layout):
    def places(tree):
        if isinstance(tree, str):
            return [tree]
        return places(tree["first"]) + places(tree["second"])

    assert sorted(places(layout["layout"])) == sorted(layout["configById"])


def test_foxglove_shows_topics_of_the_node_with_their_types_frame_and_fields(layout, published):
    there = {**published("camera"), **CAMERA}
    for name, panel in layout["configById"].items():
        for topic, look in panel.get("topics", {}).items():
            assert look["visible"] and topic in there, topic
            if there[topic].endswith("PointCloud2"):
                assert look["colorField"] in CLOUD_FIELDS
        if name.startswith("Image!"):
            mode = panel["imageMode"]
            assert there[mode["imageTopic"]] == "sensor_msgs/msg/Image"
            assert there[mode["calibrationTopic"]] == "sensor_msgs/msg/CameraInfo"
        if name.startswith("DiagnosticSummary!"):
            assert there[panel["topicToRender"]] == "diagnostic_msgs/msg/DiagnosticArray"
    assert layout["configById"]["3D!depthlm"]["followTf"] == FRAME_ID


def test_the_demo_recording_holds_all_that_the_views_show_but_what_is_live_only(layout, tmp_path):
    out = tmp_path / "out.mcap"
    fake = ["--engine", "scripted", "--checkpoint", "facebook/VLM3-depth", "--grid", "4x3"]
    assert main(["bag", "demo", str(out), *fake]) == 0
    with AnyReader([out]) as reader:
        recorded = set(reader.topics)
    shown = {display["Topic"]["Value"] for display in rviz("depthlm.rviz")[0]}
    for panel in layout["configById"].values():
        shown |= set(panel.get("topics", {})) | set(panel.get("imageMode", {}).values())
    topics = {name for name in shown if name.startswith("/")}
    assert topics - recorded == {"/depthlm/markers"}
