# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Answers -> a visualization_msgs/MarkerArray: ball, ray and number of the asked pixels.

Of many pixels some are shown, the same that the overlay labels: their cloud shows the rest.
"""

import numpy as np
from geometry_msgs.msg import Point, Vector3
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from depthlm_ros.viz.overlay import distance_colours, distance_limits, labelled

BALL = 0.02  # the diameter of a ball and the height of a number, as parts of the median distance
NAMESPACES = ("points", "rays", "numbers")


def markers_message(header, frame, ranges) -> MarkerArray:
    """What is known of Ranges of a Frame; the first marker deletes what was shown before."""
    rows = labelled(frame.image.shape[:2], ranges.asked, ranges.distance_m)
    rows = [row for row in rows if np.isfinite(ranges.points[row]).all()]
    array = MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])
    if rows:
        metres = ranges.distance_m[rows]
        size = BALL * float(np.median(metres))
        colours = [_colour(c) for c in distance_colours(metres, distance_limits(metres))]
        points = [Point(x=x, y=y, z=z) for x, y, z in ranges.points[rows].tolist()]
        array.markers += [_balls(header, points, colours, size), _rays(header, points, colours)]
        array.markers += _numbers(header, points, metres, ranges.uncertain[rows], size)
    return array


def _colour(rgb) -> ColorRGBA:
    red, green, blue = (float(channel) / 255 for channel in rgb)
    return ColorRGBA(r=red, g=green, b=blue, a=1.0)


def _balls(header, points, colours, size):
    marker = _marker(header, "points", Marker.SPHERE_LIST, Vector3(x=size, y=size, z=size))
    marker.points, marker.colors = points, colours
    return marker


def _rays(header, points, colours):
    """Lines from the camera to the points."""
    marker = _marker(header, "rays", Marker.LINE_LIST, Vector3(x=0.005))
    marker.points = [end for point in points for end in (Point(), point)]
    marker.colors = [colour for colour in colours for _ in range(2)]
    return marker


def _numbers(header, points, metres, uncertain, size):
    """Metres beside the points, up on the image, which is -y in an optical frame; with a question
    mark where they are uncertain."""
    for i, (point, value, unsure) in enumerate(zip(points, metres, uncertain, strict=True)):
        scale = Vector3(z=3 * size)
        marker = _marker(header, "numbers", Marker.TEXT_VIEW_FACING, scale, i)
        marker.pose.position = Point(x=point.x, y=point.y - 2.5 * size, z=point.z)
        marker.color = _colour((255, 255, 255))
        marker.text = f"{value:.2f} m{' ?' if unsure else ''}"
        yield marker


def _marker(header, namespace, kind, scale, number=0):
    marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD)
    marker.pose.orientation.w, marker.scale = 1.0, scale
    return marker
