# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""transformers' Trainer, with rows read in order, stages, and checkpoints that can be trusted.

What it adds to the stock one: row i of the data is read as number i, since it is a pure function
of (seed, i), so a resumed run reads what it would have read; the learning rate follows the
stages; a bad gradient stops the run; a checkpoint is a complete model folder, marked complete
last. Knows nothing about where data or models come from.

How weights are cast where they are shared out over GPUs (FSDP 2, fully_shard).

What every trainer is told in transformers' words, and how a step is shared out.

Knows nothing about what is learnt.
"""

from math import cos, pi
from pathlib import Path

import torch
from accelerate.utils import gather_object
from torch.cuda import is_available
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from depthlm_ros.errors import InputError
from training.data.mixture import Skip, SkipCounts
from training.run import run_folder
from training.run.export import write_weights
from training.run.guard import Guard
from training.run.optimizers import MuonWithAdamW, split


def policy(bf16) -> MixedPrecisionPolicy:
    """Gathered in bfloat16, gradients added up in float32, inputs left alone.

    By default every floating input is cast too: rotary positions would lose their fractions and,
    beyond 256, whole places.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    return MixedPrecisionPolicy(
        param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )


def shared(config, whole, processes=1) -> dict:
    """Arguments common to a config of training.sft and one of training.grpo.

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


def accumulation(whole, micro, processes) -> int:
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
    axis, which in positions is not the pictures'. Several GPUs are several processes (torchrun).
    """
    found = arguments.device  # whoever looks for it counts the GPUs
    arguments._n_gpu = int(found.type == "cuda")
    return arguments


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
            inner.values(),
            others.values(),
            given.learning_rate,
            given.weight_decay,
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
            run_folder.write_json(folder / run_folder.COUNTS, skipped)
            run_folder.mark_complete(folder)
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
