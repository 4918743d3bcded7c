# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Supervised training: questions about pictures with known distance, loss on the answers.

    python -m training.sft training/configs/tiny.yaml

Runs the stages of a config one after the other and writes a checkpoint folder that the node
loads as it is. The config opens with its launch line and explains its entries.
"""

import argparse
import json
import shutil
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path

import torch
import yaml
from torch.utils.data import SequentialSampler
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.errors import InputError
from training import fresh
from training.collate import Collator
from training.rows import QuestionRows
from training.shards import read_shards
from training.student import Student

PROCESSOR_FILES = ("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")
CHAT_FILES = ("chat_template.jinja", "generation_config.json")


@dataclass(frozen=True)
class Stage:
    """One stretch of training. ask: style -> questions per picture; weights: of the losses.

    pictures: only the first so many of the data, 0 for all.
    """

    name: str
    steps: int
    lr: float
    pictures: int = 0
    ask: dict = field(default_factory=dict)
    weights: dict = field(default_factory=lambda: {"text": 1.0, "dense": 1.0, "locate": 1.0})


@dataclass(frozen=True)
class Config:
    """What a run is made of; see training/configs/tiny.yaml. vary: see rows.varied()."""

    checkpoint: dict
    data: str
    out: str
    stages: list
    base: str = "fresh"
    shape: dict = field(default_factory=dict)
    batch: int = 32
    vary: bool = False
    workers: int = 1
    seed: int = 1
    dtype: str = "float16"


def read_config(path) -> Config:
    """The YAML as a Config; InputError names what does not belong."""
    try:
        content = yaml.safe_load(Path(path).read_text())
        stages = [Stage(**stage) for stage in content.pop("stages")]
        return Config(stages=stages, **content)
    except (TypeError, KeyError, OSError, yaml.YAMLError) as error:
        raise InputError(f"{path} is no training config: {error}") from error


class OrderedTrainer(Trainer):
    """Reads the rows in order, since row i is a pure function of (seed, i); logs each loss."""

    def _get_train_sampler(self, dataset=None):
        return SequentialSampler(dataset or self.train_dataset)

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        outputs = model(**inputs)
        if self.state.global_step % self.args.logging_steps == 0:
            self.log({k: v.item() for k, v in outputs.items() if k != "loss"})
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]


class StopOnNaN(TrainerCallback):
    """A loss that is not a number ends the run instead of spoiling the weights."""

    def on_log(self, args, state, control, logs=None, **_):
        loss = (logs or {}).get("loss", 0.0)
        if isnan(loss):
            raise FloatingPointError(f"the loss is NaN at step {state.global_step}")


def start(config, folder):
    """(model in fp32, tokenizer, image processor) of the base, a fresh one built if asked."""
    base = fresh.build(folder / "base", **config.shape) if config.base == "fresh" else config.base
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    processor = AutoImageProcessor.from_pretrained(base)
    return Path(base), model, AutoTokenizer.from_pretrained(base), processor


def run_stage(number, stage, config, student, collator, checkpoint) -> None:
    """Train the student through one stage."""
    student.weights = dict(stage.weights)
    seed = config.seed * 1000 + number
    shots = read_shards(config.data)
    count = min(stage.pictures or len(shots), len(shots))
    length = stage.steps * config.batch
    rows = QuestionRows(shots, count, checkpoint, stage.ask, seed, length, config.vary)
    arguments = TrainingArguments(
        output_dir=str(Path(config.out) / "runs" / f"{number}_{stage.name}"),
        max_steps=stage.steps,
        per_device_train_batch_size=config.batch,
        learning_rate=stage.lr,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.05},
        warmup_steps=min(50, stage.steps // 10),
        weight_decay=0.05,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        logging_steps=25,
        save_strategy="no",
        report_to=[],
        dataloader_num_workers=config.workers,
        remove_unused_columns=False,
        label_names=["targets"],
        seed=seed,
        bf16=True,  # autocast over float32 weights
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = OrderedTrainer(
        model=student,
        args=arguments,
        train_dataset=rows,
        data_collator=collator,
        callbacks=[StopOnNaN()],
    )
    trainer.train()


def save(student, base, config, checkpoint, folder) -> Path:
    """A complete checkpoint: weights at 16 bit, the base's processor files, the row."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(getattr(torch, config.dtype)) for k, v in student.model.state_dict().items()}
    student.model.save_pretrained(folder, state_dict=state)
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, "dtype": config.dtype}, indent=2))
    for name in PROCESSOR_FILES + CHAT_FILES:
        if (base / name).exists():
            shutil.copyfile(base / name, folder / name)
    checkpoint.write(folder)
    return folder


def train(config) -> Path:
    """Run every stage, keeping a checkpoint after each; the last one is `out`/checkpoint."""
    out = Path(config.out)
    torch.manual_seed(config.seed)
    checkpoint = Checkpoint(model=str(out / "checkpoint"), **config.checkpoint)
    base, model, tokenizer, processor = start(config, out)
    student = Student(model, {})
    collator = Collator(tokenizer, processor, checkpoint.system)
    for number, stage in enumerate(config.stages):
        print(f"stage {stage.name}: {stage.steps} steps of {config.batch} pictures", flush=True)
        run_stage(number, stage, config, student, collator, checkpoint)
        save(student, base, config, checkpoint, out / f"after_{stage.name}")
    return save(student, base, config, checkpoint, out / "checkpoint")


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.sft", description=__doc__)
    parser.add_argument("config", help="a YAML file such as training/configs/tiny.yaml")
    parser.add_argument("--data", help="folder of shards, instead of the config's")
    parser.add_argument("--out", help="output folder, instead of the config's")
    given = parser.parse_args(arguments)
    config = read_config(given.config)
    changes = {k: v for k, v in (("data", given.data), ("out", given.out)) if v}
    print(train(replace(config, **changes)))


if __name__ == "__main__":
    main()
