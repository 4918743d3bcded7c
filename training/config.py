# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a training run is made of, read from a YAML file and checked all at once.

A config opens with its launch line. `extends: other.yaml` takes what it does not say from
another one. Knows nothing about models or data beyond their names.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import yaml

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.errors import DepthLMError, InputError
from depthlm_ros.tasks import TASKS

STYLES = ("marker", "coordinates", "position")
LOSSES = ("text", "dense", "locate")
# What may differ between a run and its resumption without changing what is learnt.
FREE = (
    "out",
    "micro_batch",
    "workers",
    "save_every",
    "keep",
    "log_every",
    "heldout",
    "fsdp",
    "activation_checkpointing",
    "spike",
)


@dataclass(frozen=True)
class Stage:
    """One stretch of training.

    ask: style -> questions per picture; a picture carries one arrow at most, a fraction is a
    probability. weights: of the losses "text", "dense" and "locate". tasks: names of
    depthlm_ros.tasks, mixed equally, one question a row, instead of ask; style: to point with, ""
    for the row's own (data may then hold {pairs: jsonl} too; nothing is mirrored or recoloured).
    pictures: only the first so many of the data, 0 for all. lr rises over the share `warmup` of
    the steps, at most `warmup_steps`, and falls as a cosine to the share `final_lr` of itself.
    """

    name: str
    steps: int
    lr: float
    ask: dict = field(default_factory=dict)
    weights: dict = field(default_factory=lambda: dict.fromkeys(LOSSES, 1.0))
    tasks: list = field(default_factory=list)
    style: str = ""
    pictures: int = 0
    warmup: float = 0.1
    warmup_steps: int = 1_000_000
    final_lr: float = 0.05

    def styles(self, own) -> list:
        """The styles that it asks in; own: the row's, for tasks that name none."""
        return [self.style or own] if self.tasks else list(self.ask)

    def problems(self):
        """What is wrong, in sentences."""
        if self.steps < 1 or not self.lr > 0:
            yield f"stage {self.name}: steps and lr must be positive"
        if unknown := set(self.ask) - set(STYLES):
            yield f"stage {self.name} asks {sorted(unknown)}, allowed: {', '.join(STYLES)}"
        if unknown := set(self.weights) - set(LOSSES):
            yield f"stage {self.name} weighs {sorted(unknown)}, allowed: {', '.join(LOSSES)}"
        if self.tasks and (self.ask or self.pictures):
            yield f"stage {self.name}: tasks come instead of ask, and of all pictures"
        if unknown := set(self.tasks) - set(TASKS):
            yield f"stage {self.name}: tasks {sorted(unknown)}, allowed: {', '.join(TASKS)}"
        if not 0 <= self.ask.get("marker", 0) <= 1:
            yield f"stage {self.name}: a picture carries one arrow at most, marker is 0 to 1"


@dataclass(frozen=True)
class Config:
    """A run; training/configs/ has one for each purpose, with comments.

    checkpoint: the row that goes into depthlm.json. data: a folder of shards, or a list of
    {shards: folder} and {records: jsonl, kind: z} with weights. out: the run's folder.
    base: "fresh" (a new model of `shape`), a folder, a run's folder, or a hub id.
    """

    checkpoint: dict
    data: object
    out: str
    stages: list
    base: str = "fresh"
    shape: dict = field(default_factory=dict)
    processor: dict = field(default_factory=dict)  # changes to the base's preprocessor_config
    bad: str = "skip"  # what happens to a record that cannot be used: skip (counted) or refuse
    crop: dict = field(default_factory=dict)  # {width: [1000, 1400], height: [700, 1200]}
    vary: bool = False  # mirror, and change light, colours and sharpness
    loss_on: str = "answer"  # or all, as DepthLM trained
    loss_per: str = "answer"  # answers weigh alike and sum over their tokens; or token: the mean
    multi_turn: bool = False  # questions see earlier ones and their true answers
    batch: int = 32  # pictures a step, over all processes
    micro_batch: int = 0  # pictures at once on one device; 0: batch / processes
    workers: int = 1
    seed: int = 1
    optimizer: str = "adamw"  # or muon: for the matrices inside the blocks, see optimizers.py
    beta2: float = 0.95
    weight_decay: float = 0.05
    clip: float = 1.0
    spike: float = 100.0  # a gradient so many times its usual norm stops the run
    bf16: bool = True  # autocast; the weights that learn stay in float32
    activation_checkpointing: bool = False
    fsdp: dict = field(default_factory=dict)  # e.g. {layers: [Qwen2_5_VLDecoderLayer]}
    lora: dict = field(default_factory=dict)  # e.g. {rank: 64, alpha: 128}
    save_every: int = 500
    keep: int = 2  # complete checkpoints, the best one not counted
    log_every: int = 25
    heldout: dict = field(default_factory=dict)  # {scenes: 50, pixels: 8} or {records: jsonl}
    dtype: str = "float16"  # of the weights that are shipped

    def __post_init__(self):
        problems = [p for stage in self.stages for p in stage.problems()]
        for name, allowed in (
            ("loss_on", ("answer", "all")),
            ("loss_per", ("answer", "token")),
            ("bad", ("skip", "refuse")),
            ("optimizer", ("adamw", "muon")),
            ("dtype", ("float32", "bfloat16", "float16")),
        ):
            if getattr(self, name) not in allowed:
                problems.append(f"{name} is {getattr(self, name)!r}, allowed: {allowed}")
        if self.optimizer == "muon" and self.fsdp:
            problems.append("muon needs whole matrices, which fsdp cuts up: take adamw")
        if not self.stages:
            problems.append("there are no stages")
        if min(self.batch, self.save_every, self.keep, self.log_every) < 1:
            problems.append("batch, save_every, keep and log_every are at least 1")
        if problems:
            raise InputError("; ".join(problems))

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def row(self, model) -> Checkpoint:
        """The Checkpoint of a folder that this run writes or reads."""
        return Checkpoint(model=str(model), **self.checkpoint)

    def differs(self, earlier: dict) -> list:
        """Names of entries in which a run recorded as `earlier` learnt something else."""
        now = asdict(self)
        return [name for name in now if name not in FREE and now[name] != earlier.get(name)]


def read_config(path, **changes) -> Config:
    """The YAML as a Config; InputError names what does not belong. changes: instead of its own."""
    try:
        content = {**_content(Path(path)), **changes}
        stages = [Stage(**stage) for stage in content.pop("stages")]
        config = Config(stages=stages, **content)
        config.row("")
        return config
    except (TypeError, KeyError, OSError, DepthLMError, yaml.YAMLError) as error:
        raise InputError(f"{path} is no training config: {error}") from error


def _content(path) -> dict:
    content = yaml.safe_load(path.read_text())
    if "extends" not in content:
        return content
    return {**_content(path.parent / content.pop("extends")), **content}


def shortened(config: Config, steps: int, **changes) -> Config:
    """The config with every stage cut to `steps`: for tests and trials."""
    return replace(config, stages=[replace(s, steps=steps) for s in config.stages], **changes)


def names() -> tuple:
    """The entries that a config may have."""
    return tuple(f.name for f in fields(Config))
