# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""transformers' Trainer for training.sft: images in order, stages, and the losses in the log.

Item i of the data is read as number i, since it is a pure function of (seed, i), so a resumed run
reads what it would have read; the learning rate follows the stages.
"""

from math import cos, pi
from pathlib import Path

import torch
from accelerate.utils import gather_object
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from depthlm_ros.dense.head import make_head
from depthlm_ros.dense.model import in_widths, save_with_head
from depthlm_ros.models.loading import load_parts
from training.data.mixture import Skip, merged_counts
from training.run.export import write_student
from training.run.optimizers import MuonWithAdamW, split
from training.run.trainer import RunTrainer, on_one_gpu, shared


def training_arguments(config, processes: int = 1) -> TrainingArguments:
    """An SftConfig in transformers' words."""
    layers = config.fsdp.layers if config.fsdp and processes > 1 else None
    arguments = TrainingArguments(
        **shared(config, config.batch, processes),
        learning_rate=max(stage.lr for stage in config.stages),
        weight_decay=config.weight_decay,
        adam_beta2=config.beta2,
        logging_nan_inf_filter=False,
        dataloader_num_workers=config.workers,
        label_names=["targets"],
        ddp_find_unused_parameters=any({"dense", "depth"} & set(s.weights) for s in config.stages),
        fsdp=bool(layers),
        fsdp_config={"version": 2, "transformer_layer_cls_to_wrap": layers} if layers else None,
    )
    return on_one_gpu(arguments)


def rate(stages: list, step: int, largest: float) -> float:
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


def policy(bf16: bool) -> MixedPrecisionPolicy:
    """How fully_shard casts: gathered in bfloat16, gradients added up in float32, inputs alone.

    By default every floating input is cast too: rotary positions would lose their fractions and,
    beyond 256, whole places.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    return MixedPrecisionPolicy(
        param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )


def wrapper_of(model: torch.nn.Module) -> str:
    """What shares a model out: "fully_shard" (FSDP 2), "DistributedDataParallel" or "none"."""
    name = type(model).__name__
    if name.startswith("FSDP"):  # fully_shard prefixes the class of what it shards
        return "fully_shard"
    return name if name == "DistributedDataParallel" else "none"


class RecipeTrainer(RunTrainer, Trainer):
    """config: an SftConfig; the rest as in RunTrainer."""

    def __init__(self, config, run=None, **stock):
        super().__init__(config, run, **stock)
        self._last, self.wrapper = {}, "none"

    def write_step(self, folder: Path, state: dict) -> None:
        """The student, with what a resumption needs."""
        write_student(self.accelerator.unwrap_model(self.model), folder, state, self.run.base)

    def all_counts(self) -> dict:
        """See RunTrainer."""
        return merged_counts(gather_object([self.counts.state()]))

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

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        """The student's own loss; its parts are logged."""
        self.guard.saw(inputs["names"])
        self.counts.add([Skip(**skip) for skip in inputs["skipped"]], len(inputs["names"]))
        self.counts.check(self.config.bad_share)
        outputs = model(**inputs)
        self._last = {k: v for k, v in outputs.items() if k != "loss"}
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs, *further):
        """With the parts of the last loss."""
        parts = {k: v.item() for k, v in self._last.items()} if "loss" in logs else {}
        super().log({**logs, **parts}, *further)

    def _get_train_sampler(self, dataset=None):
        return SequentialSampler(dataset or self.train_dataset)

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


class DenseTrainer(RecipeTrainer):
    """config: a DenseConfig."""

    def create_optimizer(self, model=None):
        """The config's, with a head's image encoder at its share of the rate."""
        if self.optimizer:
            return self.optimizer
        made = super().create_optimizer(model)
        encoder = getattr((model or self.model).head, "encoder", nn.Module())
        slower = {id(weight) for weight in encoder.parameters()}
        for group in list(made.param_groups) if slower else ():
            inside = [weight for weight in group["params"] if id(weight) in slower]
            group["params"] = [weight for weight in group["params"] if id(weight) not in slower]
            rate = group["lr"] * self.config.encoder_lr
            made.add_param_group({**group, "params": inside, "lr": rate})
        return made

    def write_step(self, folder: Path, state: dict) -> None:
        """The student, its dense head among the weights of the model."""
        super().write_step(folder, state)
        parts = load_parts(self.config.entry(self.run.base))
        spec = parts.checkpoint.head
        head = make_head(spec, in_widths(parts, spec))
        own = {k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")}
        head.load_state_dict(own)
        save_with_head(folder, head, parts)
