# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rows -> a batch for a dense head: beside the words the image's colours and the true map."""

import numpy as np
import torch

from depthlm_ros.data.records import map_pixels
from training.data.collate import Collator


class MapCollator(Collator):
    """As a Collator; adds colours [(1, 3, H, W) RGB in [0, 1]] as the model sees them, depth
    [(h, w) log metres of the head's kind, NaN unknown] of each view's pixels, and shown [str]: see
    Row."""

    def batch(self, rows, images) -> dict:
        """See Collator."""
        found = super().batch(rows, images)
        found["colours"] = [self.vision.colours(one) for one, *_ in images]
        kind = self.parts.checkpoint.head.kind
        found["shown"] = [row.shown for row in rows]
        found["depth"] = [torch.from_numpy(log_map(row, kind)) for row in rows]
        return found


def log_map(row, kind) -> np.ndarray:
    """(h, w) float32 log metres of a kind at the pixels of a row's view, NaN where unknown."""
    camera = row.view.camera
    shape = camera.height, camera.width
    pixels = map_pixels(shape, camera)
    metres = row.example.metres(row.view, pixels)
    if kind == "z":
        metres = camera.z_from_distance(pixels, metres)
    return np.log(metres).reshape(shape).astype(np.float32)
