# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Held-out delta1 of a checkpoint folder while it is still being trained.

Asks through the real Predictor, as the node will. Knows nothing about how a model learns.
"""

from functools import cached_property

import numpy as np
import torch

from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError, OutOfMemory
from depthlm_ros.predict import load_predictor
from training.heldout import measured, questions

FIRST = 500_000  # scenes apart from those that a finished checkpoint is measured and fitted on


class HeldOut:
    """entries: {"scenes", "pixels"} rendered ones, or {"records", "kind", "pictures"}; styles: to
    be asked in."""

    def __init__(self, entries, styles):
        unknown = set(entries) - {"scenes", "pixels", "records", "kind", "pictures"}
        if unknown:
            raise InputError(f"heldout has unknown entries: {', '.join(sorted(unknown))}")
        self._entries = entries
        self._styles = sorted(set(styles))

    def measure(self, folder) -> dict:
        """{"delta1": the mean over the styles that are trained, "styles": each one's,
        "best_constant": of the best constant answer}; empty where nothing is held out, or where
        there is no room for the folder's model beside the one that learns."""
        if not self._entries or not self._styles:
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
        if "records" not in self._entries:
            scenes = self._entries.get("scenes", 50), self._entries.get("pixels", 8)
            return list(questions(*scenes, first=FIRST))
        records = Records(self._entries["records"], self._entries.get("kind", ""))
        count = min(self._entries.get("pictures", 50), len(records))
        chosen = np.linspace(0, len(records) - 1, count).astype(int)
        return [_question(records[int(i)], self._entries.get("pixels", 8)) for i in chosen]


def _question(record, pixels):
    metres = record.label_m
    if record.stated_kind() == "z":
        metres = record.camera.distance_from_z(record.pixels, metres)
    return record.frame(), record.pixels[:pixels], metres[:pixels]
