# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Published protocols over several curated data sets: which samples count, and one table of ours
beside the published figures.

"depthlm" (section 4 and the released evaluation): 8,192 samples of each of eight sets; sample i is
a labelled pixel, drawn at random, of image i modulo their number; of Argoverse 2, nuScenes and
ScanNet++ ten held-out scenes. Which ten is not published: here ten of the official split that no
training uses, evenly spread over their sorted names.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from depthlm_ros.data.records import Record, Records
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.published import rows
from depthlm_ros.evaluation.report import Report
from depthlm_ros.viz.tables import text_table

SEED = 42


@dataclass(frozen=True)
class Part:
    """One data set of a protocol.

    dataset: its column in published.json.
    name, split: as training.curate calls them; its folder is FOLDER/name/split.
    title: of its column in the table.
    scenes: how many of them, 0 for all.
    """

    dataset: str
    name: str
    split: str
    title: str
    scenes: int = 0

    def folder(self, root: Path) -> Path:
        """Where its records lie."""
        return root / self.name / self.split

    def command(self, root: Path) -> str:
        """What curates it."""
        return (
            f"python -m training.curate {self.name} --root ROOT --split {self.split} --out"
            f" {self.folder(root)}"
        )


@dataclass(frozen=True)
class Protocol:
    """The sets, the samples of each, and the sources in published.json that follow it."""

    parts: tuple[Part, ...]
    samples: int
    sources: tuple[str, ...]


PROTOCOLS = {
    "depthlm": Protocol(
        (
            Part("argoverse2", "argoverse2", "val", "AV2", 10),
            Part("ddad", "ddad", "val", "DDAD"),
            Part("nuscenes", "nuscenes", "val", "nuSc", 10),
            Part("eth3d", "eth3d", "training", "ETH3D"),
            Part("scannetpp", "scannetpp", "val", "SN++", 10),
            Part("sunrgbd", "sunrgbd", "test", "SUN"),
            Part("ibims1", "ibims", "test", "iBims"),
            Part("nyuv2", "nyu", "test", "NYU"),
        ),
        8192,
        ("depthlm", "vlm3"),
    )
}


def curated(part: Part, root: Path) -> Records | None:
    """The records of a part; None where it is not curated, or not to its end."""
    folder = part.folder(root)
    if not (folder / "manifest.json").is_file() or not any(folder.glob("*.jsonl")):
        return None
    return Records(f"{folder}/*.jsonl")


def labels_of(part: Part, root: Path) -> str:
    """Whose labels these are: "ours", or the paper whose mistakes they repeat."""
    path = part.folder(root) / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        return str(manifest["arguments"].get("as_published") or "ours")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is no manifest of a curated set: {error!r}") from error


def samples(records: Sequence[Record], part: Part, count: int) -> Iterator[Record]:
    """`count` samples, the pixels of one image together; fewer images than samples come again with
    other pixels, and where an image's pixels are used up they do not repeat."""
    rng = np.random.default_rng(SEED)
    order = rng.permutation(_of_scenes(records, part.scenes))
    if not len(order):
        raise InputError(f"there are no records of {part.name}")
    turns = np.bincount(np.arange(count) % len(order), minlength=len(order))
    for number, wanted in zip(order, turns, strict=True):
        if not wanted:
            continue
        record = records[int(number)]
        chosen = np.sort(rng.permutation(len(record))[:wanted])
        yield replace(record, pixels=record.pixels[chosen], label_m=record.label_m[chosen])


def _of_scenes(records: Sequence[Record], count: int) -> np.ndarray:
    """Numbers of the records of `count` scenes, 0 for all."""
    if not count:
        return np.arange(len(records))
    scenes = np.array([record.scene for record in records])
    names = np.unique(scenes)
    if len(names) > count:
        names = names[np.linspace(0, len(names) - 1, count).round().astype(int)]
    return np.flatnonzero(np.isin(scenes, names))


def table(protocol: Protocol, reports: dict[str, Report], root: Path, name: str) -> str:
    """delta1 of ours and of others, a column a set; below it what is missing, with the command."""
    parts = protocol.parts
    ours = [
        (f"{name}, against the labels", *_cells(parts, reports, "right")),
        (f"{name}, as published (greedy, its own kind)", *_cells(parts, reports, "published")),
        ("best constant, with hindsight", *_cells(parts, reports, "constant")),
    ]
    others = [
        (f"{model} (published: {source})", *_with_mean([values.get(p.dataset) for p in parts]))
        for model, source, values in rows(protocol.sources)
    ]
    titles = ("delta1", *(part.title for part in parts), f"mean of {len(parts)}")
    sections = [text_table(titles, [*ours, *others])]
    there = [part for part in parts if part.dataset in reports]
    whose = {part.title: labels_of(part, root) for part in there}
    points = {part.title: reports[part.dataset].right.pooled.points for part in there}
    sections.append(
        "measured here: "
        + (", ".join(f"{t} ({points[t]} samples, labels {whose[t]})" for t in points) or "nothing")
    )
    sections += [
        f"missing {part.title}: {part.command(root)}" for part in parts if part not in there
    ]
    sections.append(
        "published rows have other images and points, and labels of mixed kind: curate with"
        " --as-published depthlm to come near them"
    )
    return "\n".join(sections)


def _cells(parts: Sequence[Part], reports: dict[str, Report], which: str) -> list[str]:
    return _with_mean([_delta1(reports.get(part.dataset), which) for part in parts])


def _delta1(report: Report | None, which: str) -> float | None:
    if report is None:
        return None
    if which == "constant":
        return report.best_constant_delta1
    if which == "right":
        return report.right.pooled.delta1
    reading = report.readings.get("greedy")
    return (reading.published if reading else report.published).pooled.delta1


def _with_mean(values: Sequence[float | None]) -> list[str]:
    known = [value for value in values if value is not None]
    mean = f"{np.mean(known):.3f}" if len(known) == len(values) else "-"
    return [*("-" if value is None else f"{value:.3f}" for value in values), mean]
