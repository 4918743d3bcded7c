# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rooms as a robot sees them that drives on their floor: cameras 0.06 to 0.5 m high.

Places, models and light are those of furnished/views.py; only the cameras are lower. Knows
nothing about files of images.
"""

import numpy as np

from training.data.shards import Shot
from training.scenes.boxes.solids import Pose
from training.scenes.furnished.builder import Builder
from training.scenes.furnished.meshes import Scene
from training.scenes.furnished.views import (
    ATTEMPTS_A_PLACE,
    VIEWS,
    first_usable,
    looked_at,
    place,
    place_of,
    reach,
)
from training.scenes.near import arm_camera, is_clear

KEY = 6  # of its random numbers; furnished.views.SPLITS and near.KEY are the others


def low_shot(assets, seed: int) -> Shot:
    """The image with this number, from what training.scenes.assets wrote into `assets`.

    Raises InputError without assets.
    """

    def place_at(attempt):
        key = (KEY, seed // VIEWS, attempt // ATTEMPTS_A_PLACE)
        kind, *rest = place_of(str(assets), key, place)
        return f"low_{kind}", *rest

    def looking(rng, build, scene):
        return arm_camera(rng), driving(rng, build, scene)

    return first_usable(seed, (KEY,), place_at, looking, lambda _, found: is_worth_it(found))


def driving(rng, build: Builder, scene: Scene) -> Pose | None:
    """A camera on a small robot, mostly looking ahead or a little down; None where there is no
    room."""
    at = rng.uniform(build.area[:2] + 0.2, build.area[2:] - 0.2)
    high = np.exp(rng.uniform(np.log(0.06), np.log(0.5)))
    yaw = np.arctan2(*(looked_at(rng, build) - at)[::-1])
    pitch = np.clip(rng.normal(-6, 12), -40, 20)
    pose = Pose.looking([*at, high], yaw, np.radians(pitch), np.radians(rng.normal(0, 2)))
    return pose if is_clear(scene, pose) else None


def is_worth_it(distance_m) -> bool:
    """Mostly of the room, hardly anything before the lens, and more than one bare wall."""
    found = reach(distance_m, 0.15)
    return found is not None and found.middle > 0.3 and found.far > 1.5 * found.near
