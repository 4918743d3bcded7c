# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Open roads, car parks and yards seen from a car, a delivery robot or a drone's low flight.

boxes/streets.py closes each street with a house at 36 m at most; here the view is open and the
lens is any. Sky and what lies beyond REACH_M have no distance: NaN.
"""

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.view import Frame
from training.data.shards import Shot
from training.scenes.boxes import outdoors, streets, textures
from training.scenes.boxes.camera_work import developed, render
from training.scenes.boxes.floor import Floor, Place
from training.scenes.boxes.parts import box
from training.scenes.boxes.solids import Pose, Surface
from training.scenes.boxes.surfaces import Light
from training.scenes.lens import drawn_camera

KEY = 6  # of this split's random numbers
HELD_OUT = 1_000_000  # numbers from here on are for measuring, never for training
REACH_M = 60.0


def road_shot(seed: int) -> Shot:
    """The image with this number."""
    for attempt in range(100):
        rng = np.random.default_rng([KEY, seed, attempt])
        place = road(rng)
        pose, camera = riding(rng, place), any_camera(rng)
        if place.solids.gap(pose.origin).min() < 0.25:
            continue
        light, distance = render(place, camera, pose)
        distance = np.where(distance < REACH_M, distance, np.float32(np.nan))
        known = distance[np.isfinite(distance)]
        if len(known) > 0.3 * distance.size and np.mean(known < 0.5) < 0.02:
            return Shot(Frame(developed(rng, light), camera), distance, seed, place.kind)
    raise RuntimeError(f"seed {seed} of the roads gave no image in 100 attempts")


def road(rng) -> Place:
    """A road 45 to 70 m long, a yard or a car park; houses on no, one or both sides."""
    kind = str(rng.choice(["road", "yard"], p=[0.7, 0.3]))
    wide, walk = rng.uniform(5.5, 15 if kind == "road" else 30), rng.uniform(1.2, 5)
    end, kerb = rng.uniform(45, 70), rng.uniform(0.0, 0.15)
    floor = Floor(-wide / 2 - walk, -4, wide / 2 + walk, end)
    floor.parts += streets.street_ground(rng, wide, walk, end, max(kerb, 0.02))
    floor.parts.append(_land(rng, end))
    for side in (-1, 1):
        if rng.random() < 0.65:
            floor.parts += streets.houses(rng, side, wide / 2 + walk + rng.uniform(0, 6), end)
    if rng.random() < 0.4:
        floor.parts += streets.house(rng, 0, end + 0.5, wide + 2 * walk + 8, 1.0, 0)
    streets.parked(rng, floor, wide, end)
    if kind == "yard":
        _rows_of_cars(rng, floor, wide, end)
    streets.strew(rng, floor, wide, walk, end, max(kerb, 0.02))
    x, y = rng.uniform(-30, 30), rng.uniform(-30, 20)
    sun = Light((x, y, 55), (0, 10, 0), rng.uniform(0.3, 1.6), 60.0, (1, 0.96, 0.88), 224, 260.0)
    stand = (-wide / 2 - walk + 0.4, -2, wide / 2 + walk - 0.4, end * 0.4)
    return Place.of(kind, floor.parts, [sun], rng.uniform(0.2, 0.6), stand, stand)


def _land(rng, end):
    """What lies beside and behind: grass, sand or asphalt, a little lower than the road."""
    tone = tuple(np.array([[0.2, 0.3, 0.1], [0.5, 0.45, 0.35], [0.2, 0.2, 0.2]])[rng.integers(3)])
    ground = Surface(textures.rough, tone, tuple(0.6 * np.array(tone)))
    return box(0, end / 2, -0.55, 160, end + 120, 0.3, ground)


def _rows_of_cars(rng, floor, wide, end):
    """Parked side by side, now and then a gap."""
    for y in np.arange(rng.uniform(5, 9), end - 6, rng.uniform(7, 12)):
        for x in np.arange(-wide / 2 + 2, wide / 2 - 2, 2.6):
            if rng.random() < 0.35:
                floor.put(outdoors.car(rng), x, y, 0 if rng.random() < 0.5 else np.pi)


def riding(rng, place: Place) -> Pose:
    """A car's camera (1.2 to 1.9 m), a delivery robot's (0.3 to 1 m) or a drone's (2 to 7 m)."""
    which = rng.choice(3, p=[0.6, 0.25, 0.15])
    low, high = ((1.2, 1.9), (0.3, 1.0), (2.0, 7.0))[which]
    at = rng.uniform(place.stand[:2], place.stand[2:])
    along = rng.random() < 0.75
    yaw = np.pi / 2 + np.radians(rng.normal(0, 10) if along else rng.uniform(-70, 70))
    pitch = rng.normal(-2, 3) if which == 0 else rng.uniform(-12, 4)
    pitch = rng.uniform(-40, -3) if which == 2 else pitch
    return Pose.looking([*at, rng.uniform(low, high)], yaw, np.radians(pitch), 0.02 * rng.normal())


def any_camera(rng) -> Camera:
    """280 to 420 pixels and 38 to 95 degrees wide, 4:3 to 3.2:1."""
    return drawn_camera(rng, (38, 95), (280, 420), (4 / 3, 4 / 3, 16 / 9, 16 / 9, 2.0, 3.2))
