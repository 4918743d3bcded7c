# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a training run is made of, checked all at once.

`read_config` reads it from YAML files (config_file.py) and reports every problem with its file and
key (ConfigError); what a base or a data set holds is not looked at here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator as Checked
from pydantic import BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from depthlm_ros.checkpoints import (
    DENSE,
    Checkpoint,
    Count,
    Natural,
    Rate,
    from_folder,
    of_questions,
    with_head,
    without_head,
)
from depthlm_ros.data.jsonl import pattern_of
from depthlm_ros.dense.spec import HeadSpec
from depthlm_ros.entries import bad_entries
from depthlm_ros.errors import DepthLMError
from training.config_file import ConfigError, read_entries

StyleName = Literal["marker", "coordinates", "position"]
Loss = Literal["text", "dense", "locate"]
LOSSES = get_args(Loss)
MAPS = "dense", "depth"  # losses that need no question

# Strict: a quoted number is text, and a whole number no switch.
Positive = Annotated[float, Strict(), Field(gt=0)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
AtLeast0 = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]
Text = Annotated[str, Field(min_length=1)]
NoneIfEmpty = BeforeValidator(lambda value: None if value == {} else value)

entries = partial(dataclass, frozen=True, config=ConfigDict(extra="forbid"))


@contextmanager
def _told_to_pydantic() -> Iterator[None]:
    """Errors of ours as ValueErrors, which pydantic collects with those of other entries."""
    try:
        yield
    except DepthLMError as error:
        raise ValueError(str(error)) from error


def _task_names(names: list) -> list:
    from depthlm_ros.tasks import TASKS

    if unknown := [name for name in names if name not in TASKS]:
        raise ValueError(f"{', '.join(unknown)} is unknown; allowed: {', '.join(TASKS)}")
    return names


def _one_arrow(ask: dict) -> dict:
    if ask.get("marker", 0) > 1:
        raise ValueError(
            f"marker is {ask['marker']:g}, allowed: 0 to 1, as an image has one arrow"
        )
    return ask


def _files(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise ValueError(f"{value!r} is no path; allowed: a path, a pattern, or a list of them")
    return value


def _rising(pair: tuple) -> tuple:
    if pair[0] > pair[1]:
        raise ValueError(f"{list(pair)} falls; allowed: [least, most]")
    return pair


Files = Annotated[Any, BeforeValidator(_files)]
Span = Annotated[tuple[Count, Count], Checked(_rising)]
Factors = Annotated[tuple[Positive, Positive], Checked(_rising)]


_FORMS = "curated", "shards", "records", "pairs"


@entries(kw_only=True)
class DataEntry:
    """One data set: shards, records or pairs, drawn by its weight against the others.

    curated: a folder that training.curate wrote, such as "curated/nuscenes/train".
    shards: a folder.
    records, pairs: jsonl files, kind: of the records that do not state their own.
    nearer: least and most of a factor: each draw shows a part of the image, enlarged by it to
        the size of the whole, and of 1 / factor of its z. For photographs of rooms, to show things
        nearer than a metre; exact for what faces the camera. Takes depth images. null: never.
    """

    curated: Text | None = None
    shards: Text | None = None
    records: Files | None = None
    pairs: Files | None = None
    kind: Literal["", "distance", "z"] = ""
    weight: Rate = 1.0
    nearer: Factors | None = None
    aspect: ClassVar[tuple[float, float] | None] = None  # see AskedEntry
    hidden: ClassVar[float] = 0.0  # see MapEntry
    swapped: ClassVar[float] = 0.0  # see MapEntry

    def __post_init__(self):
        given = [name for name in _FORMS if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given) or 'nothing'} given; allowed: one of curated: FOLDER,"
                " shards: FOLDER, records: FILE.jsonl and pairs: FILE.jsonl"
            )
        if self.kind and not self.records:
            raise ValueError(f"kind goes with records, not with {given[0]}")
        if self.nearer and self.nearer[0] < 1:
            raise ValueError(f"nearer begins at {self.nearer[0]:g}; allowed: 1 and more")

    @property
    def what(self) -> str:
        """ "curated", "shards", "records" or "pairs"."""
        return next(name for name in _FORMS if getattr(self, name))

    @property
    def place(self) -> Any:
        """The folder of shards or the files."""
        return pattern_of(self.curated) if self.curated else getattr(self, self.what)


@entries(kw_only=True)
class AskedEntry(DataEntry):
    """A data set that is asked about.

    aspect: least and most width over height of its views, which are drawn and squeezed or
        stretched so, and are not cropped; null: they stay as they are. DepthLM's way with
        Taskonomy, whose focal lengths are noisy (its release, getitem_Taskonomy).
    """

    aspect: Factors | None = None


@entries(kw_only=True)
class MapEntry(DataEntry):
    """A data set for a dense head.

    hidden: share of its draws in which the head sees the image alone and nothing of what the model
        makes of it, so that it learns to do without.
    swapped: share in which it sees what the model makes of another such image of the batch, so
        that it learns to do without wherever images look so. For those that the model knows by
        heart: of them it tells more than it will of any others.
    """

    hidden: Share = 0.0
    swapped: Share = 0.0

    def __post_init__(self):
        super().__post_init__()
        if self.hidden + self.swapped > 1:
            raise ValueError(
                f"hidden and swapped are shares of the same draws, together"
                f" {self.hidden + self.swapped:g}; allowed: at most 1"
            )


@entries(kw_only=True)
class Crop:
    """The middle of a view at a random size: least and most pixels at the unified focal length."""

    width: Span
    height: Span


@entries(kw_only=True)
class Lora:
    """Low-rank adapters. alpha: 2 x rank where none is given; targets: names of modules."""

    rank: Count
    alpha: Positive | None = None
    dropout: Share = 0.0
    targets: Any = None


@entries(kw_only=True)
class Fsdp:
    """Weights shared out over GPUs. layers: classes that are gathered one at a time."""

    layers: Annotated[list[Text], Field(min_length=1)]


@entries(kw_only=True)
class Shape:
    """A new model: text of `layers` blocks of `width`, vision of vision_layers (0: as many)."""

    width: Count = 160
    heads: Count = 5
    layers: Count = 4
    mlp: Count = 480
    vision_layers: Natural = 0


@entries(kw_only=True)
class Heldout:
    """What a run is measured on: rendered scenes, or `images` of records; pixels of each."""

    scenes: Count | None = None
    pixels: Count = 8
    records: Files | None = None
    kind: Literal["", "distance", "z"] = ""
    images: Count = 50

    def __post_init__(self):
        if self.scenes and self.records:
            raise ValueError("scenes and records given; allowed: one of them")


@entries(kw_only=True)
class Entry(Checkpoint):
    """The checkpoint entry that goes into depthlm.json, less the model's own place."""

    model: str = ""

    def __post_init__(self):
        with _told_to_pydantic():
            super().__post_init__()

    def of(self, model: str | Path, **changes) -> Checkpoint:
        """The Checkpoint of a folder or a hub id."""
        row = {field.name: getattr(self, field.name) for field in fields(Checkpoint)}
        return Checkpoint(**{**row, "model": str(model), **changes})


@entries
class Stage:
    """One stretch of training.

    ask: style -> questions per image; an image has one arrow at most, a fraction is a
    probability.
    weights: of the losses.
    tasks: names of depthlm_ros.tasks, mixed equally, one question an image, instead of ask; the
    data may then hold pairs too, and nothing is mirrored or recoloured.
    style: that tasks point with, "" for the checkpoint's own.
    images: only the first so many images of each data set, 0 for all.
    warmup, warmup_steps, final_lr: lr rises over the share `warmup` of the steps, at most
    warmup_steps, and falls as a cosine to the share final_lr of itself.
    """

    name: str
    steps: Count
    lr: Rate
    ask: Annotated[dict[StyleName, AtLeast0], Checked(_one_arrow)] = Field(default_factory=dict)
    weights: dict[Loss, AtLeast0] = Field(default_factory=lambda: dict.fromkeys(LOSSES, 1.0))
    tasks: Annotated[list[str], Checked(_task_names)] = Field(default_factory=list)
    style: Literal["", "marker", "coordinates", "position"] = ""
    images: Natural = 0
    warmup: Share = 0.1
    warmup_steps: Natural = 1_000_000
    final_lr: Share = 0.05

    reply: ClassVar[bool] = False  # see DenseStage

    def __post_init__(self):
        if self.tasks and (self.ask or self.images):
            raise ValueError("tasks come instead of ask, and of all images (images: 0)")
        asks = self.tasks or self.reply or any(self.ask.values())
        losses = ("text", "locate", *MAPS) if asks else MAPS
        if not any(self.weights.get(name) for name in losses):
            raise ValueError(
                "nothing is learnt: give ask (questions per image), or weights of"
                f" {' or '.join(losses)}"
            )

    def styles(self, own: str) -> list:
        """The styles that it asks in; own: the checkpoint's, for tasks that name none."""
        return [self.style or own] if self.tasks else list(self.ask)


def _listed(data: object) -> object:
    return [{"shards": str(data)}] if isinstance(data, (str, Path)) else data


@entries(kw_only=True)
class RunConfig:
    """What every run is made of.

    data: data sets, or the name of a folder of shards.
    out: the run's folder.
    base: "fresh" (a new model), a folder, another run's folder, or a hub id.
    batch: images a step, over all processes.
    micro_batch: at once on one device, 0 for all.
    bad: a record that cannot be used is skipped and counted ("skip"), or ends the run ("refuse").
    bad_share: of the records drawn; when more cannot be used the run ends.
    median_m: least and most metres that the median of a data set's labels may have.
    spike: a gradient so many times its usual norm is not taken; skip_steps: so many such steps
    of a run are passed over, then it ends.
    keep: complete checkpoints, the best one not counted.
    processor: changes to the base's preprocessor_config.json.
    dtype: of the weights that are shipped.
    """

    # What may differ between a run and its resumption without changing what is learnt.
    FREE: ClassVar[frozenset] = frozenset(
        [
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
            "skip_steps",
            "bad_share",
            "median_m",
            "dtype",
        ]
    )

    data: Annotated[list[DataEntry], BeforeValidator(_listed), Field(min_length=1)]
    out: Text
    base: Text
    batch: Count = 32
    micro_batch: Natural = 0
    seed: Natural = 1
    clip: Positive = 1.0
    spike: Positive = 100.0
    skip_steps: Natural = 3
    bad: Literal["skip", "refuse"] = "skip"
    bad_share: Share = 0.05
    median_m: Annotated[tuple[Positive, Positive], Checked(_rising)] = (0.05, 200.0)
    bf16: Switch = True
    activation_checkpointing: Switch = False
    save_every: Count = 500
    keep: Count = 2
    log_every: Count = 25
    heldout: Annotated[Heldout | None, NoneIfEmpty] = None
    processor: dict[str, Any] = Field(default_factory=dict)
    dtype: Literal["float32", "bfloat16", "float16"] = "float16"

    def differs(self, earlier: dict) -> list:
        """Names of entries in which a run recorded as `earlier` learnt something else."""
        try:
            before = vars(TypeAdapter(type(self)).validate_python(earlier))
        except ValidationError:
            before = earlier  # of another recipe or version: nothing agrees but what is equal
        names = (field.name for field in fields(self) if field.name not in self.FREE)
        return [name for name in names if getattr(self, name) != before.get(name)]


@entries(kw_only=True)
class SftConfig(RunConfig):
    """A run of training.sft; training/configs/ has one for each purpose, with comments.

    checkpoint: the checkpoint entry that goes into depthlm.json.
    shape: of a new model.
    crop: sizes that views are cut to.
    vary: mirror, and change light, colours and sharpness, see training/data/colours.py.
    zoom: half of the images are taken for larger or smaller views by a factor between these two,
        and what they show for as many times nearer.
    turned: share of the images that are turned by a quarter, a half or three quarters, as by a
        camera that is mounted so; tasks see none of them turned.
    loss_on: "all" trains the question's words too, as DepthLM did.
    loss_per: answers weigh alike and sum over their tokens ("answer"), or "token": the mean.
    multi_turn: questions see earlier ones and their true answers.
    optimizer: "muon" takes the matrices inside the blocks, see run/optimizers.py.
    bf16: autocast; the weights that learn stay in float32.
    """

    data: Annotated[list[AskedEntry], BeforeValidator(_listed), Field(min_length=1)]
    checkpoint: Entry
    stages: Annotated[list[Stage], Field(min_length=1)]
    base: Text = "fresh"
    shape: Shape = Field(default_factory=Shape)
    crop: Annotated[Crop | None, NoneIfEmpty] = None
    vary: Switch = False
    zoom: Factors | None = None
    turned: Share = 0.0
    loss_on: Literal["answer", "all"] = "answer"
    loss_per: Literal["answer", "token"] = "answer"
    multi_turn: Switch = False
    workers: Natural = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    beta2: Share = 0.95
    weight_decay: AtLeast0 = 0.05
    fsdp: Annotated[Fsdp | None, NoneIfEmpty] = None
    lora: Annotated[Lora | None, NoneIfEmpty] = None

    def __post_init__(self):
        if self.fsdp and self.optimizer == "muon":
            raise ValueError("muon needs whole matrices, which fsdp cuts up: take adamw")
        if self.fsdp and self.lora:
            raise ValueError("fsdp shares out weights of one type, and lora has two: take one")
        changed = [n for n in ("aspect", "nearer") if any(getattr(e, n) for e in self.data)]
        if changed and any(s.tasks for s in self.stages):
            raise ValueError(f"{changed[0]}: tasks are about views as they are, it goes with ask")
        known = self.checkpoint.styles if self.checkpoint else get_args(StyleName)
        if unknown := {style for stage in self.stages for style in stage.ask} - {*known}:
            raise ValueError(
                f"stages ask in style {', '.join(sorted(unknown))}, and checkpoint.wording has"
                f" {', '.join(self.checkpoint.wording)}"
            )

    @property
    def hides_turned(self) -> bool:
        """Whether a head sees nothing but the image where that is turned: the model's states of
        such images are wrong."""
        return False

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def styles(self) -> list:
        """The styles that some stage asks in."""
        return [style for stage in self.stages for style in stage.styles(self.checkpoint.style)]

    def entry(self, model: str | Path) -> Checkpoint:
        """The checkpoint entry of a folder that this run writes or reads."""
        return self.checkpoint.of(model)

    def method(self) -> list:
        """How it learns, in sentences for a model card."""
        stages = (
            f"{s.name}: {s.steps} steps at {s.lr:g}, asks {s.ask or s.tasks or 'nothing'}"
            for s in self.stages
        )
        return [f"{self.steps} steps of {self.batch} images.", f"Stages: {'; '.join(stages)}."]


@entries(kw_only=True)
class Head(HeadSpec):
    """The dense head, see depthlm_ros/dense/spec.py."""

    def __post_init__(self):
        with _told_to_pydantic():
            super().__post_init__()

    def spec(self) -> HeadSpec:
        """As it goes into depthlm.json."""
        return HeadSpec(**{field.name: getattr(self, field.name) for field in fields(HeadSpec)})


@entries(kw_only=True)
class DenseEntry(Entry):
    """The checkpoint entry beside a head, which may be all that it tells by."""

    @property
    def styles(self) -> tuple:
        """See Checkpoint."""
        return (*self.wording, DENSE)


@entries
class DenseStage(Stage):
    """One stretch of training a dense head.

    ask: questions per image beside the map, which keep what the model can say.
    weights: of the map's loss and of the words'.
    reply: also learn to reply to the head's prompt in its words.
    """

    weights: dict[Literal["depth", "text"], AtLeast0] = Field(
        default_factory=lambda: {"depth": 1.0, "text": 1.0}
    )
    reply: Switch = False

    def __post_init__(self):
        super().__post_init__()
        if self.tasks:
            raise ValueError("tasks know no map: ask beside a dense head")


@entries(kw_only=True)
class DenseConfig(SftConfig):
    """A run of training.dense; training/configs/*dense*.yaml and depthvlm_*.yaml explain it.

    checkpoint: the checkpoint entry, none to keep the base's.
    head: what is trained; a base's head of the same shape is gone on from.
    learns: the "head" alone (stage 1 of DepthVLM; what the model says stays as it is, to the bit),
    the "language" model with it (stage 2; the vision part is frozen), or "all".
    depth_loss: "log_l1", or DepthVLM's "silog"; gradient: weight of the error's differences
    between neighbours, which keeps edges, see depth_loss.py.
    doubt: weight of the loss of the head's log scale, where it has one.
    kept_views: so many views are drawn, looked at once, and learnt from again and again, which
    suits a head that learns alone; 0: every view is another.
    encoder_lr: of a head's image encoder, as a share of the others' rate.
    """

    data: Annotated[list[MapEntry], BeforeValidator(_listed), Field(min_length=1)]
    checkpoint: DenseEntry | None = None
    base: Text
    head: Head
    learns: Literal["head", "language", "all"] = "head"
    depth_loss: Literal["log_l1", "silog"] = "log_l1"
    gradient: AtLeast0 = 0.5
    doubt: AtLeast0 = 0.2
    kept_views: Natural = 0
    encoder_lr: Share = 0.3
    stages: Annotated[list[DenseStage], Field(min_length=1)]

    def __post_init__(self):
        super().__post_init__()
        asks = any(stage.ask or stage.reply for stage in self.stages)
        if self.learns == "head" and (asks or self.lora):
            raise ValueError("the head alone learns no words: take learns: language for them")
        if self.kept_views and (self.learns != "head" or len(self.stages) > 1):
            raise ValueError("kept_views suit one stage in which the head alone learns")
        if self.head.type == "encoder" and self.optimizer == "muon":
            raise ValueError("muon has one rate, and an encoder learns at encoder_lr: take adamw")
        if self.head.type != "encoder" and any(one.hidden or one.swapped for one in self.data):
            raise ValueError(
                "hidden, swapped: a head of another type than encoder would see hardly anything"
            )
        if self.base == "fresh" and not self.checkpoint:
            raise ValueError("a new model has no entry of its own: give checkpoint too")
        if any(stage.reply for stage in self.stages) and not self.head.prompt:
            raise ValueError("reply: the head has no prompt that could be replied to")

    @property
    def hides_turned(self) -> bool:
        """See SftConfig; where the head has an encoder and the model does not learn beside it."""
        return self.head.type == "encoder" and self.learns == "head"

    def styles(self) -> list:
        """The styles that some stage asks in, and the head's."""
        return [style for stage in self.stages for style in stage.ask] + [DENSE]

    def entry(self, model: str | Path) -> Checkpoint:
        """The checkpoint entry of a folder that this run writes or reads, the head included.

        Intervals of a base hold on where its words stay as they are.
        """
        if self.checkpoint:
            return self.checkpoint.of(model, head=self.head.spec(), grid_style=DENSE)
        from training.run.base import find_base

        found = from_folder(find_base(self.base))
        kept = of_questions(found.calibration) if self.learns == "head" else {}
        return with_head(replace(found, model=str(model), calibration=kept), self.head.spec())

    def method(self) -> list:
        """How it learns, in sentences for a model card."""
        learns = {"head": "The dense head alone learns", "all": "Everything learns"}
        who = learns.get(self.learns, "The dense head and the language model learn")
        loss = f"{who}, by {self.depth_loss} of each image's map"
        loss += (
            f" and {self.gradient:g} x differences between neighbours." if self.gradient else "."
        )
        return [*super().method(), loss]


@entries(kw_only=True)
class GrpoConfig(RunConfig):
    """A run of training.grpo; training/configs/grpo_*.yaml explain the entries.

    base: a checkpoint that answers already.
    style: "" for the base's own.
    tasks: names, mixed equally.
    rewards: name -> weight, see rl/rewards.py.
    group: replies to each question; micro_batch counts replies here.
    longest: tokens of a reply.
    """

    steps: Count
    lr: Rate = 1.0e-5
    style: Literal["", "marker", "coordinates", "position"] = ""
    tasks: Annotated[list[str], Field(min_length=1), Checked(_task_names)] = Field(
        default_factory=lambda: ["distance"]
    )
    rewards: Annotated[
        dict[Literal["delta1", "abs_rel", "l1", "l2", "format"], Annotated[float, Strict()]],
        Field(min_length=1),
    ] = Field(default_factory=lambda: {"delta1": 1.0, "format": 1.0})
    group: Annotated[int, Strict(), Field(ge=2)] = 8
    longest: Count = 64
    temperature: Positive = 1.0
    save_every: Count = 100
    log_every: Count = 10

    def entry(self, model: str | Path) -> Checkpoint:
        """The checkpoint entry of a folder that this run writes: its base's, whose intervals and
        dense head held for the base alone; it asks, also where its base reads from the map."""
        from training.run.base import find_base

        found = from_folder(find_base(self.base))
        return without_head(replace(found, model=str(model), calibration={}))

    def method(self) -> list:
        """How it learns, in sentences for a model card."""
        rewards = ", ".join(f"{name} x {weight:g}" for name, weight in self.rewards.items())
        return [
            f"GRPO at a learning rate of {self.lr:g}.",
            f"{self.steps} steps of {self.batch} images with {self.group} replies each.",
            f"Tasks: {', '.join(self.tasks)}. Rewards: {rewards}.",
        ]


def read_config(path: str | Path, kind: type = SftConfig, **changes) -> Any:
    """The YAML file as a `kind`; changes: entries instead of its own. Raises ConfigError."""
    content, files = read_entries(Path(path))
    files |= dict.fromkeys(changes, "command line")
    try:
        return TypeAdapter(kind).validate_python({**content, **changes})
    except ValidationError as error:
        raise ConfigError(bad_entries(kind, error, str(path), files)) from error


def config_kind(path: str | Path) -> type:
    """DenseConfig of a YAML file that describes a dense head, by itself or by what it extends;
    else SftConfig. Raises ConfigError where it cannot be read."""
    return DenseConfig if "head" in read_entries(Path(path))[0] else SftConfig
