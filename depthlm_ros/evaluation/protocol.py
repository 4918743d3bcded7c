# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Published protocols over several curated data sets: what of them counts, and one table of ours
beside the published figures.

"depthlm" (section 4 and the released evaluation): 8,192 samples of each of eight sets; sample i is
a labelled pixel, drawn at random, of image i modulo their number; of Argoverse 2, nuScenes and
ScanNet++ ten held-out scenes. Which ten is not published: here ten of the official split that no
training uses, evenly spread over their sorted names.

"depthvlm" (arXiv 2605.15876, appendix B, and the release): up to 1,000 images of each of nine
sets, every known pixel of their depth images, and ten points of each; means over images. Which
images cannot be told from the paper: here they are evenly spread, in the order in which the
release shuffles a list, since an image's number decides which points are drawn.
"""

import json
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from depthlm_ros.data.jsonl import pattern_of
from depthlm_ros.data.records import Record, Records
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import Answerer, evaluate
from depthlm_ros.evaluation.maps import (
    KEPT_M,
    POINTS,
    ImageMeasures,
    limits,
    mean_of_images,
)
from depthlm_ros.evaluation.published import rows
from depthlm_ros.evaluation.report import Report, report_on
from depthlm_ros.evaluation.resume import Saved, SavedAnswers, SavedMaps
from depthlm_ros.viz.tables import text_table

SEED = 42
NYU = "kv1/NYUdata/"  # the scenes of SUN RGB-D that are NYUv2's, a set of its own in the papers
MANIFEST = "manifest.json"
Progress = Callable[[int], object]
MapAsker = Callable[[Record, int], ImageMeasures]  # a record and its number
MapMeasure = Callable[[Record, int, tuple[float, float]], ImageMeasures]  # and what counts


@dataclass(frozen=True)
class Part:
    """One data set of a protocol.

    dataset: its column in published.json.
    name, split: as training.curate calls them; its folder is FOLDER/name/split.
    title: of its column in the table.
    scenes: how many of them, 0 for all.
    without: scenes that begin so do not count, "" for none.
    trap: what is known to be wrong with the published labels, to print.
    """

    dataset: str
    name: str
    split: str
    title: str
    scenes: int = 0
    without: str = ""
    trap: str = ""

    def folder(self, root: Path) -> Path:
        """Where its records lie."""
        return root / self.name / self.split

    def manifest(self, root: Path) -> dict[str, Any]:
        """What training.curate tells about the folder. Raises InputError."""
        path = self.folder(root) / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {**content, "arguments": {**content["arguments"]}}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no manifest of a curated set: {error!r}") from error

    def labels(self, root: Path) -> str:
        """Of which kind they are, and whose: "ours", or the paper whose mistakes they repeat."""
        manifest = self.manifest(root)
        whose = manifest["arguments"].get("as_published") or "ours"
        return ", ".join([*map(str, manifest.get("kinds", [])), str(whose)])


@dataclass(frozen=True)
class Measured:
    """What was found out about one part.

    delta1: by row of the table, in their order.
    told: how much was measured, in words.
    content: all figures, for JSON.
    """

    delta1: dict[str, float]
    told: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Protocol(ABC):
    """A benchmark over several sets.

    parts: the sets. samples: of each, points or images. sources: in published.json, of those who
    followed it. note: on the published rows.
    """

    parts: tuple[Part, ...]
    samples: int
    sources: tuple[str, ...]
    note: str

    @abstractmethod
    def command(self, part: Part, root: Path) -> str:
        """What curates a part."""

    @abstractmethod
    def lacks(self, part: Part, root: Path) -> str:
        """What keeps a curated part from being measured, "" for nothing."""

    @abstractmethod
    def chosen(self, records: Sequence[Record], part: Part, count: int) -> list[Record]:
        """The records that are measured, with the pixels that are; count: of samples."""

    @abstractmethod
    def asker(self, part: Part, who: Any) -> Callable[..., Any]:
        """What is saved of each record, see `saved`. who: an Answerer, or a MapMeasure."""

    @abstractmethod
    def saved(self, ask: Any, path: Path, settings: dict[str, Any]) -> Saved[Any]:
        """The same asker with its results saved."""

    @abstractmethod
    def measured(
        self, part: Part, chosen: Sequence[Record], ask: Any, name: str, progress: Progress
    ) -> Measured:
        """The figures of one part. name: of who is asked."""

    def missing(self, part: Part, root: Path) -> str:
        """The command that curates a part, with the reason; "" where it can be measured."""
        folder, command = part.folder(root), self.command(part, root)
        if not (folder / MANIFEST).is_file() or not any(folder.glob("*.jsonl")):
            return command
        reason = self.lacks(part, root)
        return f"{command} ({reason})" if reason else ""

    def there(self, root: Path) -> dict[Part, Records]:
        """The parts that can be measured. Raises InputError where there is none."""
        missing = {part: self.missing(part, root) for part in self.parts}
        if all(missing.values()):
            commands = "\n  ".join(missing.values())
            raise InputError(f"{root} holds none of the curated sets that count:\n  {commands}")
        return {
            part: Records(pattern_of(part.folder(root)))
            for part in self.parts
            if not missing[part]
        }

    def table(self, measured: dict[str, Measured], root: Path) -> str:
        """delta1 of ours and of others, a column a set; below it what is missing, with the
        command, and what is known about the published labels. measured: by Part.dataset."""
        found = {dataset: one.delta1 for dataset, one in measured.items()}
        titles = dict.fromkeys(title for column in found.values() for title in column)
        ours = [
            (title, *_cells([found.get(part.dataset, {}).get(title) for part in self.parts]))
            for title in titles
        ]
        others = [
            (
                f"{model} (published: {source})",
                *_cells([values.get(p.dataset) for p in self.parts]),
            )
            for model, source, values in rows(self.sources)
        ]
        head = ("delta1", *(part.title for part in self.parts), f"mean of {len(self.parts)}")
        there = [part for part in self.parts if part.dataset in measured]
        told = ", ".join(
            f"{part.title} ({measured[part.dataset].told}, labels {part.labels(root)})"
            for part in there
        )
        missing = [
            f"missing {part.title}: {self.missing(part, root)}"
            for part in self.parts
            if part not in there
        ]
        traps = [f"published {part.title}: {part.trap}" for part in self.parts if part.trap]
        table = text_table(head, [*ours, *others])
        return "\n".join([table, f"measured here: {told}", *missing, *traps, self.note])


class PointProtocol(Protocol):
    """Points of several sets, pooled."""

    def command(self, part: Part, root: Path) -> str:
        return _command(part, root)

    def lacks(self, part: Part, root: Path) -> str:
        return ""

    def chosen(self, records: Sequence[Record], part: Part, count: int) -> list[Record]:
        return list(samples(records, part, count))

    def asker(self, part: Part, who: Answerer) -> Answerer:
        return who

    def saved(self, ask: Answerer, path: Path, settings: dict[str, Any]) -> Saved[Any]:
        return SavedAnswers(ask, path, settings)

    def measured(
        self, part: Part, chosen: Sequence[Record], ask: Answerer, name: str, progress: Progress
    ) -> Measured:
        begin = time.monotonic()
        report = report_on(evaluate(chosen, ask, progress), ask, time.monotonic() - begin)
        delta1 = {
            f"{name}, against the labels": report.right.pooled.delta1,
            f"{name}, as published (greedy, its own kind)": _greedy(report),
            "best constant, with hindsight": report.best_constant_delta1,
        }
        return Measured(delta1, f"{report.right.pooled.points} samples", asdict(report))


class MapProtocol(Protocol):
    """Whole maps of several sets and points of them, means over images; points alone of who has no
    maps."""

    def command(self, part: Part, root: Path) -> str:
        # What is left out later is among the limit.
        limit = "" if part.without else f" --limit {self.samples}"
        return _command(part, root, f" --depth{limit}")

    def lacks(self, part: Part, root: Path) -> str:
        if part.manifest(root)["arguments"].get("depth"):
            return ""
        return f"{part.folder(root)} was curated without --depth: remove it, and curate it again"

    def chosen(self, records: Sequence[Record], part: Part, count: int) -> list[Record]:
        return list(images(records, part, count))

    def asker(self, part: Part, who: MapMeasure) -> MapAsker:
        return lambda record, number: who(record, number, KEPT_M[part.dataset])

    def saved(self, ask: MapAsker, path: Path, settings: dict[str, Any]) -> Saved[Any]:
        return SavedMaps(ask, path, settings)

    def measured(
        self, part: Part, chosen: Sequence[Record], ask: MapAsker, name: str, progress: Progress
    ) -> Measured:
        each = ((record.scene, ask(record, number)) for number, record in enumerate(chosen))
        of = limits(chosen[0], KEPT_M[part.dataset])
        found = mean_of_images(each, progress, of)
        delta1 = {
            f"{name}, all known pixels": found.delta1,
            f"{name}, {POINTS} points an image": found.points,
            "  the same points, indexed and counted as published": found.points_published,
        }
        known = {title: value for title, value in delta1.items() if np.isfinite(value)}
        return Measured(known, found.counts(), asdict(found))


PROTOCOLS: dict[str, Protocol] = {
    "depthlm": PointProtocol(
        (
            Part("argoverse2", "argoverse2", "val", "AV2", 10),
            Part("ddad", "ddad", "val", "DDAD"),
            Part("nuscenes", "nuscenes", "val", "nuSc", 10),
            Part("eth3d", "eth3d", "training", "ETH3D"),
            Part("scannetpp", "scannetpp", "val", "SN++", 10),
            Part("sunrgbd", "sunrgbd", "test", "SUN", without=NYU),
            Part("ibims1", "ibims", "test", "iBims"),
            Part("nyuv2", "nyu", "test", "NYU"),
        ),
        8192,
        ("depthlm", "vlm3"),
        "published rows have other images and points, and labels of mixed kind: curate with"
        " --as-published depthlm to come near them",
    ),
    "depthvlm": MapProtocol(
        (
            Part(
                *("argoverse2", "argoverse2", "test", "AV2"),
                trap="labels are distances along the ray, their squares 1 m2 too large, taken for"
                " z",
            ),
            Part(
                *("waymo", "waymo", "validation", "Waymo"),
                trap="labels are distances along the ray, taken for z",
            ),
            Part("ddad", "ddad", "val", "DDAD"),
            Part(
                *("nuscenes", "nuscenes", "test", "nuSc"),
                trap="the car's motion between lidar and camera is left out",
            ),
            Part(
                *("eth3d", "eth3d", "training", "ETH3D"),
                trap="images are undistorted, depth images are not",
            ),
            Part(
                *("scannetpp", "scannetpp", "val", "SN++"),
                trap="points of maps of 256 x 192 are looked up in images of 1920 x 1440, so all"
                " lie in the top-left 13 % of both sides",
            ),
            Part(
                *("sunrgbd", "sunrgbd", "test", "SUN"),
                without=NYU,
                trap="holes are filled, and nothing is right beyond 8.19 m",
            ),
            Part("ibims1", "ibims", "test", "iBims"),
            Part(
                *("nyuv2", "nyu", "test", "NYU"),
                trap="SUN RGB-D's copy: holes are filled, and nothing is right beyond 8.19 m",
            ),
        ),
        1000,
        ("depthvlm", "depthvlm_maps"),
        "published rows have other images; those of depthvlm are of its points as it counts them,"
        " those of depthvlm_maps of whole maps: curate with --as-published depthvlm to come near"
        " them",
    ),
}


def _command(part: Part, root: Path, options: str = "") -> str:
    return (
        f"python -m training.curate {part.name} --root ROOT --split {part.split}{options} --out"
        f" {part.folder(root)}"
    )


def samples(records: Sequence[Record], part: Part, count: int) -> Iterator[Record]:
    """`count` samples, the pixels of one image together; fewer images than samples come again with
    other pixels, and where an image's pixels are used up they do not repeat."""
    rng = np.random.default_rng(SEED)
    order = rng.permutation(_of_scenes(records, part))
    turns = np.bincount(np.arange(count) % len(order), minlength=len(order))
    for number, wanted in zip(order, turns, strict=True):
        if not wanted:
            continue
        record = records[int(number)]
        chosen = np.sort(rng.permutation(len(record))[:wanted])
        yield replace(record, pixels=record.pixels[chosen], label_m=record.label_m[chosen])


def images(records: Sequence[Record], part: Part, count: int) -> Iterator[Record]:
    """`count` images, evenly spread, without labelled pixels of their own; in the order of
    DepthVLM's sample_images_generic.py."""
    there = _of_scenes(records, part).tolist()
    if len(there) > count:
        there = [there[i * len(there) // count] for i in range(count)]
    random.Random(SEED).shuffle(there)
    for number in there:
        yield replace(records[number], pixels=np.empty((0, 2)), label_m=np.empty(0))


def _of_scenes(records: Sequence[Record], part: Part) -> np.ndarray:
    """Numbers of the records of a part's scenes. Raises InputError where there are none."""
    if not part.scenes and not part.without:
        found = np.arange(len(records))
    else:
        scenes = np.array([record.scene for record in records])
        names = np.unique(scenes)
        if part.without:
            names = names[~np.char.startswith(names, part.without)]
        if part.scenes and len(names) > part.scenes:
            names = names[np.linspace(0, len(names) - 1, part.scenes).round().astype(int)]
        found = np.flatnonzero(np.isin(scenes, names))
    if not len(found):
        raise InputError(f"there are no records of {part.name}")
    return found


def _greedy(report: Report) -> float:
    reading = report.readings.get("greedy")
    return (reading.published if reading else report.published).pooled.delta1


def _cells(values: Sequence[float | None]) -> list[str]:
    """A row's cells, and their mean where all are known."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    mean = f"{np.mean(known):.3f}" if len(known) == len(values) else "-"
    cells = ["-" if value is None or np.isnan(value) else f"{value:.3f}" for value in values]
    return [*cells, mean]
