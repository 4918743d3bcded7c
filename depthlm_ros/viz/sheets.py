# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Contact sheets: many small images side by side, as one image file."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from depthlm_ros.data.whole import check_writable, whole_file
from depthlm_ros.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg")
QUALITY = 90  # of JPEG


def sheet_path(path: str | Path) -> Path:
    """The path of an image file that can be written; InputError where it cannot, before the images
    on it are made."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"a sheet of images ends in {', '.join(ENDINGS)}, got '{path}'")
    check_writable(path)
    return path


def write_sheet(
    cells: Sequence[Image.Image], across: int, path: Path, ground: str = "black"
) -> None:
    """Write one cell or more row by row, `across` in each, on a ground of this colour; every place
    is as large as the largest cell. Raises InputError."""
    width, height = max(cell.width for cell in cells), max(cell.height for cell in cells)
    columns, rows = min(len(cells), across), -(-len(cells) // across)
    sheet = Image.new("RGB", (columns * width, rows * height), ground)
    for number, cell in enumerate(cells):
        sheet.paste(cell, (number % across * width, number // across * height))
    with whole_file(path) as part:
        sheet.save(part, quality=QUALITY)
