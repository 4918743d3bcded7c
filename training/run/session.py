# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""One session of a run, the same for every recipe: it begins where the last one was killed, stops
at a signal with a checkpoint, and ships what came out.

    run = Run(config)
    parts = load_parts(config.entry(run.base))      # and so on; run.found: weights to go on from
    run.train(trainer, styles)
    return run.ship("training.sft")
"""

import json
import signal
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import TrainerCallback

from training.data.labels import check_data
from training.data.mixture import SkipCounts
from training.run import run_folder
from training.run.base import ready_base
from training.run.card import card
from training.run.commands import Stopped
from training.run.export import ship
from training.run.manifest import Manifest, data_hashes
from training.run.watch import HeldOut


class Run:
    """The run in the folder `out` of a RunConfig, its base ready to be loaded.

    base: the folder of what it starts from.
    found: the complete checkpoint to go on from, None to begin.
    Raises InputError where another process trains in the folder, it holds a run of another config,
    or the data are not there or cannot be in metres; CheckpointError for an unusable base.
    """

    def __init__(self, config):
        self.config, self.out = config, Path(config.out)
        self.base = self.out / "base"
        self._first = PartialState().is_main_process
        self.found = self._newest()
        self.manifest = Manifest(config, self.out, resumed=self.found is not None)
        if self._first:
            check_data(config)
        torch.manual_seed(config.seed)  # of a new model
        if self._first:
            self._lock = run_folder.held(self.out)
            ready_base(config, self.base, keep=self.found is not None)
        PartialState().wait_for_everyone()
        self._heldout = self._stop = None

    def _newest(self):
        """The newest complete checkpoint; the first process says which and why no newer one."""
        found, skipped = run_folder.newest_complete(self.out)
        if self._first:
            for why in skipped:
                print(f"skipped: {why}")
            if found:
                print(f"going on from {found}", flush=True)
        return found

    def train(self, trainer, styles: list) -> None:
        """Train to the end. trainer: a RunTrainer; styles: to be measured in at every save.

        Raises Stopped after a signal, once a checkpoint is written.
        """
        self._heldout = HeldOut(self.config.heldout, styles)
        step = run_folder.step_of(self.found) if self.found else 0
        if self._first:
            facts = {"processes": trainer.args.world_size, "device": str(trainer.args.device)}
            self.manifest.begin(step, data_hashes(self.config), **facts)
        if self.found:
            self._restore(trainer, step)
        with Stop() as self._stop:
            trainer.add_callback(self._stop)
            trainer.train(resume_from_checkpoint=str(self.found) if self.found else None)
        PartialState().wait_for_everyone()
        if self._stop.name:
            raise Stopped(
                f"stopped by {self._stop.name} after step {trainer.state.global_step}, which is"
                " saved; the same command goes on from there",
                128 + self._stop.number,
            )
        if self._first:
            print(trainer.counts.summary())
            trainer.counts.check(self.config.bad_share, least=1)
            self.manifest.finish()

    def _restore(self, trainer, step):
        """What the guard knew on every process, what all had skipped on the first."""
        guard, counts = self.found / run_folder.GUARD, self.found / run_folder.COUNTS
        if guard.exists():
            trainer.guard.restore(json.loads(guard.read_text()))
        if self._first:
            state = {"used": step * self.config.batch, **json.loads(counts.read_text())}
            trainer.counts = SkipCounts(state)

    def saved(self, trainer, folder: Path, skipped: dict) -> None:
        """Take note of a complete checkpoint: measure it, tell the manifest, delete older ones."""
        stopping = self._stop and self._stop.name
        measured = {} if stopping else self._heldout.measure(folder)
        step = trainer.state.global_step
        if measured:
            print(f"step {step}: held-out {json.dumps(measured)}", flush=True)
        facts = {"wrapper": getattr(trainer, "wrapper", "none")}
        passed = trainer.guard.passed_over
        self.manifest.reached(step, skipped, passed, measured, **facts)
        run_folder.prune(self.out, self.config.keep, spare=(self.manifest.best_step,))

    def ship(self, recipe: str) -> Path:
        """out/checkpoint, made of the last complete checkpoint. recipe: the module's name."""
        shipped = self.out / "checkpoint"
        if self._first:
            last = run_folder.newest_complete(self.out)[0]
            entry = self.config.entry(shipped)
            text = card(self.config, entry, self.manifest.content, recipe)
            ship(last, self.base, self.config, text, shipped)
        return shipped


class Stop(TrainerCallback):
    """Ctrl+C and SIGTERM end a run after the step under way, with a checkpoint; the second such
    signal ends it at once.

    transformers' own just-in-time checkpoint knows SIGTERM only, decides in each process for
    itself and may save between a gradient and its step. name: of the signal that all processes
    have agreed on, "" while there is none.
    """

    def __init__(self):
        self.number, self.name, self._before = 0, "", {}

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number, frame):
        if self.number:
            raise Stopped(f"ended by a second {signal.Signals(number).name}", 128 + number)
        self.number = number
        name = signal.Signals(number).name
        print(f"{name}: stopping after this step (once more: at once)", flush=True)

    def on_step_end(self, args, state, control, **_):
        """Save and stop where some process was told to."""
        received = torch.tensor([self.number], device=args.device)
        if args.world_size > 1:
            torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX)
        if received.item() and state.global_step < state.max_steps:
            self.number = int(received.item())
            self.name = signal.Signals(self.number).name
            control.should_save = control.should_training_stop = True
