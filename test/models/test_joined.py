# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Layers over the same input as one product: the same answers, nothing held twice, and everybody
else finds the weights where they were."""

import copy

import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import load_file
from testing.tiny_models import ARCHITECTURES

from depthlm_ros.models.linear import Beside, join_products
from depthlm_ros.models.loading import load


@pytest.fixture(scope="module", params=ARCHITECTURES)
def joined(checkpoints, request):
    """(a Loaded as it is read, one whose products were joined)."""
    pair = [load(checkpoints(request.param), "cpu") for _ in range(2)]
    join_products(pair[1].products)
    return pair


def layers(bias=True):
    made = [torch.nn.Linear(24, wide, bias=bias).requires_grad_(False) for wide in (40, 8, 8)]
    return made, torch.randn(30, 24)


@torch.inference_mode()
def one_by_one(of, rows):
    return torch.cat([layer(rows) for layer in of], 1)


@torch.inference_mode()
def asked(product, rows):
    return product(rows)


def same(ours, theirs):
    """Equal but for the order of sums, which a library chooses by the width of a product."""
    return torch.allclose(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_joined_model_holds_its_weights_once_and_says_the_same(joined):
    plain, fast = joined
    states = [loaded.model.state_dict() for loaded in joined]
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    attention = fast.base.language_model.layers[0].self_attn
    places = {
        getattr(attention, f"{name}_proj").weight.untyped_storage().data_ptr() for name in "qkv"
    }
    assert len(places) == 1
    rows = torch.randn(5, attention.q_proj.in_features)
    assert torch.equal(asked(fast.products[0].heads, rows), asked(plain.products[0].heads, rows))


def test_a_joined_model_is_saved_as_it_was_read(joined, tmp_path):
    plain, fast = joined
    fast.model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    expected = tmp_path / "plain"
    plain.model.save_pretrained(expected)
    whole = load_file(expected / "model.safetensors")
    assert list(saved) == list(whole)
    assert all(torch.equal(saved[name], whole[name]) for name in whole)


@pytest.mark.parametrize("bias", [True, False])
def test_one_product_equals_those_of_its_layers(bias):
    of, rows = layers(bias)
    product, expected = Beside(*of), one_by_one(of, rows)
    product.join()
    product.join()  # which changes nothing
    assert same(asked(product, rows), expected)
    with torch.no_grad():
        of[1].weight.mul_(2)  # as a merged adapter does, in place
    assert same(asked(product, rows), one_by_one(of, rows))
    assert not same(asked(product, rows), expected)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_weights_that_were_moved_are_found(index):
    of, rows = layers()
    product = Beside(*of)
    product.join()
    of[index].weight.data = of[index].weight.data * 3
    assert same(asked(product, rows), one_by_one(of, rows))
    product.join()
    assert same(asked(product, rows), one_by_one(of, rows))


def test_a_copy_of_a_joined_layer_has_weights_of_its_own():
    of, rows = layers()
    product = Beside(*of)
    product.join()
    before = one_by_one(of, rows)
    twin = copy.deepcopy(of[0])
    twin.weight.data.zero_()
    assert same(asked(product, rows), before)


def test_gradients_reach_the_layers():
    of, rows = layers()
    product = Beside(*of)
    product.join()
    of[2].weight.requires_grad_(True)
    product(rows).sum().backward()
    assert of[2].weight.grad.abs().sum() > 0


def test_layers_of_another_kind_are_asked_one_by_one():
    of, rows = layers()

    class Doubled(torch.nn.Linear):
        def forward(self, rows):
            return 2 * super().forward(rows)

    of[0] = Doubled(24, 40).requires_grad_(False)
    product = Beside(*of)
    product.join()
    assert same(asked(product, rows), one_by_one(of, rows))
