# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The dense head that helped a small model to see: distances of pixels without a question.

It stays in a run's steps/ and is not shipped; here it is only measured. Knows nothing about how
it was trained.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from depthlm_ros.checkpoints import from_folder
from depthlm_ros.errors import CheckpointError
from depthlm_ros.models.decoder import prefill
from depthlm_ros.models.loading import load
from depthlm_ros.models.prompts import Prompts
from depthlm_ros.view import unify_focal
from training.data.collate import CELLS
from training.run.run_folder import HEADS


class DenseHead:
    """folder: a complete step of a run, with its heads. CheckpointError where there are none."""

    def __init__(self, folder):
        path = Path(folder, HEADS)
        if not path.exists():
            raise CheckpointError(
                f"{folder} has no {HEADS}: give a folder such as runs/tiny/steps/checkpoint-1800;"
                " shipped checkpoints have no dense head"
            )
        heads = load_file(path)
        self._weight, self._bias = heads["heads.dense.weight"], heads["heads.dense.bias"]
        self._loaded = load(from_folder(folder), device="cpu")
        self._prompts = Prompts(self._loaded)

    @torch.inference_mode()
    def distances(self, frame, pixels):
        """(N,) metres along the ray at frame pixels (N, 2), one per cell of CELLS x CELLS."""
        row, vision = self._loaded.checkpoint, self._loaded.vision
        view = unify_focal(frame, row.focal_px, row.axes)
        pictures = vision.prepare([view.image])
        ids = self._prompts.with_images(self._loaded.chat.ids(""), pictures.grid)
        positions = self._prompts.placed(ids, pictures).positions[:, None]
        states, _ = prefill(self._loaded, ids[None], positions, pictures)
        seen = states[0][ids == vision.image_id].float()
        metres = _map(F.linear(seen, self._weight, self._bias).exp(), pictures.grid)
        places = (view.to_view(pixels) + 0.5) / (view.camera.width, view.camera.height)
        cells = (places * metres.shape[::-1]).astype(int)
        u, v = np.clip(cells, 0, np.array(metres.shape[::-1]) - 1).T
        return metres[v, u].astype(np.float64)


def _map(cells, grid):
    """(rows * CELLS, columns * CELLS) of (tokens, CELLS**2), row by row."""
    rows, columns = grid
    cells = cells.reshape(rows, columns, CELLS, CELLS).transpose(1, 2)
    return cells.reshape(rows * CELLS, columns * CELLS).numpy()
