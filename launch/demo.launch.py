# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A camera that shows one image, the node, and RViz: ros2 launch depthlm_ros demo.launch.py"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from depthlm_ros.ros.arguments import boolean, check_file, check_installed, is_installed, number
from depthlm_ros.ros.dds import profile_environment

LAUNCH_FILE = PathJoinSubstitution(
    [FindPackageShare("depthlm_ros"), "launch", "depthlm.launch.py"]
)

CAMERA = {
    "image": ("", "An image file; default: the rendered scene that comes with the package"),
    "camera": ("", "Its camera_info file"),
    "fx": ("0.0", "Or its focal length in pixels"),
    "fy": ("0.0", "The same along v; 0.0: as fx"),
    "cx": ("0.0", "Its principal point in pixels; 0.0: the middle"),
    "cy": ("0.0", "Its principal point in pixels; 0.0: the middle"),
}
PASSED_ON = {
    "checkpoint": ("", "The model; default: as the parameters file says"),
    "engine": ("", "What runs the model; default: as the parameters file says"),
    "device": ("", "Where the model runs; default: as the parameters file says"),
    "respawn": ("false", "Whether the node is started again 2 s after it has ended"),
    "rviz": ("auto", "Whether to start RViz; auto: where it is installed"),
}


def generate_launch_description():
    """All arguments, then what they describe."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in {**CAMERA, **PASSED_ON}.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_all)])


def _all(context):
    """Node, RViz, camera, and where the camera is mounted.

    Nothing is started before all of it is known to be there. The included launch file, which
    checks its own arguments, comes first.
    """
    given = {n: LaunchConfiguration(n).perform(context) for n in (*CAMERA, *PASSED_ON)}
    camera = _camera(given)
    check_installed(
        {"depthlm_ros": "depthlm_demo_camera", "tf2_ros": "static_transform_publisher"}
    )
    passed_on = {name: given[name] for name in PASSED_ON}
    actions = []
    if given["rviz"].strip().lower() == "auto":
        rviz = is_installed("rviz2", "rviz2")
        passed_on["rviz"] = str(rviz).lower()
        if not rviz:
            actions.append(LogInfo(msg="RViz is not installed (package rviz2): going on without"))
    else:
        boolean("rviz", given["rviz"])
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(LAUNCH_FILE),
        launch_arguments={"image": "camera/image_raw", **passed_on}.items(),
    )
    # 1.2 m above the ground and looking ahead; optical frames look along z (REP-103).
    mounted = _transform("base_link", "camera_link", "--z", "1.2")
    turned = _transform(
        "camera_link", "camera_optical_frame", "--roll", "-1.570796", "--yaw", "-1.570796"
    )
    return [*actions, node, camera, mounted, turned]


def _camera(given):
    parameters = {name: number(name, given[name]) for name in ("fx", "fy", "cx", "cy")}
    for name in ("image", "camera"):
        if given[name]:
            check_file(name, given[name])
        parameters[name] = ParameterValue(given[name], value_type=str)
    return Node(
        package="depthlm_ros",
        executable="depthlm_demo_camera",
        namespace="camera",
        parameters=[parameters],
        additional_env=profile_environment(),
        output="screen",
    )


def _transform(parent, child, *place):
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        name=f"{child}_mount",
        arguments=[*place, "--frame-id", parent, "--child-frame-id", child],
    )
