# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the tables of small runs have in common: runs of unlike settings are not compared, what is
finished is kept, seconds are counted alike, and how sure a figure is.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.metrics import share_interval
from training.run.run_folder import write_json

SETTINGS, RESULT = "settings.json", "result.json"


def keep_settings(out: Path, settings: dict) -> None:
    """Write the settings beside the runs of a folder, which is made; InputError where those that
    it has differ. settings: name -> what JSON holds."""
    path = out / SETTINGS
    before = json.loads(path.read_text()) if path.exists() else {}
    if differs := [n for n in settings if n in before and before[n] != settings[n]]:
        raise InputError(
            f"{out} holds runs of other settings (they differ in {', '.join(differs)}):"
            " give another --out, or delete that folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, {**before, **settings})


def keep(folder: Path, result: dict) -> None:
    """Write what the run in a folder came to: it is finished, and never repeated."""
    write_json(folder / RESULT, result)


def kept(folder: Path) -> dict:
    """What the run in a folder came to; empty where it is not finished."""
    path = folder / RESULT
    return json.loads(path.read_text()) if path.exists() else {}


def spent() -> float:
    """Seconds of this process: without a GPU those of the processor, which others may share."""
    return time.monotonic() if torch.cuda.is_available() else time.process_time()


def mean_with_interval(
    values: Sequence[float], scene: np.ndarray | None = None
) -> tuple[float, float, float]:
    """(mean, low, high) of a figure of each image: 95 % by bootstrap over scenes. scene: number of
    that of each image (metrics.scene_numbers), None where each image is one."""
    low, high = share_interval(values, np.ones(len(values)), scene)
    return float(np.mean(values)), low, high


def signed(difference: tuple[float, float, float]) -> str:
    """A difference and its interval, for a table; see mean_with_interval."""
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(*difference)
