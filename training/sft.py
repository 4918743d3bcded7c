# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Supervised training: questions about pictures with known distance, loss on the answers.

    python -m training.sft training/configs/tiny.yaml

Killed and started again, it goes on from its newest complete checkpoint. `out`/checkpoint is a
folder that the node loads as it is. The config opens with its launch line and explains its
entries; `python -m training.preview CONFIG` shows what it trains on, --dry-run what it costs.
"""

import os
from pathlib import Path

import torch
from accelerate import PartialState

from depthlm_ros.errors import DepthLMError
from depthlm_ros.models.loading import load_parts
from depthlm_ros.models.progress import silent
from depthlm_ros.models.weights import read_weights
from training import model as model_module
from training.config import Config, read_config
from training.data.collate import Collator
from training.data.rows import stage_rows
from training.model import Student, add_adapters
from training.run.card import card
from training.run.commands import add_config, changes, errors_told, parser_of
from training.run.dry_run import rehearse
from training.run.export import read_weights as read_extras
from training.run.export import ship
from training.run.manifest import data_hashes
from training.run.resume import after_saving, begun, run_to_end
from training.run.run_folder import step_of
from training.run.trainer import RecipeTrainer, training_arguments

OPTIONS = "data", "base", "out"
__all__ = ["Config", "main", "read_config", "train"]


def train(config, dry_run=False):
    """Run or resume a config; the shipped folder, or what a dry run found out."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    arguments = training_arguments(config, processes)
    out, first = Path(config.out), PartialState().is_main_process
    found, manifest = begun(config)
    parts, student = loaded(config, out / "base", found, arguments)
    dry_run.check(config, student, arguments.device, processes)
    data = training_data(config, parts)
    if dry_run:
        return rehearse(config, student, *data, out / "base")
    trainer = made_trainer(config, arguments, student, data, manifest)
    if first:
        facts = {"processes": processes, "device": str(arguments.device)}
        manifest.begin(step_of(found) if found else 0, data_hashes(config), **facts)
    last = run_to_end(trainer, found, manifest, out)
    if first:
        row = config.row(out / "checkpoint")
        ship(last, out / "base", config, card(manifest.content, row), out / "checkpoint")
    return out / "checkpoint"


def training_data(config, parts) -> tuple:
    """The rows of a config, and what makes batches of them."""
    rows = stage_rows(config, parts.checkpoint, parts.vision.patch * parts.vision.merge)
    return rows, Collator(parts, config.loss_on, config.loss_per, config.multi_turn)


def made_trainer(config, arguments, student, data, manifest) -> RecipeTrainer:
    """The trainer of a config."""
    rows, collator = data
    own = collator.parts.checkpoint.style
    styles = [style for stage in config.stages for style in stage.styles(own)]
    return RecipeTrainer(
        config,
        Path(config.out) / "base",
        after_saving(config, styles, manifest),
        model=student,
        args=arguments,
        train_dataset=rows,
        data_collator=collator,
    )


def loaded(config, base, found, arguments) -> tuple:
    """(Parts, Student) of a base, or of the checkpoint `found` of a run."""
    parts = load_parts(config.row(base))
    torch.manual_seed(config.seed)  # the heads', whether the base was made now or before
    student = load_student(config, parts, base, found)
    model_module.suit(student.model, arguments)
    return parts, student


def load_student(config, parts, base, found=None) -> Student:
    """The model in float32 with what it learns beside it, of the base or a checkpoint."""
    weights = found if found and not config.lora else base
    cpu = torch.device("cpu")
    model = read_weights(config.row(weights), parts.config, torch.float32, cpu, silent)
    model.train().requires_grad_(True)
    if config.lora:
        add_adapters(model, config.lora)
    heads = any(s.weights.get(name) for s in config.stages for name in ("dense", "locate"))
    student = Student(model, heads)
    read_extras(student, found or base)
    assert_float32(student)
    return student


def assert_float32(student) -> None:
    """At a learning rate of 1e-5 most steps are too small to move a 16-bit weight at all."""
    wrong = [n for n, p in student.named_parameters() if p.requires_grad and p.dtype.itemsize < 4]
    if wrong:
        raise DepthLMError(f"{wrong[0]} learns in 16 bit: weights that learn must be float32")


def main(arguments=None) -> None:
    parser = parser_of("training.sft", __doc__)
    add_config(parser, *OPTIONS)
    parser.add_argument("--dry-run", action="store_true", help="two steps of the largest shape")
    given = parser.parse_args(arguments)
    with errors_told("training.sft"):
        print(train(read_config(given.config, **changes(given, *OPTIONS)), given.dry_run))


if __name__ == "__main__":
    main()
