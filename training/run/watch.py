# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Held-out delta1 of a checkpoint folder while it is still being trained.

Asks through the real Predictor, as the node will.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from depthlm_ros.errors import OutOfMemory
from depthlm_ros.predict import load_predictor
from training.data.sources import held_out
from training.heldout import measured, questions

FIRST = 500_000  # scenes apart from those that a finished checkpoint is measured and fitted on


class HeldOut:
    """config: a Heldout or None; styles: to be asked in."""

    def __init__(self, config, styles: list):
        self._config = config
        self._styles = sorted(set(styles))

    def measure(self, folder: Path) -> dict:
        """{"delta1": the mean over the styles that are trained, "styles": each one's,
        "best_constant": of the best constant answer}; empty where nothing is held out, or where
        there is no room for the folder's model beside the one that learns."""
        if not self._config or not self._styles:
            return {}
        try:
            return self._measured(folder)
        except OutOfMemory as error:
            print(f"not measured on what is held out: {error}", flush=True)
            return {}

    def _measured(self, folder) -> dict:
        """See measure(). The random numbers of training go on as if nothing had been drawn: of
        the processor and of this process's own GPU, since looking at the others' fills them."""
        own = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(own):
            predictor = load_predictor(str(folder), warm_up=False)
            rows = [measured(predictor, style, self._asked) for style in self._styles]
            predictor.close()
        each = {row["style"]: row["delta1"] for row in rows}
        mean = float(np.mean(list(each.values())))
        constant = rows[0]["best_constant_delta1"]
        return {"delta1": mean, "styles": each, "best_constant": constant}

    @cached_property
    def _asked(self) -> list:
        """[(frame, pixels (N, 2), metres along the ray (N,))], drawn once."""
        config = self._config
        if not config.records:
            return list(questions(config.scenes or 50, config.pixels, first=FIRST))
        return list(held_out(config))
