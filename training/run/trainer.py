# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What every trainer is told in transformers' words, and what it does besides learning: bad
gradients are passed over, unusable records counted, checkpoints marked complete last.

What is learnt is the recipe's: see supervised.py and rl/trainer.py.
"""

import os
import signal
import threading
from functools import partial
from pathlib import Path

from torch.cuda import is_available

from depthlm_ros.errors import InputError
from training.data.mixture import SkipCounts
from training.run import run_folder
from training.run.guard import Guard


def shared(config, whole: int, processes: int = 1) -> dict:
    """TrainingArguments that follow from a RunConfig.

    whole: samples of a step over all processes. InputError where they come out uneven.
    """
    micro = config.micro_batch or whole // processes
    return {
        "output_dir": str(Path(config.out) / run_folder.STEPS),
        "max_steps": config.steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": accumulation(whole, micro, processes),
        "max_grad_norm": config.clip,
        "logging_steps": config.log_every,
        "save_strategy": "steps",
        "save_steps": config.save_every,
        "report_to": ["tensorboard"],
        "remove_unused_columns": False,
        "seed": config.seed,
        "bf16": config.bf16,  # autocast over float32 weights
        "use_cpu": not is_available(),
        "activation_checkpointing": config.activation_checkpointing,
    }


def accumulation(whole: int, micro: int, processes: int) -> int:
    """How many micro batches each process adds up."""
    if micro < 1 or whole % (micro * processes):
        raise InputError(
            f"a step of {whole} is not a multiple of micro_batch {micro} x {processes} processes,"
            " so it could not be shared out evenly"
        )
    return whole // (micro * processes)


def on_one_gpu(arguments):
    """TrainingArguments by which a process computes on its own GPU, however many it sees.

    transformers would copy the model to all of them and cut each tensor of a batch along its first
    axis, which in positions is not the images'. Several GPUs are several processes (torchrun).
    """
    found = arguments.device  # whoever looks for it counts the GPUs
    arguments._n_gpu = int(found.type == "cuda")
    return arguments


class RunTrainer:
    """Goes before a transformers Trainer among the bases of a class.

    config: a RunConfig. run: the Run whose steps these are, None for a rehearsal.
    """

    def __init__(self, config, run, **stock):
        super().__init__(**stock)
        self.config, self.run = config, run
        self.guard = Guard(config.spike, config.skip_steps)
        self.counts = SkipCounts()

    def write_step(self, folder: Path, state: dict) -> None:
        """Write the model of a checkpoint, with the recipe's own files."""
        raise NotImplementedError

    def all_counts(self) -> dict:
        """The state of the SkipCounts of all processes; each of them calls this."""
        raise NotImplementedError

    def log(self, logs, *further):
        """With the share of records that could not be used."""
        more = {"skipped_share": self.counts.share} if "loss" in logs else {}
        super().log({**logs, **more}, *further)

    def get_train_dataloader(self):
        """Its processes leave signals to this one."""
        loader = super().get_train_dataloader()
        own = getattr(loader, "base_dataloader", loader)
        own.worker_init_fn = partial(_led, own.worker_init_fn)
        return loader

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        if not self.guard.takes(float(norm), self.state.global_step + 1):
            model.zero_grad(set_to_none=True)  # without gradients the optimizer moves nothing
        return norm

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        """Nothing: the model was made of the checkpoint's weights."""

    def _save(self, output_dir=None, state_dict=None):
        if self.args.should_save:
            model = self.accelerator.unwrap_model(self.model)
            self.write_step(Path(output_dir), state_dict or model.state_dict())
            run_folder.readable(output_dir)
            self.config.entry(output_dir).write(output_dir)

    def _save_checkpoint(self, model, trial):
        super()._save_checkpoint(model, trial)
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        skipped = self.all_counts()
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            run_folder.write_json(folder / run_folder.COUNTS, skipped)
            run_folder.write_json(folder / run_folder.GUARD, self.guard.state())
            run_folder.mark_complete(folder)
            self.run.saved(self, folder, skipped)
        self.accelerator.wait_for_everyone()


def _led(seed, *given):
    """Start a process that reads data: it ends when the trainer says so, and not at a signal that
    a terminal or a scheduler sends to all of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if seed:
        seed(*given)


def _end_with_parent():
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
