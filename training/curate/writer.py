# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A DataSet -> a folder of records: what every set has in common.

    OUT/00000.jsonl ...      records, SHARD images of the set to a file, see data/records.py
    OUT/images/NAME.jpg      straightened images; those of a pinhole are the set's own files
    OUT/depth/NAME.png       with `depth`: 16 bits, see DEPTH_SCALES
    OUT/counts/00000.json    what became of each file's images
    OUT/manifest.json        when all is done: versions, arguments, licence, counts

Image i becomes the same bytes whoever makes it and whenever: a file of records appears when its
images are written, and a run that was killed goes on behind the last one. Knows nothing about any
one data set, nor about the command line.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.data.files import read_image
from depthlm_ros.data.records import Record, write_records
from depthlm_ros.errors import CameraError, ImageError, InputError, first_line
from depthlm_ros.viz.progress import progress_bar
from training.curate.geometry import is_hidden, nearest_per_pixel
from training.curate.rectify import (
    cell_pixels,
    is_pinhole,
    pinhole_of,
    rectified,
    rectified_depth,
    seen_cells,
)
from training.curate.sample import DataSet, Key, Sample, Skip

FORMAT = 1  # of the folder; one of another format is refused
SHARD = 200  # images of the set to a file of records
AT_ONCE = 4  # images that a process takes at a time
PIXELS = 100  # labels of an image, as DepthLM's scripts draw
# Raw units per metre of depth images, the finest whose 16 bits reach as far as the set.
DEPTH_SCALES = 1000, 500, 250
JPEG_QUALITY = 95
BINS = 16  # of equal ratio, between the nearest and the farthest label of an image
TRIED, MEASURED = 24, 6  # images that are tried, and made, to foretell the disk space
EXAMPLES = 3  # of each reason
PACKAGES = "depthlm_ros", "numpy", "scipy", "pillow"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Wishes:
    """What the user may choose. All of it but the number of processes decides about the bytes.

    pixels: most labels of an image.
    even: pixels are drawn evenly over log distance, instead of over the image.
    depth: depth images too.
    limit: this many images of the set, evenly spread, 0 for all.
    seed: of the drawing.
    """

    pixels: int = PIXELS
    even: bool = False
    depth: bool = False
    limit: int = 0
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Made:
    """What became of one image.

    record: None where it was skipped, for a reason with a detail.
    dropped: points or cells that became no label, by reason.
    time_gap_s: between image and depth sensor.
    seconds: by what they were spent on.
    """

    record: Record | None = None
    reason: str = ""
    detail: str = ""
    dropped: Counter[str] = field(default_factory=Counter)
    time_gap_s: float = 0.0
    seconds: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes the image and the record of one key; it is sent to other processes."""

    data_set: DataSet
    folder: Path
    wishes: Wishes

    def __call__(self, key: Key) -> Made:
        """Never fails for one image; InputError where the whole set cannot be used, or the disk
        takes no more."""
        clock = Clock()
        try:
            with clock("reading"):
                sample = self._read(key)
            return self._made(sample, clock)
        except Skip as skip:
            return Made(reason=skip.reason, detail=skip.detail or str(key), seconds=clock.seconds)
        except ImageError as error:
            return Made(reason="truncated image", detail=str(error), seconds=clock.seconds)
        except CameraError as error:
            detail = f"{key}: {error}"
            return Made(reason="broken calibration", detail=detail, seconds=clock.seconds)

    def _read(self, key: Key) -> Sample:
        try:
            return self.data_set.read(key)
        except (Skip, InputError):
            raise
        except Exception as error:  # files of strangers, read by several libraries
            told = f"{key}: {type(error).__name__}: {first_line(error)}"
            raise Skip("unreadable data", told) from error

    def _made(self, sample: Sample, clock: "Clock") -> Made:
        camera = pinhole_of(sample.camera)
        dropped: Counter[str] = Counter()
        with clock("labels"):
            pixels, metres, depth = self._labels(sample, camera, dropped)
        image = self._image(sample, clock)
        depth_path, depth_scale = None, float(self._depth_scale())
        if depth is not None:
            depth_path = self._path("depth", sample.name, ".png")
            with clock("writing depth"):
                _write_depth(depth_path, depth, depth_scale)
        record = Record(
            image=image,
            camera=camera,
            pixels=np.clip(np.round(pixels, 2), -0.5, (camera.width - 0.51, camera.height - 0.51)),
            label_m=np.round(metres, 4),
            kind=sample.kind,
            where=sample.name,
            source=self.data_set.name,
            scene=sample.scene,
            depth_path=depth_path,
            depth_scale=depth_scale if depth_path else 1000.0,
        )
        return Made(record, "", "", dropped, sample.time_gap_s, clock.seconds)

    def _labels(
        self, sample: Sample, camera: Camera, dropped: Counter[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """(pixels (N, 2), metres (N,) of the sample's kind, the depth image or None)."""
        if (sample.points is None) == (sample.depth is None):
            raise InputError(f"{sample.name}: a sample has points or a depth map, one of them")
        rng = np.random.default_rng([self.wishes.seed, zlib.crc32(sample.name.encode())])
        found = self._of_points if sample.depth is None else self._of_map
        pixels, metres, depth = found(sample, camera, dropped, rng)
        if not len(metres):
            told = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
            raise Skip("no points", f"{sample.name}: {told or 'nothing was measured'}")
        return pixels, metres, depth

    def _of_points(
        self, sample: Sample, camera: Camera, dropped: Counter[str], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        points = np.asarray(sample.points, np.float64).reshape(-1, 3)
        x, y, z = points.T
        known, before = np.isfinite(x + y + z), z > 0  # lidars see all around
        dropped["not finite"] = len(points) - int(np.count_nonzero(known))
        dropped["outside the image"] = int(np.count_nonzero(known & ~before))
        points = points[known & before]
        pixels = camera.pixels(points)
        metres = points[:, 2].copy() if sample.kind == "z" else np.linalg.norm(points, axis=1)
        kept = _seen(pixels, metres, camera, dropped)
        near, far = self.data_set.range_m
        inside = (metres[kept] >= near) & (metres[kept] <= far)
        kept, dropped["out of range"] = kept[inside], int((~inside).sum())
        pixels, metres, depth = pixels[kept], metres[kept], None
        if self.wishes.depth:
            depth = np.full((camera.height, camera.width), np.nan, np.float32)
            u, v = np.floor(pixels.T + 0.5).astype(int)
            depth[v, u] = metres
        chosen = _drawn(metres, self.wishes, rng)
        return pixels[chosen], metres[chosen], depth

    def _of_map(
        self, sample: Sample, camera: Camera, dropped: Counter[str], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        measured = np.asarray(sample.depth, np.float32)
        near, far = self.data_set.range_m
        with np.errstate(invalid="ignore"):
            known, inside = measured > 0, (measured >= near) & (measured <= far)
        seen = inside & seen_cells(measured.shape, sample.camera)
        cells = np.flatnonzero(seen)
        kept = int(np.count_nonzero(inside))
        dropped["unknown"] = measured.size - int(np.count_nonzero(known))
        dropped["out of range"] = int(np.count_nonzero(known)) - kept
        dropped["outside the image"] = kept - len(cells)
        metres = measured.ravel()[cells].astype(np.float64)
        chosen = _drawn(metres, self.wishes, rng)
        depth = None
        if self.wishes.depth:
            depth = rectified_depth(np.where(inside, measured, np.nan), sample.camera)
        pixels = cell_pixels(cells[chosen], measured.shape, sample.camera)
        return pixels, metres[chosen], depth

    def _image(self, sample: Sample, clock: "Clock") -> Path:
        """The image's file, written. A copied one is read too: a broken one shows now."""
        given, lens = sample.image, sample.camera
        if isinstance(given, Path) and not given.is_file():
            raise Skip("no image file", str(given))
        with clock("decoding"):
            image = read_image(given, upright=False) if isinstance(given, Path) else given
        if image.shape[:2] != (lens.height, lens.width):
            raise Skip(
                "image of another size",
                f"{sample.name}: {image.shape[1]} x {image.shape[0]}, and the calibration is for"
                f" {lens.width} x {lens.height}",
            )
        if isinstance(given, Path) and is_pinhole(lens):
            path = self._path("images", sample.name, given.suffix.lower())
            with clock("writing images"), _writing(path):
                shutil.copyfile(given, path)
            return path
        path = self._path("images", sample.name, ".jpg")
        with clock("straightening"):
            straight = rectified(image, lens)
        with clock("writing images"):
            quality = cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY
            _write(path, cv2.imencode(".jpg", straight[..., ::-1], quality)[1])
        return path

    def _path(self, what: str, name: str, suffix: str) -> Path:
        """The file of a sample, its folder made; what no file name may hold is escaped."""
        parts = [quote(part, safe=" +,=@") for part in name.split("/")]
        parts = [re.sub(r"^\.+$", lambda dots: "%2E" * len(dots[0]), part) for part in parts]
        path = self.folder / what / Path(*[part for part in parts if part])
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(path.name + suffix)

    def _depth_scale(self) -> int:
        far = self.data_set.range_m[1]
        return next((scale for scale in DEPTH_SCALES if far * scale < 2**16), DEPTH_SCALES[-1])


class Clock:
    """Seconds of the processor, in this thread, by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Count the time inside for `what`."""
        began = time.thread_time()
        try:
            yield
        finally:
            self.seconds[what] += time.thread_time() - began  # type: ignore[assignment]


def _seen(
    pixels: np.ndarray, metres: np.ndarray, camera: Camera, dropped: Counter[str]
) -> np.ndarray:
    """Numbers of the points that the image shows; the others are counted in `dropped`."""
    count = int(np.count_nonzero(camera.contains(pixels)))
    kept, nearest = nearest_per_pixel(pixels, metres, camera.width, camera.height)
    u, v = np.floor(pixels[kept].T + 0.5).astype(int)
    hidden = is_hidden(nearest)[v, u]
    dropped["outside the image"] += len(metres) - count
    dropped["behind another"] = count - len(kept)
    dropped["hidden"] = int(np.count_nonzero(hidden))
    return kept[~hidden]


def _drawn(metres: np.ndarray, wishes: Wishes, rng: np.random.Generator) -> np.ndarray:
    """Numbers of the labels that are kept, in rising order."""
    if len(metres) <= wishes.pixels:
        return np.arange(len(metres))
    share = None
    if wishes.even:
        steps = np.log(metres)
        span = max(float(np.ptp(steps)), 1e-6)
        bins = np.minimum(((steps - steps.min()) / span * BINS).astype(int), BINS - 1)
        share = 1 / np.bincount(bins, minlength=BINS)[bins]
        share /= share.sum()
    return np.sort(rng.choice(len(metres), wishes.pixels, replace=False, p=share, shuffle=False))


def _write_depth(path: Path, depth: np.ndarray, scale: float) -> None:
    raw = np.nan_to_num(np.round(depth * scale), nan=0.0).clip(0, 2**16 - 1).astype(np.uint16)
    _write(path, cv2.imencode(".png", raw, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1])


def _write(path: Path, content: np.ndarray) -> None:
    with _writing(path):
        path.write_bytes(content.tobytes())


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """InputError instead of OSError: an image must not be counted as broken for a full disk."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}. Make room, and start the same command"
            " again: it goes on"
        ) from error


class Folder:
    """The folder that is written, locked against a second run until it is closed.

    job: what decides about its bytes, for JSON; a folder that was begun with another is refused.
    Raises InputError.
    """

    def __init__(self, path: Path, job: dict[str, Any]):
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / "job.json").open("a+", encoding="utf-8")
        except OSError as error:
            raise InputError(f"--out {path} cannot be written: {error.strerror}") from error
        try:
            self._take(self._lock, job)
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Let others write it."""
        self._lock.close()

    def _take(self, file: TextIO, job: dict[str, Any]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run is writing {self.path}") from None
        file.seek(0)
        text, told = file.read(), json.dumps(job, indent=1, sort_keys=True)
        try:
            before = json.loads(text) if text else job
        except ValueError:
            before = job if not any(self.path.glob("*.jsonl")) else {}
        differ = [n for n in sorted(job.keys() | before.keys()) if job.get(n) != before.get(n)]
        if differ:
            name = differ[0]
            raise InputError(
                f"{self.path} was begun with other arguments ({', '.join(differ)}): {name} was"
                f" {before.get(name)!r} and is {job.get(name)!r}. Give the same again to go on, or"
                " another --out"
            )
        file.truncate(0)
        file.write(told)
        file.flush()

    def shard(self, number: int) -> Path:
        """The file of records with this number."""
        return self.path / f"{number:05d}.jsonl"

    def counts(self, number: int) -> Path:
        """What became of its images."""
        return self.path / "counts" / f"{number:05d}.json"


@dataclass(frozen=True)
class Done:
    """What a run wrote.

    manifest: as in manifest.json.
    images: of this run, skipped ones included.
    before: images of the set that an earlier run had settled.
    seconds: of this run.
    shares: what its processes spent their time on, in seconds.
    """

    manifest: dict[str, Any]
    images: int
    before: int
    seconds: float
    shares: dict[str, float]

    def lines(self) -> str:
        """For reading."""
        told, m = [], self.manifest
        told.append(
            f"{m['images']} images with {m['labels']} labels ({', '.join(m['kinds'])}) of"
            f" {m['scenes']} scenes"
        )
        for reason, count in m["skipped"].items():
            told.append(f"skipped {count}: {reason}, such as {m['examples'][reason][0]}")
        if m["dropped"]:
            parts = ", ".join(f"{count} {reason}" for reason, count in m["dropped"].items())
            told.append(f"measurements that became no label: {parts}")
        if self.images and self.seconds:
            whole = sum(self.shares.values()) or 1
            shares = sorted(self.shares.items(), key=lambda item: -item[1])
            parts = ", ".join(f"{what} {s / whole:.0%}" for what, s in shares)
            rate = f"{self.images / self.seconds:.1f} images a second"
            told.append(f"{rate}; the processors spent their time on {parts}")
        return "\n".join([*told, f"licence: {m['licence']}"])


def curate(
    data_set: DataSet,
    out: Path,
    wishes: Wishes,
    arguments: dict[str, Any],
    workers: int = 1,
    say: Callable[[str], object] = print,
) -> Done:
    """Write the folder `out`; goes on where an earlier run of the same arguments ended.

    arguments: what else decides about the data, such as root, split and as_published. Raises
    InputError where the set cannot be used, the disk is too small, or nothing could be used.
    """
    began = time.monotonic()
    keys = _limited(data_set.keys(), wishes.limit)
    if not len(keys):
        raise InputError(f"{data_set.name} has no image here: {arguments}")
    job = {
        "format": FORMAT,
        "set": data_set.name,
        **arguments,
        **asdict(wishes),
        "keys": len(keys),
    }
    with closing(Folder(out, job)) as folder:
        maker = Maker(data_set, out, wishes)
        total = -(-len(keys) // SHARD)
        (out / "counts").mkdir(exist_ok=True)
        missing = [number for number in range(total) if not folder.shard(number).exists()]
        if missing:
            _check_disk(maker, keys, _images(missing, len(keys)), say)
        shares = _write_shards(folder, maker, keys, missing, workers)
        manifest = _manifest(folder, data_set, total, job)
        if not manifest["images"]:
            reasons = "; ".join(
                f"{count} {reason}, such as {manifest['examples'][reason][0]}"
                for reason, count in manifest["skipped"].items()
            )
            raise InputError(
                f"none of {len(keys)} images of {data_set.name} was usable: {reasons}"
            )
        _write_json(out / MANIFEST, manifest)
    made = _images(missing, len(keys))
    return Done(manifest, made, len(keys) - made, time.monotonic() - began, dict(shares))


def _limited(keys: Sequence[Key], limit: int) -> Sequence[Key]:
    """All, or `limit` of them from the first to the last."""
    if not limit or limit >= len(keys):
        return keys
    return [keys[int(i)] for i in np.linspace(0, len(keys) - 1, limit).round()]


def _images(shards: Sequence[int], total: int) -> int:
    """How many images of the set these files of records are about."""
    return sum(min(SHARD, total - number * SHARD) for number in shards)


def _check_disk(
    maker: Maker, keys: Sequence[Key], images: int, say: Callable[..., object]
) -> None:
    """Say what the images will take, from some that are made elsewhere; InputError where the disk
    has less."""
    sizes: list[int] = []
    folder = maker.folder / ".estimate"
    trial = Maker(maker.data_set, folder, maker.wishes)
    try:
        for i in np.unique(np.linspace(0, len(keys) - 1, TRIED).astype(int)):
            made = trial(keys[int(i)])
            if made.record is not None:
                files = [made.record.image, made.record.depth_path]
                size = sum(path.stat().st_size for path in files if path)
                sizes.append(size + 30 * len(made.record) + 400)  # characters of its line
            if len(sizes) == MEASURED:
                break
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not sizes:
        return  # the run tells why none can be used
    needed, free = int(np.mean(sizes) * images), shutil.disk_usage(maker.folder).free
    say(f"{images} images will take about {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free")
    if needed > free:
        raise InputError(
            f"{images} images need about {needed / 1e9:.3g} GB in {maker.folder} and"
            f" {free / 1e9:.3g} GB are free: give --limit N (about"
            f" {int(0.9 * free / np.mean(sizes))} images fit), or another disk"
        )


def _write_shards(
    folder: Folder, maker: Maker, keys: Sequence[Key], missing: Sequence[int], workers: int
) -> Counter[str]:
    """Write these files of records; returns what the time was spent on."""
    shares: Counter[str] = Counter()
    wanted = [
        number * SHARD + i for number in missing for i in range(_images([number], len(keys)))
    ]
    with progress_bar("images") as progress:
        found = _mapped(maker, [keys[i] for i in wanted], workers)
        done = 0
        for number in missing:
            made = []
            for _ in range(_images([number], len(keys))):
                made.append(next(found))
                shares.update(made[-1].seconds)
                done += 1
                progress(done, len(wanted))
            _write_json(folder.counts(number), _counted(made))
            write_records(folder.shard(number), (m.record for m in made if m.record is not None))
    return shares


def _mapped(maker: Maker, keys: Sequence[Key], workers: int) -> Iterator[Made]:
    """What becomes of the keys, in their order, a few ahead. InputError where a process dies."""
    if workers <= 1:
        cv2.setNumThreads(1)
        yield from map(maker, keys)
        return
    parts = [keys[i : i + AT_ONCE] for i in range(0, len(keys), AT_ONCE)]
    pending: deque[Any] = deque()
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin, initargs=(maker,)
    )
    try:
        for part in parts:
            pending.append(pool.submit(_make_some, part))
            if len(pending) >= 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            "a process that makes images died, perhaps for want of memory: start the same command"
            " again, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_MAKER: list[Maker] = []  # of a process of the pool


def _begin(maker: Maker) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches all; the first process ends them
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    _MAKER[:] = [maker]


def _end_with_parent() -> None:
    """Else a killed run leaves processes that wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make_some(keys: Sequence[Key]) -> list[Made]:
    return [_MAKER[0](key) for key in keys]


def _counted(made: Sequence[Made]) -> dict[str, Any]:
    records = [m.record for m in made if m.record is not None]
    skipped = Counter(m.reason for m in made if m.record is None)
    dropped: Counter[str] = sum((m.dropped for m in made), Counter())
    gaps = [abs(m.time_gap_s) for m in made if m.record is not None]
    return {
        "images": len(records),
        "labels": sum(map(len, records)),
        "kinds": sorted({record.kind for record in records}),
        "scenes": sorted({record.scene for record in records}),
        "skipped": dict(sorted(skipped.items())),
        "examples": {
            reason: [m.detail for m in made if m.record is None and m.reason == reason][:EXAMPLES]
            for reason in sorted(skipped)
        },
        "dropped": dict(sorted(dropped.items())),
        "time_gap_s": round(max(gaps, default=0.0), 6),
    }


def _manifest(
    folder: Folder, data_set: DataSet, total: int, job: dict[str, Any]
) -> dict[str, Any]:
    """The sum of the counts, in the order of the files."""
    parts = [json.loads(folder.counts(n).read_text(encoding="utf-8")) for n in range(total)]
    skipped: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for part in parts:
        skipped.update(part["skipped"])
        dropped.update(part["dropped"])
        for reason, told in part["examples"].items():
            examples[reason] = (examples.get(reason, []) + told)[:EXAMPLES]
    return {
        "format": FORMAT,
        "set": data_set.name,
        "licence": data_set.licence,
        "range_m": list(data_set.range_m),
        "images": sum(part["images"] for part in parts),
        "labels": sum(part["labels"] for part in parts),
        "kinds": sorted({kind for part in parts for kind in part["kinds"]}),
        "scenes": len({scene for part in parts for scene in part["scenes"]}),
        "skipped": dict(sorted(skipped.items())),
        "examples": {reason: examples[reason] for reason in sorted(examples)},
        "dropped": dict(sorted(dropped.items())),
        "longest_time_gap_s": max((part["time_gap_s"] for part in parts), default=0.0),
        "arguments": job,
        "versions": {**{name: _version(name) for name in PACKAGES}, "opencv": cv2.__version__},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """At once and whole."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)
