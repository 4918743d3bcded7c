# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Linear layers by the faster library: the same numbers, names and gradients."""

import pytest

torch = pytest.importorskip("torch")
from depthlm_ros.models import linear
from depthlm_ros.models.loading import load

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch is built without oneDNN"
)


@pytest.fixture
def swapped():
    """(a Linear layer, a copy of it that was swapped)."""

    def pair(bias):
        plain = torch.nn.Linear(24, 40, bias=bias)
        fast = torch.nn.Linear(24, 40, bias=bias)
        fast.load_state_dict(plain.state_dict())
        fast.__class__ = linear.OneDnnLinear
        return plain, fast

    return pair


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 24), (16, 24), (500, 24), (5, 7, 24)])
def test_products_are_equal(swapped, bias, shape):
    plain, fast = swapped(bias)
    rows = torch.randn(shape).transpose(0, -2)
    with torch.inference_mode():
        torch.testing.assert_close(fast(rows), plain(rows), atol=1e-5, rtol=1e-5)


def test_gradients_flow_where_they_are_wanted(swapped):
    plain, fast = swapped(True)
    rows = torch.randn(20, 24)
    for layer in (plain, fast):
        layer(rows).square().sum().backward()
    torch.testing.assert_close(fast.weight.grad, plain.weight.grad)


@pytest.mark.parametrize("faster", [True, False])
def test_the_faster_way_is_taken_where_it_is_faster(checkpoints, monkeypatch, faster):
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: faster)
    model = load(checkpoints("llava"), "cpu").model
    names = list(model.state_dict())
    linear.fast_products(model)
    assert (type(model.lm_head) is linear.OneDnnLinear) == faster
    assert list(model.state_dict()) == names


def test_other_types_of_weights_are_left_alone(checkpoints, monkeypatch):
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: True)
    model = load(checkpoints("llava"), "cpu", "bfloat16").model
    linear.fast_products(model)
    assert type(model.lm_head) is torch.nn.Linear
