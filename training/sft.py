# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Supervised training: questions about pictures with known distance, loss on the answers.

    python -m training.sft training/configs/tiny.yaml

Killed and started again, it goes on from its newest complete checkpoint. `out`/checkpoint is a
folder that the node loads as it is. The config opens with its launch line and explains its
entries; `python -m training.preview CONFIG` shows what it trains on, --dry-run what it costs.
"""

import argparse
import json
import os
from pathlib import Path

import torch
from accelerate import PartialState

from depthlm_ros.engines.loading import load_parts
from depthlm_ros.engines.progress import silent
from depthlm_ros.engines.weights import read_weights
from depthlm_ros.errors import DepthLMError
from training import attention, room, runs
from training.base import ready_base
from training.card import card
from training.collate import Collator
from training.config import Config, read_config
from training.dry_run import rehearse
from training.lora import add_adapters
from training.manifest import Manifest, data_hashes
from training.mixture import SkipCounts
from training.resume import newest_told, run_to_end
from training.rows import stage_rows
from training.runs import step_of
from training.shipping import read_weights as read_extras
from training.shipping import ship
from training.student import Student
from training.trainer import COUNTS, RecipeTrainer, training_arguments
from training.watch import HeldOut

__all__ = ["Config", "main", "read_config", "train"]


def train(config, dry_run=False):
    """Run or resume a config; the shipped folder, or what a dry run found out."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    out, arguments = Path(config.out), training_arguments(config, processes)
    first = PartialState().is_main_process
    found = newest_told(out)
    manifest = Manifest(config, out, resumed=found is not None)
    torch.manual_seed(config.seed)
    if first:
        ready_base(config, out / "base", keep=found is not None)
    PartialState().wait_for_everyone()
    base = out / "base"
    parts = load_parts(config.row(base))
    torch.manual_seed(config.seed)  # the heads', whether the base was made now or before
    student = load_student(config, parts, base, found)
    attention.suit(student.model, arguments)
    room.check(config, student, arguments.device, processes)
    rows = stage_rows(config, parts.checkpoint, parts.vision.patch * parts.vision.merge)
    collator = Collator(parts, config.loss_on, config.loss_per, config.multi_turn)
    if dry_run:
        return rehearse(config, student, rows, collator, base)
    own = parts.checkpoint.style
    heldout = HeldOut(config.heldout, [s for stage in config.stages for s in stage.styles(own)])

    def after_save(folder, step, skipped):
        measured = heldout.measure(folder)
        if measured:
            print(f"step {step}: held-out {json.dumps(measured)}", flush=True)
        manifest.reached(step, skipped, measured, wrapper=trainer.wrapper)
        runs.prune(out, config.keep, spare=(manifest.best_step,))

    trainer = RecipeTrainer(
        config, base, after_save, model=student, args=arguments, train_dataset=rows,
        data_collator=collator,
    )
    if found:
        trainer.counts = SkipCounts(json.loads((found / COUNTS).read_text()) if first else None)
    if first:
        facts = {"processes": processes, "device": str(arguments.device)}
        manifest.begin(step_of(found) if found else 0, data_hashes(config), **facts)
    last = run_to_end(trainer, found, manifest, out)
    if first:
        row = config.row(out / "checkpoint")
        ship(last, base, config, card(manifest.content, row), out / "checkpoint")
    return out / "checkpoint"


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
    parser = argparse.ArgumentParser(prog="python -m training.sft", description=__doc__)
    parser.add_argument("config", help="a YAML file such as training/configs/tiny.yaml")
    parser.add_argument("--data", help="folder of shards, instead of the config's")
    parser.add_argument("--base", help="what to start from, instead of the config's")
    parser.add_argument("--out", help="output folder, instead of the config's")
    parser.add_argument("--dry-run", action="store_true", help="two steps of the largest shape")
    given = parser.parse_args(arguments)
    changes = {k: v for k, v in vars(given).items() if k in ("data", "base", "out") and v}
    try:
        print(train(read_config(given.config, **changes), given.dry_run))
    except DepthLMError as error:
        raise SystemExit(f"training.sft: {error}") from error


if __name__ == "__main__":
    main()
