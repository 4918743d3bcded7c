# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What was run, with which code, on which data, and what came of it: manifest.json of a run.

Written at the start and at every save, so that a killed run has one too. Knows nothing about how
a run works.
"""

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
import transformers

from depthlm_ros.data.jsonl import found_files
from depthlm_ros.errors import InputError
from training.run.run_folder import write_json

NAME = "manifest.json"
TAIL = 1 << 16  # of a shard: it ends with the checksums of all its arrays


class Manifest:
    """The manifest of the run in `out`. resumed: whether it goes on from a checkpoint there;
    InputError where that is of another config."""

    def __init__(self, config, out, resumed=False):
        self.path = Path(out) / NAME
        self.content = self._read(config, resumed)
        self.content.update(code=code_version(), config=asdict(config), command=sys.argv)

    def _read(self, config, resumed) -> dict:
        fresh = {"sessions": [], "heldout": [], "best": None, "finished": False}
        if not resumed:
            return fresh
        try:
            content = json.loads(self.path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path} cannot be read ({error}), and {self.path.parent} holds checkpoints:"
                " give another --out, or delete that folder"
            ) from error
        if differs := config.differs(content["config"]):
            raise InputError(
                f"{self.path.parent} holds a run of another config (it differs in"
                f" {', '.join(differs)}): give another --out, or delete that folder"
            )
        return content

    def begin(self, step, data, **facts) -> None:
        """A session starts from `step`; data: see data_hashes. InputError if the data changed."""
        if self.content.get("data", data) != data and step:
            raise InputError(
                f"the data are not those that {self.path} was started with: give another --out"
            )
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        began = {"started": _now(), "from_step": step, "reached": step, **versions, **facts}
        self.content["data"] = data
        self.content["sessions"].append(began)
        self.content["heldout"] = [h for h in self.content["heldout"] if h["step"] <= step]
        self.write()

    def reached(self, step, skipped, passed_over, heldout=None, **facts) -> None:
        """A checkpoint is complete.

        skipped: of SkipCounts; passed_over: of Guard; heldout: see HeldOut.measure; facts: of
        the session.
        """
        self.content["sessions"][-1].update(reached=step, **facts)
        self.content.update(skipped=skipped, passed_over=passed_over)
        if heldout:
            self.content["heldout"].append({"step": step, **heldout})
            self.content["best"] = max(self.content["heldout"], key=lambda one: one["delta1"])
        self.write()

    @property
    def best_step(self):
        """The step with the best held-out delta1, None where none was measured."""
        return self.content["best"] and self.content["best"]["step"]

    def finish(self) -> None:
        """The run has come to its end."""
        self.content.update(finished=True, ended=_now())
        self.write()

    def write(self) -> None:
        """Onto the disk, as a whole or not at all."""
        write_json(self.path, self.content)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def code_version() -> str:
    """The commit, "+ changes" where files differ from it; "unknown" outside of a repository."""
    folder = Path(__file__).parents[1]
    outputs = [
        subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=False)
        for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno"))
    ]
    if outputs[0].returncode:
        return "unknown"
    return outputs[0].stdout.strip() + (" + changes" if outputs[1].stdout.strip() else "")


def data_hashes(config) -> list:
    """[{"file", "bytes", "sha256"}] of all shards and records files.

    Of a records file the whole is hashed; of a shard its end, which holds the checksum of each of
    its arrays. Images that records name are not read.
    """
    files = [path for entry in config.data for path in _files(entry)]
    return [_hashed(path) for path in files]


def _files(entry):
    if entry.shards:
        return sorted(Path(entry.shards).glob("*.npz"))
    return found_files(entry.place)


def _hashed(path) -> dict:
    size = path.stat().st_size
    with open(path, "rb") as file:
        if path.suffix == ".npz":
            file.seek(max(0, size - TAIL))
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else None
        if digest is None:  # Python 3.10
            digest = hashlib.sha256(file.read())
    return {"file": str(path), "bytes": size, "sha256": digest.hexdigest()}
