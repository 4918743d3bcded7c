# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A camera that shows one image: image_raw and camera_info, a few times per second.

By default the image is the rendered scene that comes with the package.
"""

import sys
from math import inf

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from depthlm_ros.demo.scene import FRAME_ID, demo_frame
from depthlm_ros.errors import InputError
from depthlm_ros.ros.arguments import check_arguments
from depthlm_ros.ros.compat import given_parameters
from depthlm_ros.ros.convert import camera_info_message, image_message
from depthlm_ros.ros.parameters import unknown_parameter
from depthlm_ros.ros.process import Stop, start_ros, starting_ros
from depthlm_ros.ros.topic import STEADY

ABOUT = """\
A camera that shows one image on image_raw, with its camera_info, until Ctrl+C.

parameters:
  image           an image file; default: the rendered scene that comes with the package
  camera          its camera_info file (YAML)
  fx, fy, cx, cy  or its focal length and principal point in pixels; fx is enough
  rate            images per second, default 4.0

depthlm_demo_camera --ros-args -p image:=kitchen.jpg -p fx:=1150.0 -r image_raw:=image
"""
LOOK_S = 0.1  # how often a signal to stop is looked for
SLOWEST_HZ, FASTEST_HZ = 0.001, 1000.0


class DemoCamera(Node):
    """Its parameters are those of ABOUT."""

    def __init__(self):
        with starting_ros():
            super().__init__("demo_camera")
        given = {name: self._given(name, "") for name in ("image", "camera")}
        given |= {name: self._given(name, 0.0) for name in ("fx", "fy", "cx", "cy")}
        rate = self._given("rate", 4.0)
        if not SLOWEST_HZ <= rate <= FASTEST_HZ:
            raise InputError(
                f"parameter rate is {rate:g}, allowed: {SLOWEST_HZ:g} to {FASTEST_HZ:g} images per"
                " second"
            )
        for name in given_parameters(self):
            if not self.has_parameter(name):
                self.get_logger().warning(unknown_parameter(name, [*given, "rate"]))
        frame = demo_frame(given.pop("image"), **given)
        header = Header(frame_id=FRAME_ID)
        self._image = image_message(header, frame.image)
        self._info = camera_info_message(header, frame.camera)
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._images = self.create_publisher(Image, "image_raw", qos)
        self._infos = self.create_publisher(CameraInfo, "camera_info", qos)
        self.create_timer(1 / rate, self._publish, clock=STEADY)

    def _given(self, name, default):
        """The value of a parameter: a text, or a number of 0 or more, 2 as good as 2.0."""
        any_type = ParameterDescriptor(dynamic_typing=True)
        value = self.declare_parameter(name, default, any_type).value
        if isinstance(default, str):
            good, wanted = isinstance(value, str), "a text"
        else:
            good, wanted = type(value) in (int, float) and 0 <= value < inf, "a number, 0 or more"
        if not good:
            raise InputError(f"parameter {name} is {value!r}, it must be {wanted}")
        return value

    def _publish(self):
        stamp = self.get_clock().now().to_msg()
        self._image.header.stamp = self._info.header.stamp = stamp
        self._infos.publish(self._info)
        self._images.publish(self._image)


def main(args=None) -> int:
    """Publish until SIGINT or SIGTERM."""
    check_arguments("depthlm_demo_camera", ABOUT, args)
    stop = Stop()
    try:
        start_ros(args)
        camera = DemoCamera()
        while not stop.requested:
            rclpy.spin_once(camera, timeout_sec=LOOK_S)
    except ExternalShutdownException:
        pass
    except InputError as error:
        print(f"demo_camera: {error}", file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
