# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What an image network that has seen photographs makes of each image token: a target to learn."""

import torch
from torch.nn import functional as F

from training.photographs import efficientnet

WIDTH = 1280  # channels at 1/32 of the image, from which it tells what an image shows


class Teacher:
    """On a device. MissingDependency where its wheels are not installed."""

    def __init__(self, device):
        self._network = efficientnet().to(device)

    @torch.no_grad()
    def features(self, images, grid) -> torch.Tensor:
        """(B, rows * columns, WIDTH), of unit length, of images (B, 3, H, W) in [0, 1] and a grid
        (rows, columns) of tokens."""
        found = self._network.extract_features((images * 255 - 127) / 128)
        found = F.adaptive_avg_pool2d(found, grid).flatten(2).transpose(1, 2)
        return F.normalize(found, dim=-1)
