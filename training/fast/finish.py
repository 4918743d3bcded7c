# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Weights that training.fast wrote as a checkpoint folder that everything loads.

    python -m training.fast.finish runs/fast/mean_100.safetensors --base tiny --out checkpoint

Everything but the weights is the base's, without its calibration, its dense head and its card,
which were another model's.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from depthlm_ros.checkpoints import HEAD_PREFIX, find_checkpoint, from_folder, without_head
from depthlm_ros.errors import InputError, first_line
from training.run.base import derived
from training.run.commands import errors_told, parser_of
from training.run.run_folder import HEADS


def finish(weights, base, out, heads=False) -> Path:
    """Write the folder `out`; heads: with the auxiliary ones, to measure the dense one."""
    base, out = Path(find_checkpoint(base).model), Path(out)
    state = _read(weights)
    stored = {
        name: value.shape
        for name, value in _read(base / "model.safetensors").items()
        if not name.startswith(HEAD_PREFIX)
    }
    model = {name: value for name, value in state.items() if not name.startswith("heads.")}
    shapes = {name: value.shape for name, value in model.items()}
    if differs := [n for n in {**stored, **shapes} if stored.get(n) != shapes.get(n)]:
        raise InputError(
            f"{weights} is of another model than {base}: {min(differs)} and {len(differs) - 1}"
            " more differ; give the --base that it was trained from"
        )
    with derived(base, out) as making:
        shutil.copyfile(base / "config.json", making / "config.json")
        save_file(model, making / "model.safetensors", metadata={"format": "pt"})
        if heads:
            save_file({n: v for n, v in state.items() if n.startswith("heads.")}, making / HEADS)
        without_head(replace(from_folder(making), calibration={})).write(making)
        (making / "README.md").unlink(missing_ok=True)
    return out


def _read(path) -> dict:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} cannot be read as a file of weights ({first_line(error)}): training.fast"
            " writes some into its --out"
        ) from error


def main(arguments=None) -> None:
    parser = parser_of("training.fast.finish", __doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--base", default="tiny")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--heads", action="store_true", help="keep the auxiliary heads")
    given = parser.parse_args(arguments)
    with errors_told("training.fast.finish"):
        print(finish(given.weights, given.base, given.out, given.heads))


if __name__ == "__main__":
    main()
