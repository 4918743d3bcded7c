# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Images with distances of every pixel as chunks of equal canvases, made by worker processes.

    python -m training.fast.render --out pool --assets assets/ --workers 14
    python -m training.fast.render --out pool --records nyu_train.jsonl --hold-out 8

The first goes on until it is ended (or --count); a chunk is a pure function of its source and
number. The second writes images with depth images once, whole blocks of 20 consecutive numbers
held out; several files of records become one first, since a second call would mix what is held
out of one with what is not of the other. Images are brought to STORED_PX of focal length; training
cuts its views out of that.
"""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from depthlm_ros.cli.values import above_one, count, from_zero
from depthlm_ros.data.records import Records
from depthlm_ros.data.whole import becoming
from depthlm_ros.errors import InputError
from training.data.blocks import divided, number_of
from training.data.shards import Shot
from training.run.commands import errors_told, parser_of
from training.scenes.assets.scans import CATEGORY
from training.scenes.furnished.library import table_of
from training.synthetic import deaf_to_interrupts, drawer, on_cores

STORED_PX = 250.0  # focal length of the stored images: views at 200 px, zoomed by 1.25 at most
CANVAS = 320, 432  # height, width
CHUNK = 32
LARGEST_M = 80.0
# Share of what the workers render, by source.
SHARES = {
    "furnished": 0.28,
    "wider": 0.18,
    "near": 0.14,
    "low": 0.08,
    "things": 0.12,
    "boxes": 0.05,
    "road": 0.15,
}
WITHOUT_ASSETS = "boxes", "road"
REAL = "real"  # the source that records are


def drawn(source, assets, seed, held_out=False) -> Shot:
    """The image of a source with this number; "wider" is a split of the furnished world."""
    world, split = ("furnished", source) if source == "wider" else (source, "train")
    return drawer(world, assets or None)(seed, "heldout" if held_out else split)


def sources_of(assets) -> list[str]:
    """The sources that can be rendered from a folder of assets, or from none."""
    if not assets:
        return list(WITHOUT_ASSETS)
    has_scans = any(model["category"] == CATEGORY for model in table_of(assets)["models"])
    return [source for source in SHARES if has_scans or source != "things"]


def stored(shot) -> tuple:
    """(image, distance in metres, 0 unknown) at STORED_PX, cut to the canvas around its middle."""
    camera = shot.frame.camera
    scale = STORED_PX / camera.fx
    width, height = round(camera.width * scale), round(camera.height * scale)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(shot.frame.image, (width, height), interpolation=how)
    metres = np.nan_to_num(shot.distance_m, nan=0.0).astype(np.float32)
    metres = cv2.resize(metres, (width, height), interpolation=cv2.INTER_NEAREST)
    metres[(metres > LARGEST_M) | (metres < 0.05)] = 0
    top, left = max(height - CANVAS[0], 0) // 2, max(width - CANVAS[1], 0) // 2
    cut = np.s_[top : top + CANVAS[0], left : left + CANVAS[1]]
    return image[cut], metres[cut].astype(np.float16)


def write_chunk(path, shots, source) -> None:
    """A chunk of Shots, under another name first."""
    images = np.zeros((len(shots), *CANVAS, 3), np.uint8)
    metres = np.zeros((len(shots), *CANVAS), np.float16)
    sizes = np.zeros((len(shots), 2), np.int32)
    for index, shot in enumerate(shots):
        image, known = stored(shot)
        sizes[index] = image.shape[:2]
        images[index, : image.shape[0], : image.shape[1]] = image
        metres[index, : image.shape[0], : image.shape[1]] = known
    with becoming(path) as part, open(part, "wb") as file:
        np.savez(file, image=images, metres=metres, size=sizes, source=np.array(source))


def work(out, assets, number, workers, count) -> None:
    """Render chunk after chunk in a process of its own; worker `number` of `workers`. count: of
    all, 0: until it is ended, or whoever started it is no more."""
    os.nice(10)
    cv2.setNumThreads(1)
    with errors_told("training.fast.render"):
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        render_chunks(out, assets, number, workers, count)


def render_chunks(out, assets, number, workers, count) -> None:
    """See work()."""
    begun_by = multiprocessing.parent_process()
    sources = sources_of(assets)
    for source in sources[number::workers]:
        held_out_chunk(out, assets, source)
    shares = np.array([SHARES[s] for s in sources])
    chunk = number
    while (not count or chunk < count) and begun_by.is_alive():
        rng = np.random.default_rng([77, chunk])
        source = str(rng.choice(sources, p=shares / shares.sum()))
        path = Path(out, f"{source}_{chunk:06d}.npz")
        if not path.exists():
            first = chunk * CHUNK
            write_chunk(path, [drawn(source, assets, first + i) for i in range(CHUNK)], source)
        chunk += workers


def start(out, assets, workers, count=0) -> list:
    """Worker processes that render into the folder `out`, one a core at most; end them with
    Process.terminate().
    InputError where the folder `assets` has none."""
    if assets:
        table_of(assets)
    workers = on_cores(workers)
    Path(out).mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    made = [
        context.Process(target=work, args=(str(out), assets, n, workers, count), daemon=True)
        for n in range(workers)
    ]
    with deaf_to_interrupts():
        for process in made:
            process.start()
    return made


def recorded(record) -> Shot:
    """A record with a depth image; RecordError where it has none, or it cannot be read."""
    metres = record.depth_map_as("distance")
    return Shot(record.frame(), metres, number_of(record), "record")


def write_records(out, path, hold_out) -> None:
    """Chunks of the records of a jsonl that are trained on, and of those that are held out, as
    blocks.py divides them. InputError where the pool has chunks of records."""
    folders = Path(out), Path(out, "heldout")
    for found in (path for folder in folders for path in folder.glob(f"{REAL}_*.npz")):
        raise InputError(
            f"{found} is there already, and other records or another --hold-out would be mixed"
            f" with it: delete {out}/{REAL}_*.npz and {out}/heldout/{REAL}_*.npz, or give"
            " another --out; several files of records become one with cat"
        )
    for folder, records in zip(folders, divided(Records(path), hold_out)):
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{len(records)} images of {path} into {folder}", flush=True)
        for start_at in range(0, len(records), CHUNK):
            shots = [recorded(record) for record in records[start_at : start_at + CHUNK]]
            write_chunk(folder / f"{REAL}_{start_at:06d}.npz", shots, REAL)


def held_out_chunk(out, assets, source) -> Path:
    """Images of a source that training never sees, each in a place of its own."""
    path = Path(out, "heldout", f"{source}_heldout.npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        shots = [drawn(source, assets, 10 * i, held_out=True) for i in range(2 * CHUNK)]
        write_chunk(path, shots, source)
    return path


def main(arguments=None) -> None:
    parser = parser_of("training.fast.render", __doc__)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--assets", default="", help="folder that training.scenes.assets wrote")
    parser.add_argument("--workers", type=count, default=1)
    parser.add_argument(
        "--count", type=from_zero, default=0, help="chunks of 32 (default: no end)"
    )
    parser.add_argument("--records", type=Path, help="jsonl with depth images instead")
    parser.add_argument("--hold-out", type=above_one, default=8, help="every so many blocks of 20")
    given = parser.parse_args(arguments)
    with errors_told("training.fast.render"):
        if given.records:
            write_records(given.out, given.records, given.hold_out)
            return
        workers = start(given.out, given.assets, given.workers, given.count)
        for process in workers:
            process.join()
        print(f"{len(list(given.out.glob('*.npz')))} chunks in {given.out} at {time.ctime()}")
        if any(process.exitcode for process in workers):
            raise InputError("not all is rendered: see above; the same command goes on")


if __name__ == "__main__":
    main()
