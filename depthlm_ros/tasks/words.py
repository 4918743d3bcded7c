# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What each task asks and answers, word for word, and which words were published.

Sources: "DepthLM" is figure 6 of its paper, which shows questions about a marked point; "VLM3" is
the sample data of its release; "ours" was published by nobody. How a point is named by
coordinates or by position is ours everywhere (DepthLM's tasks were marker only). Knows nothing
about geometry.
"""

from typing import NamedTuple

from depthlm_ros.question import POINT


class Words(NamedTuple):
    """A text with {places} to fill, and who published it."""

    text: str
    source: str


# The distance task has no entry: its words are the checkpoint's own (wordings.WORDINGS).
QUESTIONS = {
    "axis": Words(
        "How far is {point} from the camera in the forward backward direction?", "DepthLM"
    ),
    "speed": Words(
        "How many meters per second should we move in order to reach {point} in exactly"
        " {given} seconds?",
        "DepthLM",
    ),
    "time": Words(
        "How many seconds do we need to reach {point} if we move towards it with the speed of"
        " {given}m/s?",
        "DepthLM",
    ),
    "points": Words("How far are {point} from each other?", "DepthLM"),
    "moved": Words("How many meters has the camera moved between these 2 images?", "DepthLM"),
    "correspondence": Words(
        "Given these two images, what pixel in the second image corresponds to pixel ({x}, {y})"
        " in the first image? Report the answer as (x, y).",
        "VLM3",
    ),
    "rotation": Words(
        "Given these two images captured from different viewpoints, what is the relative rotation"
        " angle (in degrees) between the two camera poses?",
        "VLM3",
    ),
    "orientation": Words(
        "Treating the first image as the reference viewpoint, describe the camera's reorientation"
        " needed to reach the second image's viewpoint as yaw, pitch and roll about the first"
        " camera's local axes, applied intrinsically in the order yaw -> pitch -> roll. "
        " Conventions: yaw is rotation about the vertical (down) axis, positive = turn right;"
        " pitch is about the lateral (right) axis after yaw, positive = look up; roll is about"
        " the optical (forward) axis after yaw and pitch, positive = bank to the right (image"
        " content rotates clockwise from the operator's POV).",
        "VLM3",
    ),
    "direction": Words(
        "Where did the camera move, expressed in the first camera's local frame (X right, Y down,"
        " Z forward)?  Give a qualitative direction and the precise unit direction vector"
        " (x, y, z).",
        "VLM3",
    ),
    "translation": Words(
        "Estimate the magnitude of the camera translation between the two viewpoints.", "VLM3"
    ),
}
ANSWERS = {
    "axis": Words(
        "The point is around {d} meters away in the forward backward direction.", "ours"
    ),
    "speed": Words(
        "The point is around {d} meters away. Hence, the speed should be around"
        " {d} / {given} = {result}m/s",
        "DepthLM",
    ),
    "time": Words(
        "The point is around {d} meters away. Hence, we need around {d} / {given} = {result}s",
        "DepthLM",
    ),
    "points": Words("The points are around {d} meters away from each other.", "ours"),
    "moved": Words("The camera has moved around {d} meters.", "ours"),
    "correspondence": Words("({x}, {y})", "VLM3"),
    "rotation": Words("Rotation angle: {angle:.1f} degrees", "VLM3"),
    "orientation": Words("Yaw={yaw:+.1f}°, Pitch={pitch:+.1f}°, Roll={roll:+.1f}°", "VLM3"),
    "direction": Words(
        "The camera moves {words}, unit vector ({x:+.2f}, {y:+.2f}, {z:+.2f}).", "VLM3"
    ),
    "translation": Words("Translation distance: {d} meters", "VLM3"),
}
_RANGE = (  # VLM3's, of its distance question
    " The coordinates are in normalised [0, {range}] format relative to image width and height."
)
# style -> (what {point} is, what follows the question). "this point" is DepthLM's.
NAMED = {
    "marker": ("this point", ""),
    "coordinates": (
        "the point at coordinates ({x}, {y})",
        _RANGE,
    ),
    "position": ("this point", POINT),
}
NAMED_TWO = {
    "marker": ("these 2 points", ""),
    "coordinates": (
        "the points at coordinates ({x}, {y}) and ({x2}, {y2})",
        _RANGE,
    ),
}


def about(task: str, style: str, named=NAMED, **filled) -> str:
    """The question of a task about a point named in a style; the style fills the coordinates."""
    point, behind = named[style]
    text = QUESTIONS[task].text + behind
    for place, words in {"point": point, **filled}.items():
        text = text.replace("{" + place + "}", str(words))
    return text
