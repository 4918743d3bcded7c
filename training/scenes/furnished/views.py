# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Furnished places and the images that cameras take in them: pure functions of their seed.

Ten numbers share a place, so that it is built once. Knows nothing about files of images.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from depthlm_ros.view import Frame
from training.data.shards import Shot
from training.scenes.boxes.camera_work import developed, random_camera, worth_showing
from training.scenes.boxes.solids import Pose
from training.scenes.furnished import layouts, patterns, workrooms
from training.scenes.furnished.builder import Builder
from training.scenes.furnished.library import Library, library
from training.scenes.furnished.meshes import Scene
from training.scenes.furnished.render import render

VIEWS = 10
SPLITS = {"train": 1, "heldout": 2, "unseen": 3, "wider": 4}
ATTEMPTS, ATTEMPTS_A_PLACE = 60, 15
PLACES = {
    layouts.living: 0.2,
    layouts.kitchen: 0.12,
    workrooms.office: 0.16,
    workrooms.lecture: 0.09,
    workrooms.corridor: 0.1,
    workrooms.hall: 0.14,
    workrooms.store: 0.06,
    layouts.bathroom: 0.04,
    layouts.table_top: 0.09,
}


def furnished_shot(assets, seed: int, split: str = "train") -> Shot:
    """The image with this number, from what training.scenes.assets wrote into `assets`.

    Raises InputError where nothing was written there.
    """

    def place_at(attempt):
        key = (SPLITS[split], seed // VIEWS, attempt // ATTEMPTS_A_PLACE)
        return place_of(str(assets), key, place, split)

    def looking(rng, build, scene):
        return random_camera(rng), standing(rng, build, scene, split == "wider")

    def is_usable(rng, distance):
        usable = worth_showing(distance) and _inside(distance)
        return usable and (_varied(distance) or rng.random() < 0.15)

    return first_usable(seed, (SPLITS[split],), place_at, looking, is_usable)


def first_usable(seed: int, key: tuple, place_at, looking, is_usable) -> Shot:
    """The first usable image of the attempts at one number.

    key: of the random numbers, before seed and attempt. place_at: attempt -> what place_of()
    gives. looking: (rng, build, scene) -> (camera, pose, None where there is no room). is_usable:
    (rng, distance) -> bool. Raises RuntimeError where none is.
    """
    for attempt in range(ATTEMPTS):
        kind, build, scene, lamps, far = place_at(attempt)
        rng = np.random.default_rng([*key, seed, attempt, 5])
        camera, pose = looking(rng, build, scene)
        if pose is None:
            continue
        light, distance = render(rng, scene, lamps, camera, pose, far)
        if is_usable(rng, distance):
            frame = Frame(compressed(rng, developed(rng, light)), camera)
            return Shot(frame, distance, seed, kind)
    raise RuntimeError(f"number {seed} of key {key} gave no image in {ATTEMPTS} attempts")


@lru_cache(maxsize=2)
def place_of(folder: str, key: tuple, make, split: str = "train"):
    """Kind, builder, scene, lamps and what is outside of the place with this key.

    make: (rng, Library) -> (kind, furnished Builder).
    """
    rng = np.random.default_rng(key)
    kind, build = make(rng, library(folder, split == "unseen", split == "wider"))
    return kind, build, *build.finished(), outside_of(rng)


def outside_of(rng) -> "Outside":
    """What windows show of a place."""
    image = patterns.outside(rng)[0][..., :3].astype(np.float32) / 255
    return Outside(image**2.2 * rng.uniform(1, 5))


def place(rng, assets: Library):
    """(name, furnished Builder) of a place at random."""
    make = list(PLACES)[rng.choice(len(PLACES), p=list(PLACES.values()))]
    return make.__name__, make(rng, assets)


class Outside:
    """What rays see that leave the place: an image (h, w, 3) around the horizon, thrice."""

    def __init__(self, image):
        self.image = image.astype(np.float32)

    def __call__(self, rays) -> np.ndarray:
        """Linear light (P, 3) of rays (P, 3)."""
        high, wide = self.image.shape[:2]
        column = (np.arctan2(rays[:, 1], rays[:, 0]) / (2 * np.pi) * 3 * wide).astype(int) % wide
        row = ((0.5 - rays[:, 2]) * high).astype(int).clip(0, high - 1)
        return self.image[row, column]


class Reach(NamedTuple):
    """What the nearest tenth of an image's distances ends at, their middle, and what the farthest
    tenth begins at, metres."""

    near: float
    middle: float
    far: float


def reach(distance_m, closest_m: float) -> Reach | None:
    """The Reach of an image (h, w); None where less than 70 % of it shows the place, or 1 % of
    that is nearer than closest_m."""
    seen = distance_m[np.isfinite(distance_m)]
    if len(seen) < 0.7 * distance_m.size or np.mean(seen < closest_m) >= 0.01:
        return None
    return Reach(*np.percentile(seen, [10, 50, 90]))


def _inside(distance) -> bool:
    """Most of the image shows the place and not what is outside."""
    return np.isfinite(distance).mean() > 0.6


def _varied(distance) -> bool:
    """More than one bare wall: the far tenth is well behind the near tenth."""
    near, far = np.nanpercentile(distance[::4, ::4], [10, 90])
    return far > 1.5 * near


def standing(rng, build: Builder, scene: Scene, wider=False) -> Pose | None:
    """A camera 0.4-1.8 m high, mostly 1.2-1.6, that looks at something and touches nothing.

    wider: half of them look up, and a third at a thing from nearby.
    """
    close = build.close
    for _ in range(12):
        high = rng.uniform(1.15, 1.65) if rng.random() < 0.75 else rng.uniform(0.4, 1.9)
        if close is not None and rng.random() < 0.8:
            pose = _close_up(rng, close, high)
        elif wider and build.targets and rng.random() < 0.35:
            pose = _beside(rng, build.targets[rng.integers(len(build.targets))])
        else:
            at = rng.uniform(build.area[:2] + 0.2, build.area[2:] - 0.2)
            aim = looked_at(rng, build)
            yaw = np.arctan2(*(aim - at)[::-1])
            up = wider and rng.random() < 0.5
            pitch = np.radians(rng.uniform(-8, 24) if up else np.clip(rng.normal(-6, 8), -30, 12))
            pose = Pose.looking([*at, high], yaw, pitch, np.radians(rng.normal(0, 1.5)))
        inside = (pose.origin[:2] > build.area[:2] + 0.1).all() and (
            pose.origin[:2] < build.area[2:] - 0.1
        ).all()
        if inside and _room_around(scene, pose):
            return pose
    return None


def looked_at(rng, build) -> np.ndarray:
    """(2,) where on the floor a camera looks: mostly at a thing."""
    if build.targets and rng.random() < 0.6:
        return build.targets[rng.integers(len(build.targets))][:2] + rng.normal(0, 0.3, 2)
    return rng.uniform(build.area[:2], build.area[2:])


def _close_up(rng, target, high):
    """0.5-1.6 m from what lies on a table, looking down on it."""
    turn, away = rng.uniform(-np.pi, np.pi), rng.uniform(0.4, 1.5)
    high = rng.uniform(1.0, 1.7)
    aim = target + [*rng.normal(0, 0.15, 2), 0]
    at = np.array([aim[0] + away * np.cos(turn), aim[1] + away * np.sin(turn), high])
    pitch = np.arctan2(aim[2] + 0.3 - high, away) + rng.normal(0, 0.12)
    return Pose.looking(
        at, turn + np.pi + rng.normal(0, 0.15), max(pitch, -1.0), np.radians(rng.normal(0, 2))
    )


def _beside(rng, target):
    """0.7-2.6 m from a thing, looking at it."""
    turn, away, high = rng.uniform(-np.pi, np.pi), rng.uniform(0.7, 2.6), rng.uniform(0.5, 1.8)
    at = np.array([target[0] + away * np.cos(turn), target[1] + away * np.sin(turn), high])
    pitch = np.arctan2(target[2] - high, away) + rng.normal(0, 0.15)
    return Pose.looking(
        at,
        turn + np.pi + rng.normal(0, 0.25),
        np.clip(pitch, -0.9, 0.5),
        np.radians(rng.normal(0, 2)),
    )


def _room_around(scene, pose) -> bool:
    """Nothing within 0.25 m, and most of what is ahead farther than 0.45 m."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    rays = np.concatenate([ring, ring * 0.7 + [0, 0, 0.7], ring * 0.7 - [0, 0, 0.7]])
    ahead = np.array([[x, y, 1.4] for x in (-0.8, -0.4, 0, 0.4, 0.8) for y in (-0.5, 0, 0.5)])
    ahead = ahead / np.linalg.norm(ahead, axis=1)[:, None] @ pose.axes.T
    rays = np.concatenate([rays / np.linalg.norm(rays, axis=1)[:, None], ahead])
    hits = scene.cast(np.broadcast_to(pose.origin, rays.shape), rays)
    away = np.where(hits.face >= 0, hits.distance, 100)
    return away.min() > 0.25 and np.median(away[-15:]) > 0.6


def compressed(rng, image) -> np.ndarray:
    """The image after JPEG at a random quality, most of the time."""
    if rng.random() < 0.3:
        return image
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 98))]
    coded = cv2.imencode(".jpg", image[..., ::-1], quality)[1]
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])
