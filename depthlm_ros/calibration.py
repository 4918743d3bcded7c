# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Calibration: what widens a model's interval until it holds what it promises, and the width from
which on nothing is known.

Conformalised quantile regression (Romano et al. 2019) on log metres: one number c is added on
both sides of [log lower, log upper]; a negative one shrinks. evaluation/fit.py finds both.
"""

from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AliasChoices, ConfigDict, Field

from depthlm_ros.errors import InputError

LEVEL = 0.9  # lower and upper are the 5 % and the 95 % quantile
# Files of earlier versions say "pictures".
Images = Annotated[int, Field(validation_alias=AliasChoices("images", "pictures"))]


@dataclass(frozen=True)
class Calibration:
    """The fitted numbers of one way to ask, and where they come from. Raises InputError.

    widening: c in log metres.
    interval: 95 % of c, by bootstrap over scenes.
    level: share of the truth that shall lie inside.
    kind: of the metres, "distance" | "z".
    points, images: that c was fitted on.
    data: [{"name", "sha256"}] of their records files.
    unknown_ratio: upper / lower from which on the best constant is right more often; None where
        no such width was found.
    unknown_data: [{"name", "sha256"}] of the records files beside `data` that it was found on.
    Raises InputError for what cannot be.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    widening: float
    interval: tuple[float, ...] = ()
    level: float = LEVEL
    kind: str = "distance"
    points: int = 0
    images: Images = 0
    data: list[dict[str, str]] = field(default_factory=list)
    unknown_ratio: float | None = None
    unknown_data: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", tuple(self.interval))
        if not isinstance(self.widening, (int, float)) or not isfinite(self.widening):
            raise InputError(f"calibration: widening is {self.widening!r}, it must be a number")
        if self.level != LEVEL:
            raise InputError(f"calibration: level is {self.level}, allowed: {LEVEL}")
        if self.kind not in ("distance", "z"):
            raise InputError(f"calibration: kind is {self.kind!r}, allowed: distance, z")
        if self.unknown_ratio is not None and not self.unknown_ratio > 1:
            raise InputError(
                f"calibration: unknown_ratio is {self.unknown_ratio!r}, allowed: above 1, or null"
            )

    def widened(self, lower_m: ArrayLike, upper_m: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper) as arrays, c wider on both sides; where c is negative they meet at
        most in their geometric mean."""
        lower, upper = np.asarray(lower_m, np.float64), np.asarray(upper_m, np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            # exp(c); fmax: 0 / 0 is no width.
            factor = np.fmax(np.exp(self.widening), np.sqrt(lower / upper))
        return lower / factor, upper * factor
