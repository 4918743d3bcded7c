# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The vision part by our own loop: what transformers says, in a few calls and without waiting."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from testing.tiny_models import ARCHITECTURES

from depthlm_ros.models import loading
from depthlm_ros.models.torch_compat import Calls
from depthlm_ros.models.tower import window_order


@pytest.fixture(scope="module")
def loaded_of(checkpoints):
    """architecture -> Loaded."""
    return {a: loading.load(checkpoints(a), "cpu") for a in ARCHITECTURES}


def images_of(loaded, count, width=170, height=130):
    """ImageTensors of noise, in six windows of two sizes where a model has windows."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return loaded.vision.prepare(list(images))


def by_transformers(loaded, images, count):
    """[features, then those for DeepStack] of all images."""
    tensors = dict(images.tensors)
    if loaded.vision.multimodal_positions:
        found = loaded.base.get_image_features(**tensors, return_dict=True)
        all_of = [found.pooler_output, *(getattr(found, "deepstack_features", None) or [])]
        return [each if torch.is_tensor(each) else torch.cat(list(each)) for each in all_of]
    each = [
        loaded.base.get_image_features(
            **{name: t[i : i + 1] for name, t in tensors.items()}, return_dict=True
        ).pooler_output[0]
        for i in range(count)
    ]
    return [torch.cat(each)]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_are_those_of_transformers(loaded_of, architecture, count):
    loaded = loaded_of[architecture]
    images = images_of(loaded, count)
    with torch.inference_mode():
        ours, theirs = loaded.tower.see(images), by_transformers(loaded, images, count)
    found = [ours.features, *ours.deeper]
    assert len(found) == len(theirs) == (2 if architecture == "qwen3_vl" else 1)
    for one, other in zip(found, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=5e-4, rtol=1e-3)


def test_control_windows_in_another_order_are_noticed(loaded_of, monkeypatch):
    loaded = loaded_of["qwen2_5_vl"]
    images = images_of(loaded, 1)

    def other(grid, side):
        order, windows = window_order(grid, side)
        return order.flip(0), windows

    monkeypatch.setattr("depthlm_ros.models.tower.window_order", other)
    loaded.tower._layout.cache_clear()
    with torch.inference_mode():
        ours, theirs = loaded.tower.see(images), by_transformers(loaded, images, 1)
    loaded.tower._layout.cache_clear()
    assert not torch.allclose(ours.features, theirs[0], atol=1e-3)


def test_the_windows_of_a_usual_view_are_of_four_sizes():
    order, windows = window_order((31, 41), 4)
    assert sorted(order.tolist()) == list(range(31 * 41))
    assert windows == [(70, 16), (7, 4), (10, 12), (1, 3)]
    assert order[:6].tolist() == [0, 1, 2, 3, 41, 42]


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_images_are_seen_in_a_few_calls_a_layer_and_nothing_is_read_back(
    loaded_of, architecture, count
):
    """However many images there are; transformers makes a call for each window of each image."""
    loaded = loaded_of[architecture]
    images = images_of(loaded, count)
    loaded.tower.see(images)
    with torch.inference_mode(), Calls() as calls:
        loaded.tower.see(images)
    sizes = 2 if architecture == "qwen2_5_vl" else 1  # of its windows, in one of two layers
    assert calls.attention == 1 + sizes
    assert calls.waits == {}
