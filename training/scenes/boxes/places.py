# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A place at random, and where a camera stands in it."""

import numpy as np

from training.scenes.boxes.floor import Place
from training.scenes.boxes.rooms import corridor, room
from training.scenes.boxes.solids import Pose
from training.scenes.boxes.streets import street


def standing(rng, place: Place) -> Pose:
    """A camera mostly 1.2-1.6 m high, pitch -25 to 8 degrees, aimed at some point of the place."""
    high = rng.uniform(1.2, 1.6) if rng.random() < 0.8 else rng.uniform(0.3, 1.8)
    least = min(
        rng.choice([0.6, 1.5], p=[0.3, 0.7]),
        0.3 * np.hypot(*np.subtract(place.aim[2:], place.aim[:2])),
    )
    for _ in range(20):
        at = rng.uniform(place.stand[:2], place.stand[2:])
        aim = rng.uniform(place.aim[:2], place.aim[2:])
        far = np.hypot(*(aim - at))
        if far > least and place.solids.gap([*at, high]).min() > 0.2:
            break
    pitch = rng.uniform(-25, 8) if place.kind == "room" else rng.uniform(-15, 4)
    yaw = np.arctan2(*(aim - at)[::-1])
    return Pose.looking([*at, high], yaw, np.radians(pitch), np.radians(rng.normal(0, 1.5)))


def place(rng) -> Place:
    """A room, a corridor or a street."""
    make = rng.choice([room, corridor, street], p=[0.62, 0.13, 0.25])
    return make(rng)
