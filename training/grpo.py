# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Reinforcement by groups (GRPO, on trl): several replies per question, the better ones rewarded.

    python -m training.grpo training/configs/grpo_tiny.yaml

DepthLM, section 3.2. Starts from a checkpoint of training.sft: equal rewards in a group teach
nothing, so the model must already answer. Killed or stopped and started again, it goes on from its
newest complete checkpoint. The config opens with its launch line and explains its entries.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from training.config import GrpoConfig, read_config
from training.run.commands import add_config, changes, errors_told, parser_of

if TYPE_CHECKING:
    from training.rl.trainer import GroupTrainer

OPTIONS = "data", "base", "out"


def train(config: GrpoConfig) -> Path:
    """Run or resume a config; the shipped folder."""
    # Here, since they take seconds: a question for help or a mistyped entry is answered at once.
    from training.rl.rollouts import check_tasks
    from training.rl.trainer import group_arguments
    from training.run.session import Run

    check_tasks(config.tasks)
    arguments = group_arguments(config, int(os.environ.get("WORLD_SIZE", "1")))
    run = Run(config)
    trainer = made_trainer(config, arguments, run, run.base, run.found)
    run.train(trainer, [config.style or config.entry(run.base).style])
    return run.ship("training.grpo")


def made_trainer(config: GrpoConfig, arguments, run, base: Path, found=None) -> "GroupTrainer":
    """The trainer of a config, to begin with `base` or to go on from the checkpoint `found`."""
    import torch

    from depthlm_ros.models.linear import linear_patches
    from depthlm_ros.models.loading import load_parts
    from training.data.lessons import lessons
    from training.model import load_model, suit
    from training.rl.processor import ViewProcessor
    from training.rl.rewards import reward_functions
    from training.rl.rollouts import Rollouts, check_model
    from training.rl.trainer import GroupTrainer

    # What is asked: item i is a pure function of (seed, i).
    torch.manual_seed(config.seed)
    parts = load_parts(config.entry(base))
    check_model(parts, config.style or parts.checkpoint.style)
    parts.tokenizer.padding_side = "left"
    items = lessons(
        config.data,
        config.tasks,
        parts.checkpoint,
        config.seed,
        config.steps * config.batch,
        config.style,
        config.bad,
    )

    # The model that replies.
    model = load_model(config, parts, found or base)
    linear_patches(model)
    suit(model, arguments)

    return GroupTrainer(
        config,
        run,
        Rollouts(items, parts, config.group),
        model=model,
        reward_funcs=reward_functions(list(config.rewards)),
        args=arguments,
        processing_class=ViewProcessor(parts.vision.processor, parts.tokenizer),
    )


def main(arguments: list | None = None) -> None:
    """The command line."""
    parser = parser_of("training.grpo", __doc__)
    add_config(parser, *OPTIONS)
    given = parser.parse_args(arguments)
    with errors_told("training.grpo"):
        print(train(read_config(given.config, GrpoConfig, **changes(given, *OPTIONS))))


if __name__ == "__main__":
    main()
