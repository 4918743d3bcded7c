# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The mean of a run's newest checkpoints as a checkpoint, to be measured or trained further.

    python -m training.average runs/tiny_deep runs/tiny_deep_mean --last 3

Weights that a high learning rate throws about lie around better ones, which their mean comes near
without the steps that a falling rate would need (Izmailov et al., Averaging Weights Leads to
Wider Optima, 2018). Everything else is the newest checkpoint's, byte for byte.
"""

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from depthlm_ros.errors import InputError
from training.base import derived
from training.commands import errors_told, parser_of
from training.runs import HEADS, complete


def average(run, out, last) -> Path:
    """Write the mean of the newest `last` complete checkpoints of a run's folder to `out`.

    InputError where the run has fewer, or `out` exists.
    """
    whole = complete(run)
    if not 2 <= last <= len(whole):
        raise InputError(
            f"{run} has {len(whole)} complete checkpoints, asked for {last}: a mean takes"
            " 2 or more; save_every and keep of the config say how many there are"
        )
    steps, newest = whole[-last:], whole[-1]
    with derived(newest, out) as making:
        for path in (newest / "config.json", *newest.glob("model*.index.json")):
            shutil.copyfile(path, making / path.name)
        for path in (*newest.glob("model*.safetensors"), *newest.glob(HEADS)):
            mean = _mean([step / path.name for step in steps])
            save_file(mean, making / path.name, metadata={"format": "pt"})
    return Path(out)


def _mean(paths) -> dict:
    """The mean of files of weights, two of them in memory at a time; in their own type."""
    newest = load_file(paths[-1])
    types = {name: weight.dtype for name, weight in newest.items()}
    total = {name: weight.float() for name, weight in newest.items()}
    for path in paths[:-1]:
        for name, weight in load_file(path).items():
            total[name] += weight
    return {name: (whole / len(paths)).to(types[name]) for name, whole in total.items()}


def main(arguments=None) -> None:
    parser = parser_of("training.average", __doc__)
    parser.add_argument("run", help="the folder of a run, its config's `out`")
    parser.add_argument("out", help="the new folder")
    parser.add_argument("--last", type=int, default=3, help="checkpoints to take (default 3)")
    given = parser.parse_args(arguments)
    with errors_told("training.average"):
        print(average(given.run, given.out, given.last))


if __name__ == "__main__":
    main()
