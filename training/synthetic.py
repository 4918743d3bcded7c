# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rendered pictures with true distances, each a pure function of its seed.

    python -m training.synthetic sheet --out sheet.png
    python -m training.synthetic shards --out DIR --count 12000
    python -m training.synthetic demo --out depthlm_ros/demo

Knows nothing about models. Sky has no distance; it is given SKY_M, so that every pixel has one.
"""

import argparse
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.view import Frame

from .shards import Shot, read_shards, write_shard
from .world import places, surfaces
from .world.solids import first_hits, ray_planes

__all__ = ["SPLITS", "Shot", "read_shards", "render", "shot"]

SKY_M = 40.0
SPLITS = {"train": 1, "heldout": 2}


def shot(seed: int, split: str = "train") -> Shot:
    """The picture with this number; the splits share no scene. Degenerate ones are redrawn."""
    for attempt in range(100):
        rng = np.random.default_rng([SPLITS[split], seed, attempt])
        place = places.place(rng)
        pose, camera = places.standing(rng, place), random_camera(rng)
        if place.solids.gap(pose.origin).min() < 0.1:
            continue
        light, distance = render(place, camera, pose)
        if worth_showing(distance):
            return Shot(Frame(developed(rng, light), camera), distance, seed, place.kind)
    raise RuntimeError(f"seed {seed} of split '{split}' gave no usable picture in 100 attempts")


def random_camera(rng) -> Camera:
    """280-400 pixels wide, 50-80 degrees wide, focal length 230 px at least."""
    tangent = np.tan(np.radians(rng.uniform(50, 80)) / 2)
    width = int(rng.uniform(max(280, 460 * tangent), 401))
    height = int(width / rng.choice([4 / 3, 4 / 3, 3 / 2, 16 / 9]))
    focal = width / 2 / tangent
    cx, cy = (width - 1) / 2, (height - 1) / 2
    fy = focal * rng.uniform(0.99, 1.01)
    return Camera(width, height, focal, fy, cx + rng.normal(0, 3), cy + rng.normal(0, 3))


def worth_showing(distance_m) -> bool:
    """Not mostly a surface before the lens, and nothing nearer than a picture can show."""
    return np.mean(distance_m < 0.4) < 0.02 and np.median(distance_m) > 0.7


def render(place, camera: Camera, pose):
    """Linear light (3, H, W) and distance in metres (H, W), both float32."""
    rays = ray_planes(camera, pose)
    distance, solid = first_hits(place.solids, camera, pose, rays)
    light = sky(rays)
    seen = np.flatnonzero(solid.ravel() >= 0)
    hit = surfaces.hits(place.solids, solid.ravel()[seen], distance.ravel()[seen],
                        rays.reshape(3, -1)[:, seen], pose.origin, camera.fx)
    glow = np.array([s.glow for s in place.surfaces], np.float32)[hit.solid]
    arriving = surfaces.lighting(place.lights, place.ambient, place.solids, hit) + glow
    light.reshape(3, -1)[:, seen] = surfaces.albedo(place.surfaces, hit) * arriving
    return light, np.where(solid >= 0, distance, np.float32(SKY_M))


def sky(rays) -> np.ndarray:
    """Pale at the horizon, blue above: linear light (3, H, W)."""
    up = np.clip(rays[2], 0, 1)
    return np.stack([0.9 - 0.55 * up, 0.95 - 0.35 * up, 1 + 0.1 * up]).astype(np.float32)


def developed(rng, light) -> np.ndarray:
    """What a camera makes of the light: exposure, white balance, vignetting, blur, noise."""
    height, width = light.shape[1:]
    gain = rng.uniform(0.25, 0.55) / (np.mean(light) + 0.02)
    balance = gain * rng.uniform(0.9, 1.1, 3)
    v, u = np.ogrid[-1:1:height * 1j, -1:1:width * 1j]
    fall = (1 - rng.uniform(0, 0.15) * (u * u + v * v)).astype(np.float32)
    image = np.moveaxis(light * (fall * balance.astype(np.float32)[:, None, None]), 0, 2)
    image = cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), rng.uniform(0.4, 0.9))
    image = np.clip(image, 0, None)
    image = 255 * (image / (1 + 0.15 * image * image)) ** np.float32(1 / 2.2)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0.5, 4))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def sheet(path, split, count, first=0):
    """A contact sheet: pictures with their distance maps below, near warm, far cold."""
    cells = [_cell(shot(first + i, split)) for i in range(count)]
    cells += [np.zeros_like(cells[0])] * (-count % 6)
    rows = [np.hstack(cells[i:i + 6]) for i in range(0, len(cells), 6)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def coloured(distance_m) -> np.ndarray:
    """Distances as colours on a logarithmic scale from 0.4 to 40 m: (H, W, 3) uint8 RGB."""
    share = 1 - np.log(distance_m / 0.4) / np.log(100)
    levels = np.clip(share * 255, 0, 255).astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[..., ::-1]


def _cell(one: Shot, width=320, height=240) -> np.ndarray:
    pictures = [one.frame.image, coloured(one.distance_m)]
    return np.vstack([_fitted(p, width, height) for p in pictures])


def _fitted(image, width, height) -> np.ndarray:
    scale = min(width / image.shape[1], height / image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cell = np.zeros((height, width, 3), np.uint8)
    cell[:small.shape[0], :small.shape[1]] = small[:height, :width]
    return cell


def shards(folder, count, split, workers=1, size=500):
    """Write pictures 0..count-1 of a split as shards; those that exist already are kept."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, size)
    names = {s: folder / f"{split}_{s:07d}_{min(size, count - s)}.npz" for s in starts}
    missing = [s for s in starts if not names[s].exists()]
    job = partial(_shard, names, split, count, size)
    with Pool(workers) as pool:
        for start in pool.imap_unordered(job, missing):
            print(f"{names[start]} written", flush=True)
    print(f"{count} pictures in {folder}, {len(names) - len(missing)} shards were there already")


def _shard(names, split, count, size, start):
    shots = [shot(i, split) for i in range(start, min(start + size, count))]
    write_shard(names[start], shots)
    return start


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m training.synthetic", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("sheet", help="a contact sheet of pictures and distance maps")
    many = commands.add_parser("shards", help="files of many pictures; continues where it ended")
    for command in (one, many):
        command.add_argument("--out", required=True)
        command.add_argument("--split", choices=SPLITS, default="train")
    one.add_argument("--count", type=int, default=24)
    one.add_argument("--first", type=int, default=0)
    many.add_argument("--count", type=int, required=True)
    many.add_argument("--workers", type=int, default=1)
    many.add_argument("--size", type=int, default=500)
    given = parser.parse_args(arguments)
    if given.command == "sheet":
        sheet(given.out, given.split, given.count, given.first)
    else:
        shards(given.out, given.count, given.split, given.workers, given.size)


if __name__ == "__main__":
    main()
