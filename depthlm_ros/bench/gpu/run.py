# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What only a GPU can tell, in one command and one JSON file: is it right there, how fast is it,
what does it wait for, what does it hold.

The parts come in the order of their value, and each is written when it is done, so that a run
which is cut off has still told something. A part that would end after the time is given up before
it begins; one that fails leaves its error in the file and the next one begins. Weights are random
(shapes.py) but for the embedded checkpoint's. On a CPU the same parts run at tiny size, which
tries this script and measures nothing.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthlm_ros.bench.gpu import graphs, right, speed, waits
from depthlm_ros.bench.gpu.plan import TINY, Found, GpuBench, Plan
from depthlm_ros.data.records import strict_json
from depthlm_ros.data.whole import becoming
from depthlm_ros.errors import InputError, first_line

FILE = "gpu.json"


@dataclass(frozen=True)
class Part:
    """One stretch of the run.

    seconds: what it takes on an H100, by estimate.
    measure: yields what is to be written, as often as there is something new.
    """

    name: str
    seconds: float
    measure: Callable[[GpuBench], Found]


PARTS = (
    Part("machine", 5, speed.machine),
    Part("attention", 5, right.attention),
    Part("precision", 25, right.precision),
    Part("main", 60, speed.main_cells),
    Part("graphs", 30, graphs.graphs),
    Part("profile", 30, waits.profile),
    Part("reference", 15, speed.reference),
    Part("halving", 15, right.halving),
    Part("heavy", 45, speed.heavy_cells),
    Part("further", 30, speed.further_cells),
)
NAMES = tuple(part.name for part in PARTS)


def run(out: Path, minutes: float = 9.0, device: str = "auto", parts: str = "") -> Iterator[str]:
    """Measure and write out/gpu.json; yields lines to print.

    parts: names with commas between, "" for all. Raises InputError for an unknown name, a folder
    that cannot be written, or where there is no GPU and none of `device` asks for the trial on a
    processor.
    """
    from depthlm_ros.models.loading import find_device

    found = find_device(device)
    if found.type == "cpu" and device != "cpu":
        raise InputError(
            "--gpu found no GPU that torch can use; --device cpu tries the same parts at tiny size"
        )
    chosen = _chosen(parts)
    report = _Report(Path(out), minutes)
    bench = GpuBench(found, TINY if found.type == "cpu" else Plan())
    for part in chosen:
        yield from report.take(part, bench)
    report.note("finished", True)
    yield f"written: {report.path}"


def _chosen(names: str) -> list[Part]:
    known = {part.name: part for part in PARTS}
    asked = [name.strip() for name in names.split(",") if name.strip()] or list(known)
    if unknown := [name for name in asked if name not in known]:
        raise InputError(f"--parts has '{unknown[0]}', allowed: {', '.join(known)}")
    return [part for name, part in known.items() if name in asked]


class _Report:
    """The file, and what is left of the time."""

    def __init__(self, folder: Path, minutes: float):
        self.path = folder / FILE
        self._end = time.monotonic() + 60 * minutes
        self._told: dict[str, Any] = {"minutes": minutes, "goals_ms": speed.GOALS_MS}
        self._told |= {"finished": False, "parts": {}}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise InputError(f"--out {folder} cannot be written: {error}") from error

    def note(self, name: str, value: object) -> None:
        """Write one more entry."""
        self._told[name] = value
        self._write()

    def take(self, part: Part, bench: GpuBench) -> Iterator[str]:
        """Run one part, writing whenever it has something new."""
        left = self._end - time.monotonic()
        if left < part.seconds:
            why = f"it takes about {part.seconds:.0f} s, {max(left, 0):.0f} s were left"
            self._told["parts"][part.name] = {"skipped": why}
            self._write()
            yield f"{part.name}: skipped, {why}"
            return
        begin = time.perf_counter()
        entry = self._told["parts"][part.name] = {}
        try:
            for name, found in part.measure(bench):
                entry[name] = found
                self._write()
                yield f"{part.name}: {name}: {_brief(found)}"
        except Exception as error:  # noqa: BLE001 - the next part may still tell something
            entry["error"] = traceback.format_exc(limit=-8)
            yield f"{part.name}: FAILED, {type(error).__name__}: {first_line(error)}"
        entry["seconds"] = time.perf_counter() - begin
        bench.tidy()
        self._write()

    def _write(self) -> None:
        with becoming(self.path) as part:
            part.write_text(strict_json(self._told) + "\n")


def _brief(found: object) -> str:
    """A few figures of a nested result on one line."""
    if not isinstance(found, dict):
        return f"{found:.4g}" if isinstance(found, float) else str(found)
    shown = {k: v for k, v in found.items() if not isinstance(v, dict | list)}
    return ", ".join(f"{k} {_brief(v)}" for k, v in shown.items())
