# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Train a small Qwen3-VL checkpoint for some minutes on one GPU while the processor renders.

    python -m training.fast.render --out pool --records nyu_train.jsonl
    python -m training.fast --base tiny --pool pool --assets assets/ --minutes 7 --out runs/fast
    python -m training.fast.finish runs/fast/mean_100.safetensors --base tiny --out checkpoint

Goes on from --base. The rate rises for a twentieth of the time and falls to nothing over the rest
after a third; what is written is a running mean of the weights. log.jsonl in --out has a line
every few seconds: losses, images in the pool, delta1 of the dense head on what is held out. A run
that was ended is not gone on with: it begins anew, in another --out.
"""

from depthlm_ros.cli.values import count, from_zero, positive
from training.fast.recipe import Recipe
from training.fast.trainer import Options, Trainer
from training.run.commands import errors_told, parser_of


def _parser():
    parser = parser_of("training.fast", __doc__)
    parser.add_argument("--base", default=Options.base, help="tiny or a checkpoint folder")
    parser.add_argument("--pool", required=True, help="folder of chunks (training.fast.render)")
    parser.add_argument(
        "--assets", default=Options.assets, help="folder that training.scenes.assets wrote"
    )
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=positive, default=Options.minutes)
    parser.add_argument(
        "--steps", type=from_zero, default=Options.steps, help="so many instead of --minutes"
    )
    parser.add_argument("--last-only", action="store_true", help="write only the last mean")
    parser.add_argument("--batch", type=count, default=Options.batch)
    parser.add_argument("--lr", type=positive, default=Options.lr)
    parser.add_argument(
        "--workers",
        type=from_zero,
        default=Options.workers,
        help="processes that render meanwhile",
    )
    parser.add_argument(
        "--capacity",
        type=count,
        help="images on the device (default: 45,000, or what half of its free memory holds)",
    )
    parser.add_argument("--seed", type=from_zero, default=Options.seed)
    return parser


def main(arguments=None) -> None:
    """The command line."""
    options = Options(**vars(_parser().parse_args(arguments)))
    with errors_told("training.fast"):
        Trainer(options, Recipe()).run()


if __name__ == "__main__":
    main()
