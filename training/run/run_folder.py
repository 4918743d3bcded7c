# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The folder of a run, and which of its checkpoints can be trusted.

    out/manifest.json     what was run on what (manifest.py)
    out/base/             what it started from (base.py)
    out/steps/checkpoint-500/   a complete checkpoint, and what a resumption needs
    out/checkpoint/       what is shipped
    out/lock              held by the run that is under way

A checkpoint is complete once complete.json, written last, names the sizes of all its files: a
kill or a full disk in the middle of saving leaves a folder without it. Knows no torch.
"""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO

from depthlm_ros.data.whole import becoming
from depthlm_ros.errors import InputError

STEPS = "steps"
COMPLETE = "complete.json"
HEADS = "heads.safetensors"
COUNTS = "skipped.json"  # the state of mixture.SkipCounts
GUARD = "guard.json"  # the state of guard.Guard


def held(out) -> IO:
    """The lock of a run's folder, which is made: held until it is closed or the process ends.

    Raises InputError where `out` is a file, or another process holds the lock: two runs would
    delete each other's base and checkpoints. The lock is the process's, not theirs that read data
    for it.
    """
    if Path(out).is_file():
        raise InputError(f"{out} is a file: the folder of a run is made there, give another --out")
    Path(out).mkdir(parents=True, exist_ok=True)
    file = Path(out, "lock").open("a")  # noqa: SIM115
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise InputError(
            f"another process trains in {out}: wait for it or end it, or give another --out"
        ) from error
    except OSError:
        pass  # a file system that knows no locks
    return file


def readable(folder) -> None:
    """Let those who may read a folder's config.json read its weights too: safetensors writes
    files for their owner alone."""
    for path in Path(folder).glob("*.safetensors"):
        if not path.is_symlink():
            shutil.copymode(Path(folder) / "config.json", path)


def mark_complete(folder) -> None:
    """Name every file with its size, once all of them have reached the disk."""
    folder = Path(folder)
    sizes = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != COMPLETE):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        sizes[str(path.relative_to(folder))] = path.stat().st_size
    write_json(folder / COMPLETE, sizes)


def fault(folder) -> str:
    """Why a checkpoint folder cannot be trusted, "" if it can."""
    try:
        sizes = json.loads((Path(folder) / COMPLETE).read_text())
    except FileNotFoundError:
        return f"{folder} was not written to its end"
    except (OSError, ValueError) as error:
        return f"{Path(folder) / COMPLETE} cannot be read: {error}"
    for name, size in sizes.items():
        path = Path(folder) / name
        found = path.stat().st_size if path.exists() else "no"
        if found != size:
            return f"{path} has {found} bytes where {size} were written"
    return ""


def checkpoints(out) -> list:
    """The checkpoint folders of a run, oldest first, complete or not."""
    found = [p for p in Path(out, STEPS).glob("checkpoint-*") if p.name[11:].isdigit()]
    return sorted(found, key=step_of)


def step_of(folder) -> int:
    """The step after which a checkpoint was written."""
    return int(Path(folder).name.rpartition("-")[2])


def complete(out) -> list:
    """The checkpoint folders of a run that can be trusted, oldest first."""
    return [folder for folder in checkpoints(out) if not fault(folder)]


def newest_complete(out) -> tuple:
    """(the newest complete checkpoint of a run or None, why newer ones were skipped)."""
    skipped = []
    for folder in reversed(checkpoints(out)):
        why = fault(folder)
        if not why:
            return folder, skipped
        skipped.append(why)
    return None, skipped


def prune(out, keep, spare=()) -> None:
    """Delete all but the newest `keep` complete checkpoints and those of the steps `spare`."""
    old = [folder for folder in complete(out) if step_of(folder) not in spare][:-keep]
    for folder in old:
        (folder / COMPLETE).unlink()  # first, so that a kill here leaves no half that looks whole
        shutil.rmtree(folder)


def write_json(path, content) -> None:
    """Write under another name first, so that no half file is seen, and onto the disk."""
    with becoming(Path(path)) as part, open(part, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def replace_folder(new, old) -> None:
    """Put the finished folder `new` in the place of `old`."""
    away = Path(old).with_name(f"{Path(old).name}.replaced")
    shutil.rmtree(away, ignore_errors=True)
    if Path(old).exists():
        Path(old).rename(away)
    Path(new).rename(old)
    shutil.rmtree(away, ignore_errors=True)
