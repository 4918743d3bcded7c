# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Supervised training: questions about images with known distance, loss on the answers.

    python -m training.sft training/configs/tiny.yaml

Killed or stopped and started again, it goes on from its newest complete checkpoint.
`out`/checkpoint is a folder that the node loads as it is. The config opens with its launch line
and explains its entries; `python -m training.preview CONFIG` shows what it trains on, --dry-run
what it costs.
"""

import os
from pathlib import Path

from training.config import SftConfig, read_config
from training.run.commands import add_config, changes, errors_told, parser_of

OPTIONS = "data", "base", "out"


def train(config: SftConfig, dry_run: bool = False) -> Path | str:
    """Run or resume a config; the shipped folder, or what a dry run found out."""
    # Here, since they take seconds: a question for help or a mistyped entry is answered at once.
    from depthlm_ros.models.loading import load_parts
    from training.data.collate import Collator
    from training.data.rows import stage_rows
    from training.model import load_student
    from training.run.dry_run import check_fits, rehearse
    from training.run.session import Run
    from training.run.supervised import RecipeTrainer, training_arguments

    # How a step is shared out, and the folder of the run with its base.
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    arguments = training_arguments(config, processes)
    run = Run(config)

    # The data: image i and its questions are a pure function of (seed, i).
    parts = load_parts(config.entry(run.base))
    rows = stage_rows(config, parts.checkpoint, parts.vision.patch * parts.vision.merge)
    collator = Collator(parts, config.loss_on, config.loss_per, config.multi_turn)

    # The model, if it fits.
    student = load_student(config, parts, run.base, run.found, arguments)
    check_fits(config, student, arguments.device, processes)
    if dry_run:
        return rehearse(config, student, rows, collator)

    # The steps, and what comes of them.
    trainer = RecipeTrainer(
        config,
        run,
        model=student,
        args=arguments,
        train_dataset=rows,
        data_collator=collator,
    )
    run.train(trainer, config.styles())
    return run.ship("training.sft")


def main(arguments: list | None = None) -> None:
    """The command line."""
    parser = parser_of("training.sft", __doc__)
    add_config(parser, *OPTIONS)
    parser.add_argument("--dry-run", action="store_true", help="two steps of the largest shape")
    given = parser.parse_args(arguments)
    with errors_told("training.sft"):
        config = read_config(given.config, SftConfig, **changes(given, *OPTIONS))
        print(train(config, given.dry_run))


if __name__ == "__main__":
    main()
