# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The TF frames of a recording: transforms as /tf and /tf_static tell them, and the way from one
frame to another through a third that stands still. Knows nothing about images.
"""

from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from training.curate.geometry import NS, Track, inverse, pose
from training.curate.sample import Skip

BEYOND_S = 0.1  # how far a transform holds before its first and behind its last sample
DEEPEST = 100  # frames above each other


@dataclass(frozen=True)
class TfFrames:
    """All frames, by their names as plain() gives them.

    parents: the frame above each.
    tracks: parent from child, by the child.
    """

    parents: dict[str, str] = field(default_factory=dict)
    tracks: dict[str, Track] = field(default_factory=dict)

    def between(
        self, sensor: str, camera: str, measured_ns: int, image_ns: int, fixed: str = ""
    ) -> np.ndarray:
        """(4, 4): points of the frame `sensor` at measured_ns -> the frame `camera` at image_ns.

        fixed: the frame that stands still between both times, "" for the uppermost. Raises Skip
        where they do not lead to it, or no transform holds at these times.
        """
        if sensor == camera:
            return np.eye(4)
        above = [self._above(frame) for frame in (sensor, camera)]
        fixed = fixed or above[0][-1]
        for frame, chain in zip((sensor, camera), above, strict=True):
            if fixed not in chain:
                raise Skip(
                    "no transform",
                    f"/tf and /tf_static do not lead from '{frame}' to '{fixed}', but to"
                    f" '{chain[-1]}'",
                )
        to_fixed = [
            self._to(fixed, chain, stamp_ns)
            for chain, stamp_ns in zip(above, (measured_ns, image_ns), strict=True)
        ]
        return inverse(to_fixed[1]) @ to_fixed[0]

    def _above(self, frame: str) -> list[str]:
        """A frame and those above it, up to the uppermost."""
        chain = [frame]
        while chain[-1] in self.parents:
            chain.append(self.parents[chain[-1]])
            if len(chain) > DEEPEST:
                raise Skip("no transform", f"{frame} hangs below itself on /tf")
        return chain

    def _to(self, fixed: str, chain: list[str], stamp_ns: int) -> np.ndarray:
        """(4, 4): fixed from the first frame of a chain."""
        found = np.eye(4)
        for frame in chain[: chain.index(fixed)]:
            found = self.tracks[frame].at(stamp_ns) @ found
        return found


class TfSteps:
    """Transforms as they come, by the child frame."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}
        self._stamps: dict[str, list[int]] = {}
        self._poses: dict[str, list[np.ndarray]] = {}
        self._still: set[str] = set()

    def add(self, message: Any, is_static: bool) -> None:
        """The transforms of a message; those that are no rotation are left out."""
        for one in message.transforms:
            child, stamp = plain(one.child_frame_id), one.header.stamp
            turn, move = one.transform.rotation, one.transform.translation
            try:
                found = pose((turn.w, turn.x, turn.y, turn.z), (move.x, move.y, move.z))
            except Skip:
                continue
            self._parents[child] = plain(one.header.frame_id)
            self._stamps.setdefault(child, []).append(stamp.sec * NS + stamp.nanosec)
            self._poses.setdefault(child, []).append(found)
            if is_static:
                self._still.add(child)

    def frames(self) -> TfFrames:
        """What they tell together; a static one holds at all times, the last one said."""
        tracks = {
            child: Track(stamps[-1:], self._poses[child][-1:], inf)
            if child in self._still
            else Track(stamps, self._poses[child], BEYOND_S)
            for child, stamps in self._stamps.items()
        }
        return TfFrames(self._parents, tracks)


def plain(frame: str) -> str:
    """As tf2 names it: without the slash of tf."""
    return frame.removeprefix("/")
