# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records -> the same scenes as no training image shows them: strongly blurred, at night, turned.

    python -m training.tools.estrange nyu/heldout.jsonl --out strange

Writes strange/heldout_blur.jsonl, strange/heldout_night.jsonl and strange/heldout_sideways.jsonl
with their images. What is measured stays: pixels and metres are the given ones, turned with the
image in the last. `depthlm calibrate --strange` finds with them where the model knows nothing,
`depthlm intervals` measures whether it says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from depthlm_ros.data.records import Record, Records, write_records
from depthlm_ros.errors import InputError
from training.data.examples import Sparse
from training.run.commands import errors_told, parser_of

BLUR = 0.03  # standard deviation of the blur, of the image's width: 10 pixels of 320
DARK = 0.06  # of the light is left at night
GRAIN = 6.0  # grey levels of noise at night


def blurred(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image (H, W, 3) uint8 far out of focus."""
    return cv2.GaussianBlur(image, (0, 0), BLUR * image.shape[1])


def dark(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image with little light and the grain of a sensor that strains to see it."""
    light = (image / 255.0) ** 2.2 * DARK
    grain = rng.normal(0, GRAIN, image.shape)
    return np.clip(255 * light ** (1 / 2.2) + grain, 0, 255).astype(np.uint8)


def strange_look(
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray],
) -> Callable[[Record, np.random.Generator], tuple[np.ndarray, Record]]:
    """(record, rng) -> (image, record) whose image alone is changed."""
    return lambda record, rng: (change(record.frame().image, rng), record)


def sideways(record: Record, rng: np.random.Generator) -> tuple[np.ndarray, Record]:
    """The image as a camera sees it that lies on its right side, a quarter turn anticlockwise."""
    turned = Sparse(record.frame(), record.pixels, record.label_m, record.where).turned()
    return turned.frame.image, replace(record, camera=turned.frame.camera, pixels=turned.pixels)


LOOKS = {"blur": strange_look(blurred), "night": strange_look(dark), "sideways": sideways}


def estranged(records: Records, look: str, folder: Path) -> Iterator[Record]:
    """The records in one of LOOKS, without depth images; their images are written into folder."""
    folder.mkdir(exist_ok=True)
    for number, record in enumerate(records):
        image, made = LOOKS[look](record, np.random.default_rng([number, 11]))
        path = folder / f"{number:05d}.png"
        Image.fromarray(image).save(path)
        yield replace(made, image=path, depth_path=None, depth_size=None)


def main(arguments=None) -> None:
    """The command line."""
    parser = parser_of("training.tools.estrange", __doc__)
    parser.add_argument("records", type=Path, help="with pixel_coords")
    parser.add_argument("--out", required=True, type=Path, help="folder")
    parser.add_argument("--kind", default="", help="of the labels, where records state none")
    given = parser.parse_args(arguments)
    with errors_told("training.tools.estrange"):
        records = Records(given.records, given.kind)
        if not all(len(record) for record in records):
            raise InputError(
                f"{given.records} has records without pixel_coords: python -m training.tools.split"
                " --pixels adds them from depth images"
            )
        given.out.mkdir(parents=True, exist_ok=True)
        for look in LOOKS:
            name = f"{given.records.stem}_{look}"
            path = given.out / f"{name}.jsonl"
            count = write_records(path, estranged(records, look, given.out / name))
            print(f"wrote {count} records to {path}")


if __name__ == "__main__":
    main()
