# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Training of a dense head: the distance of every pixel in one pass, beside what the model says.

    python -m training.dense training/configs/tiny_dense.yaml
    python -m training.dense training/configs/depthvlm_4b_stage1.yaml    # then ..._stage2.yaml

Stage 1 of DepthVLM trains the head alone, stage 2 the language model with it while the vision part
stays as it was. Everything else is as in training.sft: what is started again goes on, --dry-run
says what it costs, `out`/checkpoint loads as it is.
"""

import os
from pathlib import Path

from training.config import DenseConfig, read_config
from training.run.commands import add_config, changes, errors_told, parser_of

OPTIONS = "data", "base", "out"


def train(config: DenseConfig, dry_run: bool = False) -> Path | str:
    """Run or resume a config; the shipped folder, or what a dry run found out."""
    # Here, since they take seconds: a question for help or a mistyped entry is answered at once.
    from depthlm_ros.models.loading import load_parts
    from training.data.kept import KeptViews, collated
    from training.data.maps import MapCollator
    from training.data.rows import stage_rows
    from training.map_model import load_map_student
    from training.run.dry_run import check_fits, rehearse
    from training.run.session import Run
    from training.run.supervised import DenseTrainer, training_arguments

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    arguments = training_arguments(config, processes)
    run = Run(config)

    # The data: image i, its map and its questions are a pure function of (seed, i).
    parts = load_parts(config.entry(run.base))
    rows = stage_rows(config, parts.checkpoint, parts.vision.patch * parts.vision.merge)
    collator = MapCollator(parts, config.loss_on, config.loss_per, config.multi_turn)

    # The model with its head, if it fits.
    student = load_map_student(config, parts, run.base, run.found, arguments)
    check_fits(config, student, arguments.device, processes)
    if dry_run:
        return rehearse(config, student, rows, collator)

    # The steps, and what comes of them. What never changes is looked at once.
    if config.kept_views:
        rows = KeptViews(student, rows, collator, config.kept_views, config.seed)
        collator = collated
    trainer = DenseTrainer(
        config,
        run,
        model=student,
        args=arguments,
        train_dataset=rows,
        data_collator=collator,
    )
    run.train(trainer, config.styles())
    return run.ship("training.dense")


def main(arguments: list | None = None) -> None:
    """The command line."""
    parser = parser_of("training.dense", __doc__)
    add_config(parser, *OPTIONS)
    parser.add_argument("--dry-run", action="store_true", help="two steps of the largest shape")
    given = parser.parse_args(arguments)
    with errors_told("training.dense"):
        config = read_config(given.config, DenseConfig, **changes(given, *OPTIONS))
        print(train(config, given.dry_run))


if __name__ == "__main__":
    main()
