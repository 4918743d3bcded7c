# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Checkpoint: what a model was trained for and how it must be asked, one entry each.

A folder carries its own entry in depthlm.json, written by the trainer and read by everyone; the
published models have theirs here.
"""

import json
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf, sqrt
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError

from depthlm_ros.calibration import Calibration
from depthlm_ros.camera import Camera
from depthlm_ros.data.files import sha256
from depthlm_ros.data.whole import becoming
from depthlm_ros.dense.spec import HeadSpec, Tap
from depthlm_ros.entries import bad_entries
from depthlm_ros.errors import CheckpointError, UnsupportedError
from depthlm_ros.question import STYLES, WORDINGS, PointingStyle
from depthlm_ros.view import AXES, TRAINED_VIEW, Frame, View, unify_focal

Kept = TypeVar("Kept")
ROW_FILE = "depthlm.json"
AVERAGES = ("mirror",)  # see predict.load_predictor
OVER = "+"  # between a style and its average in the key of a calibration
DENSE = "dense"  # the style in which a head tells every pixel and nothing is asked
HEAD_PREFIX = "depth_head."  # of the names of its weights, as DepthVLM published them
# Styles of questions in the order in which one takes the place of a style that cannot be had. For
# few pixels: as published, and any task can be asked in it, in position style not all; for grids:
# the cheapest.
FOR_FEW = ("marker", "coordinates", "position")
FOR_GRIDS = ("position", "coordinates", "marker")
TINY = Path(__file__).parent / "checkpoint_tiny"

# Numbers of a file; a quoted one is text.
Count = Annotated[int, Strict(), Field(ge=1)]
Natural = Annotated[int, Strict(), Field(ge=0)]
Rate = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Checkpoint:
    """How a model was trained and must be asked. Raises CheckpointError with every problem.

    name: what the user types.
    model: a folder or a hub id.
    architecture: model_type of its config.
    focal_px: unified focal length, in pixels.
    style, grid_style: how it is asked about few pixels, and about grids.
    wording: style -> a key of question.WORDINGS[style]; its keys are the styles it speaks.
    kind: what its metres mean, "distance" (along the ray) or "z" (along the optical axis).
    axes: see view.unify_focal.
    coordinate_range: upper end of the coordinates in coordinates style.
    marker_scale: pixels of the view per cell of the arrow in marker style.
    decimals, integer_digits: the grammar of its numbers.
    report: what it answers, "greedy" digits or the "median" of their distribution.
    system: the system prompt, None for the chat template's own.
    largest_view: (width, height) beyond which a view is cut into windows.
    average: style -> over what its answers are averaged, one of AVERAGES; absent: over nothing.
    calibration: calibration_key() -> Calibration of the intervals of a style as it is averaged.
    head: the dense head beside the model, which makes "dense" one of its styles; None: none.
    licence, note: for `depthlm checkpoints`.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    name: str
    model: str
    architecture: str
    focal_px: Rate
    style: str
    grid_style: str
    wording: dict[str, str]
    kind: str = "distance"
    axes: str = "fx"
    coordinate_range: Count = 2000
    marker_scale: Count = 1
    decimals: Natural = 2
    integer_digits: Count = 3
    report: str = "greedy"
    system: str | None = None
    largest_view: tuple[Count, Count] = TRAINED_VIEW
    average: dict[str, str] = field(default_factory=dict)
    calibration: dict[str, Calibration] = field(default_factory=dict)
    head: HeadSpec | None = None
    licence: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise CheckpointError(f"checkpoint '{self.name}': " + "; ".join(problems))

    def _problems(self) -> Iterator[str]:
        for name, value, allowed in (
            ("kind", self.kind, ("distance", "z")),
            ("axes", self.axes, AXES),
            ("report", self.report, ("greedy", "median")),
            ("style", self.style, self.styles),
            ("grid_style", self.grid_style, self.styles),
        ):
            if value not in allowed:
                yield f"{name} is {value!r}, allowed: {', '.join(allowed)}"
        for style, wording in self.wording.items():
            if wording not in WORDINGS.get(style, {}):
                yield f"wording {wording!r} of style {style!r} is unknown"
        for style, average in self.average.items():
            if style not in self.styles or average not in AVERAGES:
                yield (
                    f"average of style {style!r} is {average!r}, allowed:"
                    f" {' or '.join(AVERAGES)} of {', '.join(self.styles)}"
                )
        for key, found in self.calibration.items():
            style = key.partition(OVER)[0]
            if style not in self.styles or key not in (style, *_averaged(style)):
                styles, averages = ", ".join(self.styles), ", ".join(_averaged(""))
                yield f"calibration is of {key!r}, allowed: {styles}, each plain or {averages}"
            elif found.kind != self.kind_of(style):
                yield f"calibration of {key!r} is for kind {found.kind!r}"
        if not self.focal_px > 0:
            yield f"focal_px is {self.focal_px}, it must be positive"

    @property
    def styles(self) -> tuple[str, ...]:
        """The names of all styles that it can be asked in."""
        return (*self.wording, *([DENSE] if self.head else []))

    def spoken(self, lacking: Collection[str] = ()) -> list[str]:
        """The styles of questions but those in `lacking`, the cheapest first."""
        return [style for style in FOR_GRIDS if style in self.wording and style not in lacking]

    def speaking(self, lacking: Collection[str] = (DENSE,)) -> "Checkpoint":
        """The entry with styles of questions in place of its own that are in `lacking`; as it is
        where it has no others."""
        left = self.spoken(lacking)
        if not left:
            return self
        few = next(style for style in FOR_FEW if style in left)
        return replace(
            self,
            style=few if self.style in lacking else self.style,
            grid_style=left[0] if self.grid_style in lacking else self.grid_style,
        )

    def kind_of(self, style: str = "") -> str:
        """What metres in this style mean, see kind; a dense head has a kind of its own."""
        return self.head.kind if self.head and (style or self.style) == DENSE else self.kind

    def view(self, frame: Frame) -> View:
        """The frame at the focal length that the model was trained with, see view.unify_focal."""
        return unify_focal(frame, self.focal_px, self.axes)

    def asker(self, style: str = "") -> PointingStyle:
        """The Style object for `style`, by default the one for few pixels.

        Raises CheckpointError for a style that it does not have, and UnsupportedError for dense,
        in which nothing is asked.
        """
        name = style or self.style
        if name not in self.styles:
            raise CheckpointError(
                f"checkpoint '{self.name}' cannot be asked in style '{name}', allowed:"
                f" {', '.join(self.styles)}"
            )
        if name == DENSE:
            spoken = ", ".join(self.wording) or "none, it is asked nothing"
            raise UnsupportedError(
                f"in style dense checkpoint '{self.name}' is not asked about a pixel: its head"
                " tells all of them from hidden states, which engine 'local' alone has; styles of"
                f" questions: {spoken}"
            )
        special: dict[str, dict[str, Any]] = {
            "marker": {"scale": self.marker_scale},
            "coordinates": {"range": self.coordinate_range},
        }
        return STYLES[name](wording=self.wording[name], **special.get(name, {}))

    def average_of(self, style: str = "") -> str:
        """Over what answers in this style are averaged, one of AVERAGES, or ""."""
        return self.average.get(style or self.style, "")

    def calibration_key(self, style: str = "") -> str:
        """Whose calibration holds for this style as it is averaged now: "dense", "dense+mirror".
        An interval that was calibrated for another way is not right with this one."""
        average = self.average_of(style)
        return (style or self.style) + (OVER + average if average else "")

    def calibration_of(self, style: str = "") -> Calibration | None:
        """The calibration that holds for this style, None where there is none."""
        return self.calibration.get(self.calibration_key(style))

    def is_calibrated(self, style: str = "") -> bool:
        """Whether the interval of this style is calibrated."""
        return self.calibration_of(style) is not None

    def unknown_ratio(self, style: str = "") -> float:
        """upper / lower from which on an answer in this style is uncertain; inf: never."""
        found = self.calibration_of(style)
        return (found.unknown_ratio if found else None) or inf

    def warnings(self, camera: Camera) -> list[str]:
        """What makes answers about this camera's images doubtful, a sentence each."""
        found = camera.warnings()
        if self.axes == "fx" and not camera.has_square_pixels:
            found.append(
                f"the pixels are not square (fx = {camera.fx:g}, fy = {camera.fy:g}) and"
                f" '{self.name}' was evaluated with fx alone: expect distances off by a factor of"
                f" about {sqrt(camera.fx / camera.fy):.2f}; axes: both brings each axis to the"
                " focal length by itself"
            )
        return found

    def write(self, folder: str | Path) -> None:
        """Write the entry into the folder of its weights; the old one stays until it is whole."""
        entry = {k: v for k, v in asdict(self).items() if k != "model"}
        with becoming(Path(folder, ROW_FILE)) as part:
            part.write_text(json.dumps(entry, indent=2) + "\n")


def _averaged(style: str) -> list[str]:
    return [style + OVER + average for average in AVERAGES]


# Pixtral counts the places of an image in rows of 64 patches of 16 px. transformers 4.51, with
# which the release was evaluated, lets columns from the 65th on run into the next row; later
# versions do not. Up to 1024 px both agree, so its views are never wider.
PIXTRAL_VIEW = (1024, 1024)
# VLM3 (its README) and DepthVLM (its loaders) learnt from whole images and are evaluated on whole
# ones; TRAINED_VIEW is DepthLM's, which crops. At 1000 px the widest of their sets are images of
# nuScenes's rear camera, about 1980 x 1110, and the highest those of ETH3D, about 1820 x 1210.
WHOLE_VIEW = (2048, 1280)


def _published(
    name: str,
    architecture: str,
    focal_px: float,
    style: str,
    note: str,
    largest_view: tuple[int, int] = TRAINED_VIEW,
) -> Checkpoint:
    return Checkpoint(
        name=name,
        model=name,
        architecture=architecture,
        focal_px=focal_px,
        style=style,
        grid_style=style,
        wording={style: "tags"},
        largest_view=largest_view,
        licence="FAIR Noncommercial Research License",
        note=note,
    )


# DepthVLM (arXiv 2605.15876): nothing is asked about a pixel, the head tells a map of z. Words and
# numbers are those of the released code.
DEPTHVLM = Checkpoint(
    name="JonnyYu828/DepthVLM-4B",
    model="JonnyYu828/DepthVLM-4B",
    architecture="qwen3_vl",
    focal_px=1000.0,
    style=DENSE,
    grid_style=DENSE,
    wording={},
    kind="z",
    system="You are a helpful assistant.",
    head=HeadSpec(
        type="dpt",
        taps=(*(Tap("deepstack", number) for number in range(3)), Tap("text", -1)),
        widths=(256, 512, 1024, 1024, 256),
        output="metres",
        kind="z",
        prompt="Given this image, estimate the metric depth (in meters, rounded to two decimal"
        " places) for every pixel of the image.",
        reply="OK, I will estimate the depth map of this image.",
        align_corners=True,
    ),
    largest_view=WHOLE_VIEW,
    licence="see its model card",
    note="DepthVLM, Qwen3-VL 4B with a dense head",
)

PUBLISHED = {
    entry.name: entry
    for entry in (
        _published(
            "facebook/DepthLM",
            "llava",
            750.0,
            "marker",
            "DepthLM, Pixtral 12B; gated; cut at 1024 px, where its positions end",
            PIXTRAL_VIEW,
        ),
        _published(
            "facebook/DepthLM-3B", "qwen2_5_vl", 1000.0, "marker", "announced, not yet released"
        ),
        _published(
            "facebook/DepthLM-7B", "qwen2_5_vl", 1000.0, "marker", "announced, not yet released"
        ),
        _published(
            "facebook/VLM3-depth",
            "qwen3_vl",
            1000.0,
            "coordinates",
            "VLM3, Qwen3-VL 4B",
            WHOLE_VIEW,
        ),
        DEPTHVLM,
    )
}


_ENTRY = TypeAdapter(Checkpoint)


def with_head(checkpoint: Checkpoint, head: HeadSpec) -> Checkpoint:
    """The entry of the same model with a dense head beside it, which grids are then read from."""
    return replace(checkpoint, head=head, grid_style=DENSE)


def without_head(checkpoint: Checkpoint) -> Checkpoint:
    """The entry of the same model without its dense head: what was read from maps is asked."""
    average, calibration = of_questions(checkpoint.average), of_questions(checkpoint.calibration)
    asking = checkpoint.speaking()
    return replace(asking, head=None, average=average, calibration=calibration)


def of_questions(kept: Mapping[str, Kept]) -> dict[str, Kept]:
    """What is kept by style, plain or averaged, without what is of a dense head."""
    return {key: one for key, one in kept.items() if key.partition(OVER)[0] != DENSE}


def find_checkpoint(name: str, entry: str = "", weights: bool = True) -> Checkpoint:
    """The entry of "tiny", a folder, or a published name.

    entry: the name of a published entry to use for a folder that has none of its own; "" for none.
    weights: whether a folder must hold them; not where another machine has them.

    Raises CheckpointError that says what is missing and what to do, also for an entry that is not
    known or would not be used.
    """
    if entry and entry not in PUBLISHED:
        raise CheckpointError(f"entry '{entry}' is not known; known: {', '.join(PUBLISHED)}")
    found = _found(name, entry, weights)
    if entry not in ("", found.name):
        raise CheckpointError(
            f"checkpoint '{name}' has an entry of its own ({found.name}), and '{entry}' would not"
            " be used: leave --entry, in the node the parameter row, out"
        )
    return found


def _found(name: str, entry: str, weights: bool) -> Checkpoint:
    if name == "tiny":
        return from_folder(TINY)
    if name and Path(name).expanduser().is_dir():
        return from_folder(Path(name).expanduser(), entry, weights)
    if name in PUBLISHED:
        return PUBLISHED[name]
    raise CheckpointError(
        f"checkpoint '{name}' is neither a folder nor known by name; known:"
        f" tiny, {', '.join(PUBLISHED)}"
    )


def from_folder(folder: str | Path, entry: str = "", weights: bool = True) -> Checkpoint:
    """The entry in a checkpoint folder, once the folder is found to be complete."""
    folder = Path(folder)
    check_folder(folder, weights)
    if not (folder / ROW_FILE).exists() and entry in PUBLISHED:
        return replace(PUBLISHED[entry], model=str(folder))
    return _read_entry(folder)


def _read_entry(folder: Path) -> Checkpoint:
    path = folder / ROW_FILE
    if not path.exists():
        raise CheckpointError(
            f"{folder} has no {ROW_FILE}, so it is unknown how it was trained: name the entry of"
            f" a published model ({', '.join(PUBLISHED)}) or write the file"
        )
    try:
        content = json.loads(path.read_text())
        return _ENTRY.validate_python({**content, "model": str(folder)})
    except ValidationError as error:
        found = bad_entries(Checkpoint, error, str(path))
        raise CheckpointError("; ".join(map(str, found))) from error
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def check_folder(folder: str | Path, weights: bool = True) -> None:
    """Raise CheckpointError unless the folder holds a complete model in safetensors; without
    `weights` unless it holds what describes one."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"the checkpoint folder {folder} does not exist")
    if not (folder / "config.json").exists():
        inside = folder / "checkpoint"  # of the folder of a run of training
        hint = f"; {inside} is one" if (inside / "config.json").exists() else ""
        raise CheckpointError(
            f"{folder} has no config.json: it is not a (complete) checkpoint{hint}"
        )
    if not weights:
        return
    files = sorted(folder.glob("*.safetensors"))
    if not files and any(folder.glob("*.bin")):
        raise CheckpointError(
            f"{folder} holds pickle weights (*.bin), which can run code when loaded and are"
            " refused: convert them to safetensors"
        )
    missing = _shards(folder) - {file.name for file in files}
    if missing or not files:
        raise CheckpointError(
            f"{folder} is incomplete: {', '.join(sorted(missing)) or '*.safetensors'} missing"
        )
    for path in files:
        _check_length(path)


def weights_sha256(folder: str | Path) -> dict[str, str]:
    """name -> SHA-256 of each file of weights in a checkpoint folder; empty for a hub id."""
    return {path.name: sha256(path) for path in sorted(Path(folder).glob("*.safetensors"))}


def _shards(folder: Path) -> set[str]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return set()
    try:
        return set(json.loads(index.read_text())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} cannot be read: copy it again") from error


def _check_length(path: Path) -> None:
    """Raise CheckpointError unless a safetensors file is as long as its header says."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        ends = [t["data_offsets"][1] for n, t in header.items() if n != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, struct.error, MemoryError, OverflowError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: copy it again") from error
    if path.stat().st_size != expected:
        raise CheckpointError(
            f"{path} has {path.stat().st_size} bytes and should have {expected}: copy it again"
        )
