# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The model sees the view snapped to the processor's multiple, and nothing else happens to it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from depthlm_ros.errors import EngineError
from depthlm_ros.models import loading
from depthlm_ros.models.linear import linear_patches


def noise(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def vision_of(checkpoints):
    """A Vision of its own, whose processor a test may change."""
    return lambda architecture: loading.load_parts(checkpoints(architecture)).vision


@pytest.mark.parametrize(
    ("architecture", "size", "grid"),
    [
        ("qwen3_vl", (48, 64), (3, 4)),
        ("qwen2_5_vl", (56, 56), (2, 2)),  # 70 / 28 = 2.5 rounds to even
        ("llava", (64, 80), (4, 5)),
    ],
)
def test_sizes_snap_by_each_processors_own_rule(vision_of, architecture, size, grid):
    found = vision_of(architecture).prepare([noise(70, 54)])
    assert (found.size, found.grid) == (size, grid)


@pytest.mark.parametrize("architecture", ["qwen3_vl", "qwen2_5_vl"])
def test_a_view_at_its_multiple_reaches_the_model_bit_for_bit(vision_of, architecture):
    vision = vision_of(architecture)
    side, patch = 112, vision.patch
    image = noise(side, side)
    values = vision.prepare([image]).tensors["pixel_values"].numpy()
    first = values[0].reshape(3, 2, patch, patch)[:, 0]
    mean, std = (
        np.array(v)[:, None, None]
        for v in (vision.processor.image_mean, vision.processor.image_std)
    )
    expected = (image[:patch, :patch].transpose(2, 0, 1) / 255 - mean) / std
    np.testing.assert_allclose(first, expected, atol=1e-5)


def test_a_view_beyond_the_processors_maximum_is_refused_with_sizes_and_entry(vision_of):
    vision = vision_of("qwen3_vl")
    vision.processor.size = {"shortest_edge": 256, "longest_edge": 2048}
    with pytest.raises(EngineError, match="48 x 32 .*70 x 54 .*64 x 48") as e:
        vision.prepare([noise(70, 54)])
    assert "size.longest_edge (max_pixels)" in str(e.value)


def test_a_view_below_the_processors_minimum_is_refused_with_sizes_and_entry(vision_of):
    """The default minimum of Qwen3-VL silently enlarges an image of 256 x 192."""
    vision = vision_of("qwen3_vl")
    vision.processor.size = {"shortest_edge": 65536, "longest_edge": 16777216}
    with pytest.raises(EngineError, match=r"size\.shortest_edge"):
        vision.prepare([noise(256, 192)])


def test_pixtrals_longest_edge_is_refused_where_it_shrinks(vision_of):
    vision = vision_of("llava")
    vision.processor.size = {"longest_edge": 64}
    with pytest.raises(EngineError, match="70 x 54 .*80 x 64 .*longest_edge"):
        vision.prepare([noise(70, 54)])


def test_pixtral_without_resize_keeps_the_view_and_counts_whole_patches(vision_of):
    vision = vision_of("llava")
    vision.processor.do_resize = False
    found = vision.prepare([noise(70, 54)])
    assert (found.size, found.grid) == ((54, 70), (3, 4))
    assert len(vision.token_ids(found.grid)) == 3 * 5


def test_qwen_without_resize_takes_multiples_only(vision_of):
    vision = vision_of("qwen3_vl")
    vision.processor.do_resize = False
    assert vision.prepare([noise(64, 48)]).size == (48, 64)
    with pytest.raises(EngineError, match=r"\b16\b.*70 x 54.*do_resize"):
        vision.prepare([noise(70, 54)])


def test_a_view_of_an_absurd_shape_is_refused(vision_of):
    with pytest.raises(EngineError, match="4000 x 8"):
        vision_of("qwen3_vl").prepare([noise(4000, 8)])


def test_pixtral_closes_rows_with_breaks_and_the_image_with_its_end(vision_of):
    vision = vision_of("llava")
    image, stop, end = vision.image_id, vision.break_id, vision.end_id
    assert vision.token_ids((2, 3)) == [image] * 3 + [stop] + [image] * 3 + [end]


def test_the_patch_embedding_as_a_product_equals_the_convolution(checkpoints):
    """Names and gradients stay, since a trainer saves what it swapped."""
    model = loading.load(checkpoints("qwen2_5_vl")).model.requires_grad_(True)
    names, convolution = list(model.state_dict()), model.model.visual.patch_embed
    patches = torch.randn(7, 3 * 2 * 14 * 14)
    expected = convolution(patches)
    linear_patches(model)
    found = model.model.visual.patch_embed(patches)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    found.sum().backward()
    assert convolution.proj.weight.grad.abs().max() > 0
    assert list(model.state_dict()) == names
