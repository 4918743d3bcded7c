# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The worst answers of an evaluation, as a contact sheet of images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from depthlm_ros.data.records import Record
from depthlm_ros.evaluation.evaluate import Points
from depthlm_ros.viz.overlay import text_font
from depthlm_ros.viz.sheets import write_sheet

COLUMNS = 4
TILE = (320, 240)  # width and height of an image on the sheet
TEXT = 34  # pixels below it
GROUND = "#14181f"


def worst_points(points: Points, count: int) -> list[int]:
    """Indexes of the worst point of each of the `count` worst images, the worst first.

    The error is |log(answer / truth)|; no answer is worse than any.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(np.log(points.answer_m / points.label_m))
    order = np.argsort(-np.nan_to_num(error, nan=np.inf), kind="stable")
    _, first = np.unique(points.image[order], return_index=True)
    return order[np.sort(first)[:count]].tolist()


def write_worst(points: Points, records: Sequence[Record], count: int, path: Path) -> None:
    """Write the worst answers to `records`, as they were evaluated, as an image file.

    Raises InputError where it cannot be written.
    """
    tiles = [_tile(points, index, records) for index in worst_points(points, count)]
    write_sheet(tiles or [_empty()], COLUMNS, path, GROUND)


def _empty() -> Image.Image:
    return Image.new("RGB", (TILE[0], TILE[1] + TEXT), GROUND)


def _tile(points, index, records):
    """The image with a ring at the point, and below it answer and truth."""
    number = int(points.image[index])
    record = records[number]
    pixel = record.pixels[index - np.searchsorted(points.image, number)]
    tile = _empty()
    image = Image.fromarray(record.frame().image)
    scale = min(TILE[0] / image.width, TILE[1] / image.height)
    tile.paste(image.resize([max(int(side * scale), 1) for side in image.size]))
    draw = ImageDraw.Draw(tile)
    _ring(draw, (pixel + 0.5) * scale - 0.5)
    draw.text((4, TILE[1] + 2), _caption(points, index), "white", text_font(13))
    place = f"{record.where.rpartition('/')[2]} at {pixel[0]:g}, {pixel[1]:g}"
    draw.text((4, TILE[1] + 18), place, "#c8d0dc", text_font(11))
    return tile


def _ring(draw, centre) -> None:
    """Three circles, so that it is visible on dark and on bright ground."""
    for radius, colour in ((7, "black"), (6, "red"), (5, "white")):
        draw.ellipse([*(centre - radius), *(centre + radius)], outline=colour)


def _caption(points, index) -> str:
    answer, label = points.answer_m[index], points.label_m[index]
    if not np.isfinite(answer):
        return f"no answer, true {label:.2f} m"
    return f"said {answer:.2f} m, true {label:.2f} m (x {answer / label:.2f})"
