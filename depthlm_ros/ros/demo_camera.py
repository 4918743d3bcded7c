# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A camera that shows one picture: image_raw and camera_info, a few times a second.

Knows nothing about distances. By default the picture is the rendered scene that comes with the
package.
"""

import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from depthlm_ros.errors import InputError
from depthlm_ros.ros.convert import camera_info_message, image_message
from depthlm_ros.scene import FRAME_ID, shown


class DemoCamera(Node):
    """Parameters: picture, camera (camera_info YAML), fx, fy, cx, cy [px], rate [Hz]."""

    def __init__(self):
        super().__init__("demo_camera")
        given = {name: self.declare_parameter(name, "").value for name in ("picture", "camera")}
        for name in ("fx", "fy", "cx", "cy"):
            given[name] = self.declare_parameter(name, 0.0).value
        frame = shown(**given)
        header = Header(frame_id=FRAME_ID)
        self._image = image_message(header, frame.image)
        self._info = camera_info_message(header, frame.camera)
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._images = self.create_publisher(Image, "image_raw", qos)
        self._infos = self.create_publisher(CameraInfo, "camera_info", qos)
        self.create_timer(1 / self.declare_parameter("rate", 4.0).value, self._publish)

    def _publish(self):
        stamp = self.get_clock().now().to_msg()
        self._image.header.stamp = self._info.header.stamp = stamp
        self._infos.publish(self._info)
        self._images.publish(self._image)


def main(args=None) -> int:
    """Publish until SIGINT or SIGTERM."""
    try:
        rclpy.init(args=args)
        rclpy.spin(DemoCamera())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except InputError as error:
        print(f"demo_camera: {error}", file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
