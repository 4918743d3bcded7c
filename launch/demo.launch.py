# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A camera that shows one picture, the node, and RViz: ros2 launch depthlm_ros demo.launch.py"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from depthlm_ros.ros.dds import profile_environment

LAUNCH_FILE = PathJoinSubstitution(
    [FindPackageShare("depthlm_ros"), "launch", "depthlm.launch.py"]
)

CAMERA = {
    "picture": ("", "A picture file; default: the rendered scene that comes with the package"),
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
    "rviz": ("true", "Whether to start RViz"),
}


def generate_launch_description():
    """Camera, node, RViz, and where the camera is mounted."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in {**CAMERA, **PASSED_ON}.items()
    ]
    passed_on = {name: LaunchConfiguration(name) for name in PASSED_ON}
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(LAUNCH_FILE),
        launch_arguments={"image": "/camera/image_raw", **passed_on}.items(),
    )
    # 1.2 m above the ground and looking ahead; optical frames look along z (REP-103).
    mounted = _transform("base_link", "camera_link", "--z", "1.2")
    turned = _transform(
        "camera_link", "camera_optical_frame", "--roll", "-1.570796", "--yaw", "-1.570796"
    )
    return LaunchDescription([*declared, OpaqueFunction(function=_camera), node, mounted, turned])


def _camera(context):
    given = {name: LaunchConfiguration(name).perform(context) for name in CAMERA}
    parameters = {name: float(given[name]) for name in ("fx", "fy", "cx", "cy")}
    for name in ("picture", "camera"):
        parameters[name] = ParameterValue(given[name], value_type=str)
    return [
        Node(
            package="depthlm_ros",
            executable="depthlm_demo_camera",
            namespace="camera",
            parameters=[parameters],
            additional_env=profile_environment(),
            output="screen",
        )
    ]


def _transform(parent, child, *place):
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        name=f"{child}_mount",
        arguments=[*place, "--frame-id", parent, "--child-frame-id", child],
    )
