# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the runs of a folder have in common, so that no table compares runs of unlike settings."""

import json
from pathlib import Path

from depthlm_ros.errors import InputError
from training.run.run_folder import write_json

SETTINGS = "settings.json"


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
