# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The mean of the newest checkpoints of runs as a checkpoint, to be measured or trained further.

    python -m training.tools.average runs/tiny_deep runs/tiny_deep_mean --last 3
    python -m training.tools.average runs/first runs/second runs/mean --last 1

Weights that a high learning rate throws about lie around better ones, which their mean comes near
without the steps that a falling rate would need (Izmailov et al., Averaging Weights Leads to
Wider Optima, 2018); so does the mean of two runs from the same base (Wortsman et al., Model soups,
2022). Everything else is the last run's newest checkpoint's, byte for byte.
"""

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from depthlm_ros.errors import InputError
from training.run.base import derived
from training.run.commands import errors_told, parser_of
from training.run.run_folder import HEADS, complete


def average(runs, out, last) -> Path:
    """Write the mean of the newest `last` complete checkpoints of each run's folder to `out`.

    InputError where a run has fewer, they are of unlike models, or `out` exists.
    """
    steps = [step for run in runs for step in _newest(run, last)]
    if len(steps) < 2:
        raise InputError("a mean takes 2 or more checkpoints: raise --last or name another run")
    newest = steps[-1]
    with derived(newest, out) as making:
        for path in (newest / "config.json", *newest.glob("model*.index.json")):
            shutil.copyfile(path, making / path.name)
        for path in (*newest.glob("model*.safetensors"), *newest.glob(HEADS)):
            mean = _mean([step / path.name for step in steps])
            save_file(mean, making / path.name, metadata={"format": "pt"})
    return Path(out)


def _newest(run, last) -> list:
    whole = complete(run)
    if not 1 <= last <= len(whole):
        raise InputError(
            f"{run} has {len(whole)} complete checkpoints, asked for {last}: save_every and keep"
            " of the config say how many there are"
        )
    return whole[-last:]


def _mean(paths) -> dict:
    """The mean of files of weights, two of them in memory at a time; in their own type."""
    newest = load_file(paths[-1])
    types = {name: weight.dtype for name, weight in newest.items()}
    total = {name: weight.float() for name, weight in newest.items()}
    for path in paths[:-1]:
        state = load_file(path) if path.exists() else {}
        if {k: w.shape for k, w in state.items()} != {k: w.shape for k, w in newest.items()}:
            raise InputError(f"{path} holds other weights than {paths[-1]}: no mean of both")
        for name, weight in state.items():
            total[name] += weight
    return {name: (whole / len(paths)).to(types[name]) for name, whole in total.items()}


def main(arguments=None) -> None:
    parser = parser_of("training.tools.average", __doc__)
    parser.add_argument("run", nargs="+", help="the folder of a run, its config's `out`")
    parser.add_argument("out", help="the new folder")
    parser.add_argument("--last", type=int, default=3, help="checkpoints of each (default 3)")
    given = parser.parse_args(arguments)
    with errors_told("training.tools.average"):
        print(average(given.run, given.out, given.last))


if __name__ == "__main__":
    main()
