# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records to look at before anything is trained on them: labels on their images, the same from
above, and how the distances are spread.

A wrong calibration shows at edges, where the colour of labels should change with the thing; z
that is taken for distance shows from above, where a flat wall becomes round.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from depthlm_ros.data.records import Record, on_image
from depthlm_ros.errors import InputError, RecordError
from depthlm_ros.viz.overlay import distance_colours, distance_limits, overlay, text_font
from depthlm_ros.viz.sheets import write_sheet
from training.data.sources import evenly_spread

WIDTH, ACROSS, TEXT = 480, 2, 22  # pixels of an image, images in a row, pixels of text below
GROUND = (20, 24, 31)
COUNTED = 2000  # records whose labels are counted, evenly spread
OF_MAPS = 200  # of these so many whose depth images are read, where there are no labels
PLACES = 100  # of such a depth image, evenly spread
BARS = 40  # characters of the longest


def write_looks(records: Sequence[Record], count: int, path: Path) -> Path:
    """`count` records, evenly spread, as an image file: each image with its labels, and beside it
    the plan; returns path.

    Raises InputError where none can be read, or the file cannot be written.
    """
    cells, fault = [], None
    for number in evenly_spread(len(records), count):
        try:
            cells.append(_cell(records[number]))
        except RecordError as error:
            fault = error
    if not cells:
        raise InputError(f"none of these records can be drawn: {fault or 'there are none'}")
    write_sheet(cells, ACROSS, path)
    return path


def described(records: Sequence[Record]) -> str:
    """What the records say of themselves, and a histogram of their metres, as text."""
    counted: Counter[tuple[str, str]] = Counter()
    scenes, metres, sizes = set(), [], Counter[tuple[int, int, int]]()
    maps = labels = 0
    numbers = evenly_spread(len(records), COUNTED)
    for i, number in enumerate(numbers):
        record = records[number]
        counted[record.source or "no source", record.kind or "not stated"] += 1
        scenes.add((record.source, record.scene))
        camera = record.camera
        sizes[camera.width, camera.height, round(camera.fx)] += 1
        maps += record.depth_path is not None
        labels += len(record)
        if len(record) or i % max(len(numbers) // OF_MAPS, 1) == 0:
            metres.append(_measured(record)[1])
    total = sum(counted.values())
    told = [f"{len(records)} records, {total} looked at, of {len(scenes)} scenes"]
    told += [f"  {source}, {kind}: {n}" for (source, kind), n in sorted(counted.items())]
    told.append(f"  with a depth image: {maps}")
    for (width, height, focal), n in sizes.most_common(5):
        told.append(f"  {width} x {height}, focal length {focal} px: {n}")
    all_metres = np.concatenate(metres) if metres else np.empty(0)
    found = f"{labels} labels"
    if len(all_metres) > labels:
        found += f" and {len(all_metres) - labels} places of depth images"
    return "\n".join([*told, *_histogram(found, all_metres)])


def _histogram(found: str, metres: np.ndarray) -> list[str]:
    if not len(metres):
        return ["nothing is measured"]
    low, half, high = np.quantile(metres, (0.05, 0.5, 0.95))
    near, far = distance_limits(metres)
    edges = np.geomspace(near, far, 13)
    counts, _ = np.histogram(metres.clip(near, far), edges)
    spans = f"5 % below {low:.3g} m, median {half:.3g} m, 95 % below {high:.3g} m"
    lines = [f"{found}: {spans}"]
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        bar = "#" * round(BARS * count / counts.max())
        lines.append(f"  {left:7.3g} to {right:7.3g} m {count / len(metres):6.1%} {bar}")
    return lines


def _cell(record: Record) -> Image.Image:
    image = record.frame().image
    scale = WIDTH / image.shape[1]
    height = max(round(image.shape[0] * scale), 1)
    small = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    pixels, metres = _measured(record)
    drawn = overlay(small, (pixels + 0.5) * scale - 0.5, metres)
    cell = Image.new("RGB", (2 * WIDTH, height + TEXT), GROUND)
    cell.paste(Image.fromarray(drawn))
    cell.paste(_plan(record, height), (WIDTH, 0))
    name = record.image.as_posix().rpartition("/images/")[2]
    count = f"{len(record)} labels" if len(record) else "depth image"
    text = f"{name}   {count}, {record.kind or 'kind not stated'}"
    ImageDraw.Draw(cell).text((4, height + 3), text, "white", text_font(13))
    return cell


def _measured(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """(pixels (N, 2), metres (N,)): its labels, or where it has none some of its depth image."""
    if len(record) or record.depth_path is None:
        return record.pixels, record.label_m
    pixels, metres = _of_map(record)
    some = evenly_spread(len(metres), PLACES)
    return pixels[some], metres[some]


def _of_map(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """(pixels (N, 2), metres (N,)) of what its depth image knows."""
    depth = record.depth_map()
    v, u = np.nonzero(np.isfinite(depth))
    height, width = depth.shape
    pixels = on_image(np.stack([u, v], 1), record.camera, (width, height))
    return pixels, depth[v, u].astype(np.float64)


def _plan(record: Record, height: int) -> Image.Image:
    """What is measured, from above: the camera at the bottom looks up, distances as colours."""
    pixels, distance_m = record.pixels, record.label_as("distance") if len(record) else np.empty(0)
    if record.depth_path is not None:
        pixels, distance_m = _of_map(record)
        if record.stated_kind() == "z":
            distance_m = record.camera.distance_from_z(pixels, distance_m)
    points = record.camera.rays(pixels) * distance_m[:, None]
    far = max(float(points[:, 2].max(initial=0.0)), 0.1) * 1.05
    metre = (height - 20) / far
    plan = np.full((height, WIDTH, 3), GROUND, np.uint8)
    at = np.stack([WIDTH / 2 + points[:, 0] * metre, height - 10 - points[:, 2] * metre], 1)
    colours = distance_colours(distance_m, distance_limits(distance_m))
    size = 1 if len(points) > 1000 else 2
    inside = (at >= size).all(1) & (at < (WIDTH - size, height - size)).all(1)
    for du in range(-size, size):
        for dv in range(-size, size):
            u, v = (at[inside] + (du, dv)).astype(int).T
            plan[v, u] = colours[inside]
    drawn = Image.fromarray(plan)
    text = f"from above, {far:.3g} m high"
    ImageDraw.Draw(drawn).text((4, 4), text, "white", text_font(13))
    return drawn
