# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node on a camera: ros2 launch depthlm_ros depthlm.launch.py image:=/camera/image_raw"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from depthlm_ros.ros.arguments import (
    LOG_LEVELS,
    boolean,
    camera_topics,
    check_alone,
    check_file,
    check_installed,
    check_namespace,
    check_topic,
    choice,
)
from depthlm_ros.ros.dds import profile_environment

SHARE = FindPackageShare("depthlm_ros")
PARAMS_FILE = PathJoinSubstitution([SHARE, "config", "depthlm.yaml"])
ONE_VIEW = PathJoinSubstitution([SHARE, "config", "depthlm.rviz"])
TWO_VIEW = PathJoinSubstitution([SHARE, "config", "two_cameras.rviz"])

ARGUMENTS = {
    "image": ("image", "Topic of the images (sensor_msgs/Image)"),
    "camera_info": ("", "Topic of their intrinsics; default: the sibling of image"),
    "cameras": ("", "Named cameras instead: left=/left/image_raw,right=/right/image_raw"),
    "namespace": ("", "Namespace of the node"),
    "params_file": (PARAMS_FILE, "Parameters of the node"),
    "checkpoint": ("", "The model; default: as params_file says"),
    "engine": ("", "What runs the model; default: as params_file says"),
    "device": ("", "Where the model runs; default: as params_file says"),
    "autostart": ("", "Whether the node brings itself up; default: as params_file says"),
    "respawn": ("false", "Whether the node is started again 2 s after it has ended"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    "use_sim_time": ("", "Whether time comes from /clock; default: as params_file says"),
    "rviz": ("false", "Whether to start RViz too"),
}
RESPAWN_DELAY_S = 2.0


def generate_launch_description():
    """All arguments, then the nodes they describe."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_nodes)])


def _nodes(context):
    """Nothing is started before all of it is known to be there and every argument is read."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    check_namespace("namespace", given["namespace"])
    # Below the namespace that a launch file pushes which includes this one.
    pushed = context.launch_configurations.get("ros_namespace")
    given["namespace"] = make_namespace_absolute(prefix_namespace(pushed, given["namespace"]))
    given["cameras"] = camera_topics(given["cameras"])
    image = given["image"] if given["image"] != ARGUMENTS["image"][0] else ""
    check_alone(given["cameras"], {"image": image, "camera_info": given["camera_info"]})
    check_topic("image", given["image"])
    if given["camera_info"]:
        check_topic("camera_info", given["camera_info"])
    check_file("params_file", given["params_file"])
    given["log_level"] = choice("log_level", given["log_level"], LOG_LEVELS)
    for name in ("respawn", "rviz"):
        given[name] = boolean(name, given[name])
    programs = {"depthlm_ros": "depthlm_node"}
    nodes = [_depthlm(given)]
    if given["rviz"]:
        programs["rviz2"] = "rviz2"
        nodes.append(_rviz(given))
    check_installed(programs)
    return nodes


def _depthlm(given):
    chosen = {n: given[n] for n in ("checkpoint", "engine", "device") if given[n]}
    parameters = {name: ParameterValue(text, value_type=str) for name, text in chosen.items()}
    parameters |= _booleans(given, "use_sim_time", "autostart")
    if given["cameras"]:
        parameters["cameras"] = list(given["cameras"])
    return Node(
        package="depthlm_ros",
        executable="depthlm_node",
        name="depthlm",
        namespace=given["namespace"],
        parameters=[given["params_file"], parameters],
        remappings=list(_remappings(given)),
        ros_arguments=["--log-level", f"{_logger(given)}:={given['log_level']}"],
        additional_env=profile_environment(),
        respawn=given["respawn"],
        respawn_delay=RESPAWN_DELAY_S,
        output="screen",
        emulate_tty=True,
    )


def _booleans(given, *names):
    """Those that were given: another launch file may set them for all of its nodes."""
    return {name: boolean(name, given[name]) for name in names if given[name]}


def _remappings(given):
    """Both inputs of each camera; the intrinsics lie beside the images."""
    if not given["cameras"]:
        yield "image", given["image"]
        yield "camera_info", given["camera_info"] or _sibling(given["image"])
    for name, topic in given["cameras"].items():
        yield f"{_prefix(name, given)}image", topic
        yield f"{_prefix(name, given)}camera_info", _sibling(topic)


def _prefix(name, given):
    """What stands before the topics of a camera; nothing where it is called as by default."""
    return "" if list(given["cameras"]) == ["camera"] else f"{name}/"


def _logger(given):
    """The node's logger; a level for all would make rcl and DDS talk too."""
    return ".".join([*given["namespace"].strip("/").split("/"), "depthlm"]).lstrip(".")


def _rviz(given):
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=given["namespace"],  # of the node, so that `image` is the same topic for both
        arguments=["-d", TWO_VIEW if given["cameras"] else ONE_VIEW],
        remappings=list(_shown(given)),
        parameters=[_booleans(given, "use_sim_time")],
    )


def _shown(given):
    """From the topics that the views name to those of here; of several cameras the first two."""
    own = f"/{given['namespace'].strip('/')}/depthlm".replace("//", "/")
    yield "/camera/image_raw", given["image"]
    places = {"": ""}
    if given["cameras"]:
        names = zip(("left", "right"), given["cameras"], strict=False)
        places = {f"{place}/": _prefix(name, given) for place, name in names}
    for place, name in places.items():
        for stream in ("points", "overlay", "markers", "depth/image", "depth/stddev"):
            yield f"/depthlm/{place}{stream}", f"{own}/{name}{stream}"


def _sibling(image):
    """The topic of camera_info: the last word of the image's topic replaced, as cameras do.

    That of compressed images lies below that of the raw ones.
    """
    folder, slash, _ = image.removesuffix("/compressed").rpartition("/")
    return f"{folder}{slash}camera_info"
