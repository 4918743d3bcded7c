# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A DataSet -> a folder of records: what every set has in common.

    OUT/00000.jsonl ...      records, SHARD images of the set to a file, see data/records.py
    OUT/images/NAME.jpg      straightened images; those of a pinhole are the set's own files
    OUT/depth/NAME.png       with `depth`: 16 bits, see maker.py
    OUT/counts/00000.json    what became of each file's images
    OUT/manifest.json        when all is done: versions, arguments, licence, counts

Image i becomes the same bytes whoever makes it and whenever: a file of records appears when its
images are written, and a run that was killed goes on behind the last one. Knows nothing about any
one data set, nor about the command line.
"""

import fcntl
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np

from depthlm_ros.data.records import write_records
from depthlm_ros.errors import InputError, first_line
from depthlm_ros.viz.progress import progress_bar
from training.curate.maker import Made, Maker, Wishes
from training.curate.processes import made_of
from training.curate.sample import DataSet, Key
from training.data.sources import evenly_spread
from training.run.run_folder import write_json

FORMAT = 1  # of the folder; one of another format is refused
SHARD = 200  # images of the set to a file of records
TRIED, MEASURED = 24, 6  # images that are tried, and made, to foretell the disk space
EXAMPLES = 3  # of each reason
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}  # of what a disk holds
PACKAGES = "depthlm_ros", "numpy", "scipy", "pillow", "isal"
MANIFEST = "manifest.json"


class Folder:
    """The folder that is written, locked against a second run until it is closed.

    job: what decides about its bytes, for JSON; a folder that was begun with another is refused.
    Raises InputError.
    """

    def __init__(self, path: Path, job: dict[str, Any]):
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not (path / "job.json").exists():
                _check_new(path)
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
        is_ours = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run is writing {self.path}") from None
        except OSError:  # a file system that knows no locks: who knows who else is writing
            is_ours = False
        file.seek(0)
        text, told = file.read(), json.dumps(job, indent=1, sort_keys=True)
        has_records = any(self.path.glob("*.jsonl"))
        try:
            before = json.loads(text) if text else job
        except ValueError:
            before = None if has_records else job
        if not isinstance(before, dict) or not before.keys() >= {"format", "set", "keys"}:
            raise InputError(f"{self.path}/job.json is not of training.curate: give a new --out")
        differ = [n for n in sorted(job.keys() | before.keys()) if job.get(n) != before.get(n)]
        if differ and is_ours and not has_records:  # refused, or ended in its first images
            self.empty()
        elif differ:
            name = differ[0]
            what = "other arguments" if differ != ["keys"] else "another number of images"
            raise InputError(
                f"{self.path} was begun with {what} ({', '.join(differ)}): {name} was"
                f" {before.get(name)!r} and is {job.get(name)!r}. Give the same again to go on,"
                " another --out, or remove that folder"
            )
        file.truncate(0)
        file.write(told)
        file.flush()

    def empty(self) -> None:
        """Remove records, counts and images."""
        for path in self.path.glob("*.jsonl"):
            path.unlink()
        for name in ("counts", "images", "depth"):
            shutil.rmtree(self.path / name, ignore_errors=True)

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
    keys = _limited(_listed(data_set), wishes.limit)
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
        there = {path.name for path in out.glob("*.jsonl")}
        missing = [number for number in range(total) if folder.shard(number).name not in there]
        if missing:
            _check_disk(maker, keys, _images(missing, len(keys)), say)
        shares = _write_shards(folder, maker, keys, missing, workers)
        manifest = _manifest(folder, data_set, total, job)
        if not manifest["images"]:
            folder.empty()  # so that the same command tries them again
            reasons = "; ".join(
                f"{count} {reason}, such as {manifest['examples'][reason][0]}"
                for reason, count in manifest["skipped"].items()
            )
            raise InputError(
                f"none of {len(keys)} images of {data_set.name} was usable: {reasons}"
            )
        write_json(out / MANIFEST, manifest)
    made = _images(missing, len(keys))
    return Done(manifest, made, len(keys) - made, time.monotonic() - began, dict(shares))


@contextmanager
def layout_told(data_set: DataSet | type[DataSet]) -> Iterator[None]:
    """Whatever a reader meets in the block, before its first image, is an InputError that says
    where the layout of the set is told."""
    try:
        yield
    except Exception as error:  # of lists and tables of strangers
        told = str(error)
        if not isinstance(error, InputError):
            told = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(
            f"{told}\npython -m training.curate {data_set.name} --help shows what is read"
        ) from error


def _listed(data_set: DataSet) -> Sequence[Key]:
    """The keys of the set, which may take minutes. Raises InputError."""
    with progress_bar("looking for images"), layout_told(data_set):
        keys = data_set.keys()
        if not len(keys):
            raise InputError(f"{data_set.name} has no image of this split here")
        return keys


def _check_new(folder: Path) -> None:
    """InputError where a folder holds what nobody has written for a curation. Hidden files and
    the lost+found of a disk do no harm."""
    for name in sorted(path.name for path in folder.iterdir()):
        if name != "lost+found" and not name.startswith("."):
            raise InputError(
                f"--out {folder} is not empty ({name} is there) and was not begun by"
                " training.curate: give a new folder"
            )


def _limited(keys: Sequence[Key], limit: int) -> Sequence[Key]:
    """All, or `limit` of them from the first to the last."""
    if not limit or limit >= len(keys):
        return keys
    return [keys[i] for i in evenly_spread(len(keys), limit)]


def _images(shards: Sequence[int], total: int) -> int:
    """How many images of the set these files of records are about."""
    return sum(min(SHARD, total - number * SHARD) for number in shards)


def _check_disk(
    maker: Maker, keys: Sequence[Key], images: int, say: Callable[..., object]
) -> None:
    """Say what the images will take, from some that are made elsewhere; InputError where the disk
    has less."""
    sizes: list[int] = []  # of those tried, 0 for one that cannot be used
    folder = maker.folder / ".estimate"
    trial = Maker(maker.data_set, folder, maker.wishes)
    try:
        for i in evenly_spread(len(keys), TRIED):
            record, size = trial(keys[i]).record, 0
            if record is not None:
                files = [record.image, record.depth_path]
                size = sum(path.stat().st_size for path in files if path)
                size += 30 * len(record) + 400  # characters of its line
            sizes.append(size)
            if np.count_nonzero(sizes) == MEASURED:
                break
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not any(sizes):
        return  # the run tells why none can be used
    needed, free = int(np.mean(sizes) * images), shutil.disk_usage(maker.folder).free
    say(f"{images} images will take about {_size(needed)}, {_size(free)} are free")
    if needed > free:
        raise InputError(
            f"{images} images need about {_size(needed)} in {maker.folder} and"
            f" {_size(free)} are free: give --limit N (about"
            f" {int(0.9 * free / np.mean(sizes))} images fit), or another disk"
        )


def _size(count: float) -> str:
    """Bytes, for reading."""
    unit = next((unit for unit in UNITS if count < 1000 * UNITS[unit]), "GB")
    return f"{count / UNITS[unit]:.3g} {unit}"


def _write_shards(
    folder: Folder, maker: Maker, keys: Sequence[Key], missing: Sequence[int], workers: int
) -> Counter[str]:
    """Write these files of records; returns what the time was spent on."""
    shares: Counter[str] = Counter()
    counts = [(number, _images([number], len(keys))) for number in missing]
    wanted = (keys[number * SHARD + i] for number, count in counts for i in range(count))
    total, done = _images(missing, len(keys)), 0
    with progress_bar("images") as progress, closing(made_of(maker, wanted, workers)) as found:
        for number, count in counts:
            made = []
            for _ in range(count):
                made.append(next(found))
                shares.update(made[-1].seconds)
                done += 1
                progress(done, total)
            write_json(folder.counts(number), _counted(made))
            write_records(folder.shard(number), (m.record for m in made if m.record is not None))
    return shares


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
    """The sum of the counts, in the order of the files, of which one at a time is read. Raises
    InputError."""
    totals: Counter[str] = Counter(images=0, labels=0)
    skipped: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    kinds: set[str] = set()
    scenes: set[str] = set()
    gap_s = 0.0
    for number in range(total):
        try:
            part = json.loads(folder.counts(number).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder.counts(number)} cannot be read ({first_line(error)}): delete"
                f" {folder.shard(number)} and start the same command again, which makes both anew"
            ) from error
        totals.update(images=part["images"], labels=part["labels"])
        skipped.update(part["skipped"])
        dropped.update(part["dropped"])
        for reason, told in part["examples"].items():
            examples[reason] = (examples.get(reason, []) + told)[:EXAMPLES]
        kinds.update(part["kinds"])
        scenes.update(part["scenes"])
        gap_s = max(gap_s, part["time_gap_s"])
    return {
        "format": FORMAT,
        "set": data_set.name,
        "licence": data_set.licence,
        "range_m": list(data_set.range_m),
        "images": totals["images"],
        "labels": totals["labels"],
        "kinds": sorted(kinds),
        "scenes": len(scenes),
        "skipped": dict(sorted(skipped.items())),
        "examples": {reason: examples[reason] for reason in sorted(examples)},
        "dropped": dict(sorted(dropped.items())),
        "longest_time_gap_s": gap_s,
        "arguments": job,
        "versions": {**{name: _version(name) for name in PACKAGES}, "opencv": cv2.__version__},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
