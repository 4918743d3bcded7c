# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Reinforcement by groups (GRPO, on trl): several replies a question, the better ones rewarded.

    python -m training.grpo training/configs/grpo_tiny.yaml

DepthLM, section 3.2. Starts from a checkpoint of training.sft: equal rewards in a group teach
nothing, so the model must already answer. Killed and started again, it goes on from its newest
complete checkpoint. The config opens with its launch line and explains its entries.
"""

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
import yaml
from accelerate import PartialState

from depthlm_ros.checkpoints import Checkpoint, from_folder
from depthlm_ros.errors import InputError
from depthlm_ros.models.linear import linear_patches
from depthlm_ros.models.loading import load_parts
from depthlm_ros.models.progress import silent
from depthlm_ros.models.weights import read_weights
from training import model as model_module
from training.data.lessons import lessons
from training.rl.processor import ViewProcessor
from training.rl.rewards import reward_functions
from training.rl.rollouts import Rollouts, check_model, check_tasks
from training.rl.trainer import GroupTrainer, group_arguments
from training.run import run_folder
from training.run.base import find_base
from training.run.card import figures
from training.run.commands import add_config, changes, errors_told, parser_of
from training.run.export import ship
from training.run.manifest import data_hashes
from training.run.resume import after_saving, begun, run_to_end

OPTIONS = "data", "base", "out"
# What may differ between a run and its resumption without changing what is learnt.
FREE = ("out", "micro_batch", "save_every", "keep", "log_every", "heldout", "spike", "dtype")


@dataclass(frozen=True)
class Config:
    """A run; training/configs/grpo_*.yaml explain the entries.

    base: a checkpoint folder. data: see lessons.py. out: the run's folder. tasks: names, mixed
    equally. rewards: name -> weight, see rewards.py. batch: pictures a step, over all processes,
    each with `group` replies; micro_batch: replies at once on one device, 0 for all.
    longest: tokens of a reply.
    """

    base: str
    data: object
    out: str
    steps: int
    lr: float = 1.0e-5
    style: str = ""
    tasks: list = field(default_factory=lambda: ["distance"])
    rewards: dict = field(default_factory=lambda: {"delta1": 1.0, "format": 1.0})
    group: int = 8
    batch: int = 32
    micro_batch: int = 0
    longest: int = 64
    temperature: float = 1.0
    clip: float = 1.0
    seed: int = 1
    bf16: bool = True
    activation_checkpointing: bool = False
    bad: str = "skip"
    save_every: int = 100
    keep: int = 2
    log_every: int = 10
    spike: float = 100.0
    heldout: dict = field(default_factory=dict)
    dtype: str = "float16"
    processor: dict = field(default_factory=dict)

    def __post_init__(self):
        check_tasks(self.tasks)
        reward_functions(list(self.rewards))
        if self.group < 2 or min(self.batch, self.steps, self.save_every, self.keep) < 1:
            raise InputError("group is at least 2; batch, steps, save_every and keep at least 1")

    def differs(self, earlier: dict) -> list:
        """Names of entries in which a run recorded as `earlier` learnt something else."""
        now = asdict(self)
        return [name for name in now if name not in FREE and now[name] != earlier.get(name)]

    def row(self, model) -> Checkpoint:
        """The row of a folder that this run writes: its base's, whose intervals held for it."""
        return replace(from_folder(find_base(self.base)), model=str(model), calibration={})


def read_config(path, **changes) -> Config:
    """The YAML as a Config; InputError names what does not belong. changes: instead of its own."""
    try:
        return Config(**{**yaml.safe_load(Path(path).read_text()), **changes})
    except (TypeError, OSError, InputError, yaml.YAMLError) as error:
        raise InputError(f"{path} is no config of training.grpo: {error}") from error


def train(config) -> Path:
    """Run or resume a config; the shipped folder."""
    out, first = Path(config.out), PartialState().is_main_process
    found, manifest = begun(config)
    trainer = made_trainer(config, out / "base", found, manifest)
    if first:
        step = run_folder.step_of(found) if found else 0
        manifest.begin(step, data_hashes(config), device=str(trainer.args.device))
    last = run_to_end(trainer, found, manifest, out)
    if first:
        ship(last, out / "base", config, card(config, manifest.content), out / "checkpoint")
    return out / "checkpoint"


def made_trainer(config, base, found=None, manifest=None) -> GroupTrainer:
    """The trainer of a config, to begin with `base` or to go on from the checkpoint `found`."""
    torch.manual_seed(config.seed)
    parts = load_parts(config.row(base))
    style = config.style or parts.checkpoint.style
    check_model(parts, style)
    parts.tokenizer.padding_side = "left"
    arguments = group_arguments(config, int(os.environ.get("WORLD_SIZE", "1")))
    return GroupTrainer(
        config,
        base,
        Rollouts(_mixture(config, parts), parts, config.group),
        after_saving(config, [style], manifest),
        model=_model(config.row(found or base), parts, arguments),
        reward_funcs=reward_functions(list(config.rewards)),
        args=arguments,
        processing_class=ViewProcessor(parts.vision.processor, parts.tokenizer),
    )


def _model(row, parts, arguments):
    model = read_weights(row, parts.config, torch.float32, torch.device("cpu"), silent)
    linear_patches(model.train().requires_grad_(True))
    model_module.suit(model, arguments)
    return model


def _mixture(config, parts):
    length = config.steps * config.batch
    row = parts.checkpoint
    return lessons(config.data, config.tasks, row, config.seed, length, config.style, config.bad)


CARD = """\
---
license: {licence}
pipeline_tag: image-text-to-text
tags: [metric-depth, ros2, grpo]
---
# {name}

A {architecture} model that says how far away a pixel is, trained further by depthlm_ros with GRPO
from `{base}`, whose limits it shares. `depthlm.json` tells the node how to ask it.

    {command}

* Code: {code}. {steps} steps of {batch} pictures with {group} replies each, learning rate {lr:g}.
* Tasks: {tasks}. Rewards and weights: {rewards}.
* Data: {data}

## Figures

{figures}
"""


def card(config, manifest) -> str:
    """The model card. manifest: Manifest.content."""
    row = config.row("")
    told = {
        "name": row.name,
        "architecture": row.architecture,
        "licence": row.licence or "unknown",
        "command": " ".join(["python -m training.grpo", *manifest["command"][1:]]),
        "code": manifest["code"],
        "tasks": ", ".join(config.tasks),
        "data": "; ".join(f"{one['file']} ({one['sha256'][:12]})" for one in manifest["data"]),
        "figures": figures(manifest["heldout"]),
    }
    return CARD.format(**{**asdict(config), **told})


def main(arguments=None) -> None:
    parser = parser_of("training.grpo", __doc__)
    add_config(parser, *OPTIONS)
    given = parser.parse_args(arguments)
    with errors_told("training.grpo"):
        print(train(read_config(given.config, **changes(given, *OPTIONS))))


if __name__ == "__main__":
    main()
