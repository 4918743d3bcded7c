# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a config really trains on: crops with markers and labels, true maps, and the unmasked
tokens; or what a folder of records holds.

    python -m training.preview training/configs/tiny.yaml --out preview
    python -m training.preview training/configs/tiny_dense.yaml --out preview
    python -m training.preview curated/nuscenes/train --out preview

Of a config it writes rows.png and rows.txt: rows as the collator gives them to the model, some of
each stage; of a dense head each image has its true map beside it, red where it is near and grey
where nothing was measured. Of a folder, or of a .jsonl file, it writes labels.jpg and labels.txt:
labels on their images and from above, the kind, and how the distances are spread. Loads no
weights.
"""

import tempfile
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from depthlm_ros.cli import values
from depthlm_ros.data.jsonl import pattern_of
from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from depthlm_ros.models.loading import load_parts
from depthlm_ros.viz.overlay import distance_colours, distance_limits
from depthlm_ros.viz.sheets import write_sheet
from training.config import config_kind, read_config
from training.curate.look import described, write_looks
from training.data.collate import Collator
from training.data.maps import log_map
from training.data.rows import stage_rows
from training.run.base import ready_base
from training.run.commands import add_config, changes, errors_told, parser_of

WIDTH, ACROSS = 480, 3  # of an image on the sheet in pixels, and of the sheet in images
ACROSS_MAPS = 4  # where each image has its map beside it
CIRCLE = 4
SHOWN = 3  # folders that are named in place of one without records
OPTIONS = "data", "base"


def preview(config, count, out) -> tuple:
    """(path of the sheet, path of the text) of `count` rows of each stage."""
    with tempfile.TemporaryDirectory() as folder:
        parts = load_parts(config.entry(ready_base(config, Path(folder) / "base")))
    rows = stage_rows(config, parts.checkpoint, parts.vision.patch * parts.vision.merge)
    collator = Collator(parts, config.loss_on, config.loss_per, config.multi_turn)
    chosen = [(i, stage, rows[i]) for i, stage in _numbers(config, count)]
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    head = parts.checkpoint.head
    cells = [cell for *_, row in chosen for cell in _cells(row, head)]
    write_sheet(cells, ACROSS_MAPS if head else ACROSS, out / "rows.png")
    (out / "rows.txt").write_text("\n".join(described_row(collator, *one) for one in chosen))
    return out / "rows.png", out / "rows.txt"


def _numbers(config, count):
    start = 0
    for stage in config.stages:
        length = stage.steps * config.batch
        yield from ((start + i, stage.name) for i in range(min(count, length)))
        start += length


def described_row(collator, number, stage, row) -> str:
    """A row in words."""
    camera, batch = row.view.camera, collator([row])
    height, width = collator.preparer.prepare(row.image).size
    lines = [
        f"row {number}, stage {stage}: {row.example.name}",
        f"  view {camera.width} x {camera.height}, fx {camera.fx:.1f}, fy {camera.fy:.1f}",
        f"  the model sees {width} x {height}; {batch['input_ids'].shape[1]} tokens",
        *(f"  skipped: {skip.message}" for skip in row.skipped),
    ]
    for asked in row.asked:
        place = f"at {asked.question.pixel}" if asked.question.pixel else "of no pixel"
        lines.append(f"  {asked.style.name} {place}, {_label(asked)}:")
        lines.append(f"    {asked.question.text!r}")
    if head := collator.parts.checkpoint.head:
        lines.append(f"  map of kind {head.kind}: {described_map(true_map(row, head.kind))}")
    lines += [f"  trained: {text!r}" for text in trained(collator, batch)]
    return "\n".join(lines) + "\n"


def true_map(row, kind) -> np.ndarray:
    """(h, w) metres at the pixels of a row's view, as the head is trained on them."""
    return np.exp(log_map(row, kind))


def described_map(metres) -> str:
    """How much of a map is known, and how it is spread."""
    known = metres[np.isfinite(metres)]
    if not len(known):
        return "no pixel known"
    low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
    share = len(known) / metres.size
    return (
        f"{share:.0%} known, 5 % below {low:.2f} m, median {middle:.2f} m, 95 % below {high:.2f} m"
    )


def trained(collator, batch) -> list:
    """The text of each stretch of trained tokens of a batch of one row."""
    places = sorted(set(batch["targets"][:, 1].tolist()))
    stretches = groupby(enumerate(places), key=lambda pair: pair[1] - pair[0])
    ids = batch["input_ids"][0]
    return [collator.tokenizer.decode(ids[[at for _, at in s]]) for _, s in stretches]


def _label(asked) -> str:
    """What is true of it: metres, or of a task the answer."""
    return f"{asked.metres:.2f} m" if hasattr(asked, "metres") else repr(asked.answer)


def _cells(row, head) -> list[Image.Image]:
    """A row's image, with its map beside it where there is a dense head, else with any second."""
    if head:
        return [_cell(row), _map_cell(row, head.kind)]
    return [_cell(row), *map(_fitted, row.more)]


def _map_cell(row, kind) -> Image.Image:
    """The true map in colours, with what these mean."""
    metres = true_map(row, kind)
    near, far = limits = distance_limits(metres.ravel())
    cell = _fitted(distance_colours(metres, limits))
    text = f"{kind}: red {near:g} m, violet {far:g} m, grey unknown"
    ImageDraw.Draw(cell).text((6, 4), text, "white", stroke_width=2, stroke_fill="black")
    return cell


def _cell(row) -> Image.Image:
    """What the model sees, with the asked pixels circled and their metres written beside."""
    scale, cell = WIDTH / row.view.camera.width, _fitted(row.image)
    draw = ImageDraw.Draw(cell)
    for asked in row.asked:
        if not asked.question.pixel:
            continue
        u, v = ((place + 0.5) * scale for place in asked.question.pixel)
        draw.ellipse((u - CIRCLE, v - CIRCLE, u + CIRCLE, v + CIRCLE), outline="yellow")
        label = f"{asked.style.name[0]} {_label(asked)}"
        draw.text((u + CIRCLE + 2, v - 6), label, "yellow", stroke_width=1, stroke_fill="black")
    return cell


def _fitted(image) -> Image.Image:
    height, width = image.shape[:2]
    size = WIDTH, round(height * WIDTH / width)
    return Image.fromarray(np.ascontiguousarray(image)).resize(size)


def look(place: Path, count, out) -> tuple:
    """(path of the sheet, path of the text) of `count` records of a folder or a file."""
    if place.is_dir() and not any(place.glob("*.jsonl")):
        inner = sorted({str(path.parent) for path in place.glob("*/*.jsonl")})
        inner += sorted({str(path.parent) for path in place.glob("*/*/*.jsonl")})
        raise InputError(
            f"{place} holds no .jsonl file of records: give a folder that does, such as"
            f" {', '.join(inner[:SHOWN]) or 'one that training.curate has written'}"
        )
    records = Records(pattern_of(place) if place.is_dir() else place)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "labels.txt").write_text(described(records) + "\n")
    return write_looks(records, count, out / "labels.jpg"), out / "labels.txt"


def main(arguments=None) -> None:
    parser = parser_of("training.preview", __doc__)
    add_config(parser, *OPTIONS, also=", or a folder or .jsonl file of records")
    parser.add_argument(
        "--count",
        type=values.count,
        default=6,
        metavar="N",
        help="rows of each stage, or records (default 6)",
    )
    parser.add_argument("--out", default="preview", help="output folder (default preview)")
    given = parser.parse_args(arguments)
    with errors_told("training.preview"):
        place = Path(given.config)
        if place.is_dir() or place.suffix == ".jsonl":
            sheet, text = look(place, given.count, given.out)
        else:
            kind = config_kind(given.config)
            config = read_config(given.config, kind, **changes(given, *OPTIONS))
            sheet, text = preview(config, given.count, given.out)
        print(text.read_text())
        print(f"wrote {sheet} and {text}")


if __name__ == "__main__":
    main()
