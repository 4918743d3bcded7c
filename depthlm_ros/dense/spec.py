# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""HeadSpec: what a dense head is made of, as it stands in depthlm.json under "head". No torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from depthlm_ros.errors import CheckpointError

SOURCES = ("deepstack", "vision", "text")
WIDTHS = {"dpt": 5, "mlp": 1, "light": 3, "encoder": 4}  # how many widths each type has


@dataclass(frozen=True)
class Tap:
    """Where in the model a feature map is taken.

    source: "deepstack", behind one of the DeepStack mergers (Qwen3-VL), a vector an image token;
        "vision", behind a layer of the vision part, a vector a patch; "text", behind a layer of
        the language model, at its image tokens.
    layer: which of them, the first is 0; of "text" -1 is behind the final norm.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    source: str
    layer: int


@dataclass(frozen=True)
class HeadSpec:
    """A dense head. Raises CheckpointError with every problem.

    type: "dpt" or "mlp", the heads of DepthVLM (arXiv 2605.15876); "light", ours; or "encoder",
        ours with an image encoder of its own that has learnt from photographs before.
    taps: the feature maps that it takes, in order. dpt takes four, the finest of its pyramid
        first; mlp takes one, or more of one width that it joins.
    widths: channels. dpt: of the four levels, finest first, and of the fusion. mlp: of the hidden
        layer. light: at 1/16, 1/8 and 1/4 of the image. encoder: at 1/32, 1/16, 1/8 and 1/4.
    output: "metres" (softplus) or "log" (the logarithm of metres).
    kind: of these metres, "distance" (along the ray) or "z" (along the optical axis).
    uncertainty: whether it gives, beside each value, the log of the scale of a Laplace
        distribution of log metres.
    upsampling: of light and encoder, from 1/4 to the image: "convex" (each pixel a blend of the
        nine values around, with learnt weights) or "bilinear".
    colours: of light, whether it gets the image beside the features.
    join: of mlp, how maps are joined: "concat" or "sum".
    cell: of mlp, pixels along each side of what one vector gives.
    prompt, reply: the words by which the model was trained to be asked for a map, and what it says
        then. Nothing of the map depends on them: it is read at tokens that come before.
    align_corners: of dpt, whether resizing puts the middles of the first and last cells onto each
        other, as the published weights were trained, instead of half pixels.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    type: str
    taps: tuple[Tap, ...]
    widths: tuple[int, ...]
    output: str = "log"
    kind: str = "distance"
    uncertainty: bool = False
    upsampling: str = "convex"
    colours: bool = True
    join: str = "concat"
    cell: int = 32
    prompt: str = ""
    reply: str = ""
    align_corners: bool = False

    def __post_init__(self) -> None:
        try:  # as they stand in a file
            taps = tuple(tap if isinstance(tap, Tap) else Tap(**tap) for tap in self.taps)
            object.__setattr__(self, "taps", taps)
            object.__setattr__(self, "widths", tuple(self.widths))
        except TypeError as error:
            raise CheckpointError(f"head: taps or widths cannot be read: {error}") from error
        problems = list(self._problems())
        if problems:
            raise CheckpointError("head: " + "; ".join(problems))

    def _problems(self) -> Iterator[str]:
        for name, value, allowed in (
            ("type", self.type, tuple(WIDTHS)),
            ("output", self.output, ("metres", "log")),
            ("kind", self.kind, ("distance", "z")),
            ("upsampling", self.upsampling, ("convex", "bilinear")),
            ("join", self.join, ("concat", "sum")),
        ):
            if value not in allowed:
                yield f"{name} is {value!r}, allowed: {', '.join(allowed)}"
        for tap in self.taps:
            lowest = -1 if tap.source == "text" else 0
            if tap.source not in SOURCES:
                yield f"the source of a tap is {tap.source!r}, allowed: {', '.join(SOURCES)}"
            elif type(tap.layer) is not int or tap.layer < lowest:
                yield f"a {tap.source} tap is at layer {tap.layer!r}, allowed: {lowest} and up"
        wanted = 4 if self.type == "dpt" else len(self.taps) or 1
        if len(self.taps) != wanted:
            yield f"{self.type} takes {wanted} taps or more, got {len(self.taps)}"
        whole = all(type(width) is int and width > 0 for width in self.widths)
        if not whole or len(self.widths) != WIDTHS.get(self.type, len(self.widths)):
            yield f"widths of {self.type} are {WIDTHS.get(self.type)} numbers, got {self.widths}"
        if type(self.cell) is not int or self.cell < 1:
            yield f"cell is {self.cell!r}, it must be at least 1"
        if self.type in ("light", "encoder") and self.output != "log":
            yield f"output of {self.type} is 'log' alone"
