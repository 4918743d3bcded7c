# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Things on tables and furniture seen from a robot's arm: 0.3 to 1.3 m away, often from above.

Places, models and light are those of furnished/views.py; only the cameras are nearer. Knows
nothing about files of images.
"""

import numpy as np

from depthlm_ros.camera import Camera
from training.data.shards import Shot
from training.scenes.boxes.solids import Pose
from training.scenes.furnished import layouts
from training.scenes.furnished.builder import Builder
from training.scenes.furnished.library import Library
from training.scenes.furnished.meshes import Scene
from training.scenes.furnished.views import VIEWS, first_usable, place, place_of, reach
from training.scenes.lens import drawn_camera

KEY = 5  # of this split's random numbers; furnished.views.SPLITS has the others
SEEN = 0  # among them: models that training images show
ATTEMPTS_A_PLACE = 10  # a camera this near finds something soon or not at all
TABLES = 0.85  # share of the places that are made around a table


def near_shot(assets, seed: int) -> Shot:
    """The image with this number, from what training.scenes.assets wrote into `assets`.

    Raises InputError without assets.
    """

    def place_at(attempt):
        key = (KEY, SEEN, seed // VIEWS, attempt // ATTEMPTS_A_PLACE)
        kind, *rest = place_of(str(assets), key, around)
        return f"near_{kind}", *rest

    def looking(rng, build, scene):
        return arm_camera(rng), leaning(rng, build, scene)

    return first_usable(seed, (KEY, SEEN), place_at, looking, lambda _, found: is_near(found))


def around(rng, models: Library) -> tuple[str, Builder]:
    """The kind of place, and a furnished one, mostly a room around a table."""
    if rng.random() < TABLES:
        return "table_top", layouts.table_top(rng, models)
    return place(rng, models)


def arm_camera(rng) -> Camera:
    """280 to 360 pixels and 42 to 85 degrees wide."""
    return drawn_camera(rng, (42, 85), (280, 360), (4 / 3, 4 / 3, 16 / 9, 1.0))


def leaning(rng, build: Builder, scene: Scene) -> Pose | None:
    """A camera near the upper side of some thing, looking at it; None where there is no room."""
    if not build.targets:
        return None
    on_table = build.close is not None and rng.random() < 0.8
    target = build.close if on_table else build.targets[rng.integers(len(build.targets))]
    aim = np.array([*(target[:2] + rng.normal(0, 0.25 if on_table else 0.1, 2)), 0.0])
    down = np.array([[0.0, 0.0, -1.0]])
    hit = scene.cast(np.array([[aim[0], aim[1], 1.6]]), down)
    if hit.face[0] < 0:
        return None
    aim[2] = 1.6 - hit.distance[0]
    away = np.exp(rng.uniform(np.log(0.4), np.log(1.3)))
    rise = np.radians(rng.uniform(12, 88) if on_table else rng.uniform(-10, 60))
    turn = rng.uniform(-np.pi, np.pi)
    offset = [np.cos(rise) * np.cos(turn), np.cos(rise) * np.sin(turn), np.sin(rise)]
    origin = aim + away * np.array(offset)
    yaw, roll = turn + np.pi + rng.normal(0, 0.1), rng.normal(0, 4)
    pose = Pose.looking(origin, yaw, -rise + rng.normal(0, 0.1), np.radians(roll))
    return pose if is_clear(scene, pose) else None


def is_clear(scene, pose) -> bool:
    """Inside the room and with nothing within 0.12 m."""
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    rays = np.concatenate([ring, ring * 0.7 + [0, 0, 0.7], ring * 0.7 - [0, 0, 0.7]])
    hits = scene.cast(np.broadcast_to(pose.origin, rays.shape), rays)
    away = np.where(hits.face >= 0, hits.distance, 100)
    return 0.05 < pose.origin[2] < 2.3 and away.min() > 0.12


def is_near(distance_m) -> bool:
    """Most of it within arm's reach or little beyond, nothing that fills the lens."""
    found = reach(distance_m, 0.2)
    return found is not None and 0.3 < found.middle < 1.6 and found.far > 1.25 * found.near
