# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""transformers' Trainer, with rows read in order, stages, and checkpoints that can be trusted.

What it adds to the stock one: row i of the data is read as number i, since it is a pure function
of (seed, i), so a resumed run reads what it would have read; the learning rate follows the
stages; a bad gradient stops the run; a checkpoint is a complete model folder, marked complete
last. Knows nothing about where data or models come from.
"""

from math import cos, pi
from pathlib import Path

import torch
from accelerate.utils import gather_object
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from training import runs
from training.arguments import on_one_gpu, shared
from training.guard import Guard
from training.mixture import Skip, SkipCounts
from training.optimizers import MuonWithAdamW, split
from training.sharding import policy
from training.shipping import write_weights


def training_arguments(config, processes=1) -> TrainingArguments:
    """The config in transformers' words."""
    layers = config.fsdp.get("layers") if processes > 1 else None
    arguments = TrainingArguments(
        **shared(config, config.batch, processes),
        learning_rate=max(stage.lr for stage in config.stages),
        weight_decay=config.weight_decay,
        adam_beta2=config.beta2,
        logging_nan_inf_filter=False,
        dataloader_num_workers=config.workers,
        label_names=["targets"],
        ddp_find_unused_parameters=any(s.weights.get("dense") for s in config.stages),
        fsdp=bool(layers),
        fsdp_config={"version": 2, "transformer_layer_cls_to_wrap": layers} if layers else None,
    )
    return on_one_gpu(arguments)


def rate(stages, step, largest) -> float:
    """The learning rate of a step as a share of `largest`."""
    for stage in stages:
        if step < stage.steps:
            break
        step -= stage.steps
    rising = min(stage.warmup * stage.steps, stage.warmup_steps)
    if step < rising:
        share = (step + 1) / (rising + 1)
    else:
        done = min((step - rising) / max(stage.steps - rising, 1), 1.0)
        share = stage.final_lr + (1 - stage.final_lr) * (1 + cos(pi * done)) / 2
    return stage.lr * share / largest


def wrapper_of(model) -> str:
    """What shares a model out: "fully_shard" (FSDP 2), "DistributedDataParallel" or "none"."""
    name = type(model).__name__
    if name.startswith("FSDP"):  # fully_shard prefixes the class of what it shards
        return "fully_shard"
    return name if name == "DistributedDataParallel" else "none"


class RecipeTrainer(Trainer):
    """config, base: of the run. after_save(folder, step, skipped, wrapper=...): called on the
    first process once a checkpoint is complete."""

    def __init__(self, config, base, after_save, **stock):
        super().__init__(**stock)
        self.config, self.base, self.after_save = config, base, after_save
        self.guard = Guard(config.spike)
        self.counts = SkipCounts()
        self._last, self.wrapper = {}, "none"

    def _get_train_sampler(self, dataset=None):
        return SequentialSampler(dataset or self.train_dataset)

    def create_optimizer(self, model=None):
        """The config's optimizer: transformers' own is AdamW."""
        if self.config.optimizer == "adamw" or self.optimizer:
            return super().create_optimizer(model)
        inner, others = split(model or self.model)
        given = self.args
        self.optimizer = MuonWithAdamW(
            inner.values(), others.values(), given.learning_rate, given.weight_decay,
            betas=(given.adam_beta1, given.adam_beta2),
        )
        return self.optimizer

    def create_scheduler(self, num_training_steps, optimizer=None):
        """One factor for all parameters, by the stage a step belongs to."""
        stages, largest = self.config.stages, self.args.learning_rate
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer or self.optimizer, lambda step: rate(stages, step, largest)
        )
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def _prepare_for_training(self, *given):
        """Say which wrapper accelerate chose: FSDP on a CPU silently becomes DDP."""
        if self.is_fsdp_enabled:
            plugin = self.accelerator.state.fsdp_plugin
            plugin.mixed_precision_policy = policy(self.config.bf16)
        model, loader = super()._prepare_for_training(*given)
        self.wrapper = wrapper_of(model)
        if self.args.should_save:
            print(f"{self.args.world_size} processes, wrapper: {self.wrapper}", flush=True)
        if self.config.fsdp and self.wrapper != "fully_shard" and self.args.should_save:
            print("fsdp was asked for and is not in use: it needs several processes on GPUs")
        return model, loader

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        """The student's own loss; its parts are logged."""
        self.guard.saw(inputs["names"])
        self.counts.add(Skip(**told) for told in inputs["skipped"])
        outputs = model(**inputs)
        self._last = {k: v for k, v in outputs.items() if k != "loss"}
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs, *further):
        """With the parts of the last loss."""
        parts = {k: v.item() for k, v in self._last.items()} if "loss" in logs else {}
        super().log({**logs, **parts}, *further)

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        self.guard.check(float(norm), self.state.global_step)
        return norm

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        """Nothing: the student was made of the checkpoint's weights."""

    def _save(self, output_dir=None, state_dict=None):
        if self.args.should_save:
            student = self.accelerator.unwrap_model(self.model)
            state = state_dict or student.state_dict()
            write_weights(student, output_dir, state, self.base, self.config)

    def _save_checkpoint(self, model, trial):
        super()._save_checkpoint(model, trial)
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        skipped = self._all_counts()
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            runs.write_json(folder / runs.COUNTS, skipped)
            runs.mark_complete(folder)
            self.after_save(folder, self.state.global_step, skipped, wrapper=self.wrapper)
        self.accelerator.wait_for_everyone()

    def _all_counts(self) -> dict:
        """What all processes skipped, since the beginning of the run."""
        states = gather_object([self.counts.state()])
        counts = [entry for state in states for entry in state["counts"]]
        examples = [text for state in states for text in state["examples"]]
        merged = {}
        for name, why, number in counts:
            merged[name, why] = merged.get((name, why), 0) + number
        rows = [[name, why, number] for (name, why), number in sorted(merged.items())]
        return {"counts": rows, "examples": examples[:5]}
