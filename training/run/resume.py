# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How a run begins again where it was killed, what it does with a checkpoint, and how it ends: one
way for every trainer.

Knows nothing about what is learnt.
"""

import json
from pathlib import Path

import torch
from accelerate import PartialState

from training.data.mixture import SkipCounts
from training.run import run_folder
from training.run.base import ready_base
from training.run.manifest import Manifest
from training.run.watch import HeldOut


def begun(config) -> tuple:
    """(the checkpoint to go on from or None, the Manifest); the run's base lies ready then."""
    found = newest_told(config.out)
    manifest = Manifest(config, config.out, resumed=found is not None)
    torch.manual_seed(config.seed)  # of a new model
    if PartialState().is_main_process:
        ready_base(config, Path(config.out) / "base", keep=found is not None)
    PartialState().wait_for_everyone()
    return found, manifest


def newest_told(out):
    """The complete checkpoint to go on from, None to begin; the first process says which."""
    found, skipped = run_folder.newest_complete(out)
    if PartialState().is_main_process:
        for why in skipped:
            print(f"skipped: {why}")
        if found:
            print(f"going on from {found}")
    return found


def after_saving(config, styles, manifest):
    """The function (folder, step, skipped, **facts) that takes a complete checkpoint: measures it
    in these styles on what is held out, tells the manifest, deletes older ones."""
    heldout = HeldOut(config.heldout, styles)

    def after_save(folder, step, skipped, **facts):
        measured = heldout.measure(folder)
        if measured:
            print(f"step {step}: held-out {json.dumps(measured)}", flush=True)
        manifest.reached(step, skipped, measured, **facts)
        run_folder.prune(config.out, config.keep, spare=(manifest.best_step,))

    return after_save


def run_to_end(trainer, found, manifest, out):
    """Train from the checkpoint `found`, with what it had skipped, or from the start; the last
    checkpoint.

    trainer: a transformers Trainer with the `counts` of records that it skipped.
    """
    if found and PartialState().is_main_process:
        trainer.counts = SkipCounts(json.loads((found / run_folder.COUNTS).read_text()))
    trainer.train(resume_from_checkpoint=str(found) if found else None)
    PartialState().wait_for_everyone()
    if PartialState().is_main_process:
        print(trainer.counts.summary())
        manifest.finish()
    return run_folder.newest_complete(out)[0]
