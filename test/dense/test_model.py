# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A head beside a stock model: its maps lie where the tokens are, the model stays as it was."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file
from testing.tiny_models import ARCHITECTURES
from transformers import AutoModelForImageTextToText

from depthlm_ros.checkpoints import from_folder
from depthlm_ros.dense.head import HeadSpec, Tap
from depthlm_ros.dense.model import (
    HEAD_SHARD,
    DenseModel,
    Taps,
    attach_new_head,
    load_dense,
    save_with_head,
)
from depthlm_ros.errors import CheckpointError
from depthlm_ros.models.compat import vision_tower
from depthlm_ros.models.decoder import prefill
from depthlm_ros.models.loading import load
from depthlm_ros.models.prompts import Prompts
from depthlm_ros.models.weights import SHARDS, WEIGHTS

LAST = 1  # of the two vision layers
SPEC = HeadSpec(
    "light", (Tap("vision", 0), Tap("vision", LAST), Tap("text", -1)), (8, 6, 4), uncertainty=True
)


@pytest.fixture(scope="module")
def loaded_of(checkpoints):
    found = {}

    def of(architecture):
        if architecture not in found:
            found[architecture] = load(checkpoints(architecture), "cpu")
        return found[architecture]

    return of


def restless(dense, seed=0):
    """The same with weights that tell one place from another."""
    with torch.no_grad():
        for number, weight in enumerate(dense.head.parameters()):
            weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(seed + number))
    return dense


def whole_forward(loaded, images, text="How far is it?"):
    """(ids (1, L), hidden states, keys and values) of a prompt with words behind the image."""
    prompts = Prompts(loaded)
    ids = prompts.with_images(loaded.chat.ids(text), images.grid)
    positions = prompts.placed(ids, images).positions[:, None]
    return ids[None], *prefill(loaded, ids[None], positions, images)


def as_tokens(found, merge):
    """(tokens * merge**2, C) of a map (1, C, rows, columns): patches of a token one behind the
    other, as the merger takes them."""
    _, width, rows, columns = found.shape
    blocks = found[0].view(width, rows // merge, merge, columns // merge, merge)
    return blocks.permute(1, 3, 2, 4, 0).reshape(-1, width)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_vision_maps_lie_row_by_row_whatever_order_the_model_keeps(
    loaded_of, architecture, view_of
):
    """What the model's own merger or projector makes of a map is what it makes of the image."""
    loaded = loaded_of(architecture)
    images = loaded.vision.prepare([view_of(3, 196, 140).image])
    assert loaded.vision.window == (2 if architecture == "qwen2_5_vl" else 0)
    dense = DenseModel(loaded, torch.nn.Identity(), replace(SPEC, taps=(Tap("vision", LAST),)))
    (found,) = dense.features(images)
    rows, columns = images.grid
    assert found.shape[2:] == (rows * loaded.vision.merge, columns * loaded.vision.merge)
    if architecture == "llava":
        made = loaded.base.multi_modal_projector(as_tokens(found, 1))
        expected = loaded.base.get_image_features(**images.tensors, return_dict=True)
        expected = expected.pooler_output[0]
    else:
        made = vision_tower(loaded.base).merger(as_tokens(found, 2))
        expected = vision_tower(loaded.base)(
            images.tensors["pixel_values"], grid_thw=images.tensors["image_grid_thw"]
        ).pooler_output
    assert torch.allclose(made, expected, atol=1e-3)  # of values around 30
    assert expected.std() > 0.01


@torch.no_grad()
def test_windows_are_really_out_of_order_in_qwen2_5(loaded_of, view_of):
    """Else the test above would hold without putting them back."""
    loaded = loaded_of("qwen2_5_vl")
    images = loaded.vision.prepare([view_of(3, 196, 140).image])
    taps = Taps(loaded.base, loaded.vision, [Tap("vision", LAST)])
    with taps.collecting() as found:
        whole_forward(loaded, images)
    right = taps.maps(found, torch.zeros(1, 1, dtype=torch.bool), [images.grid])[0][0]
    assert not torch.allclose(as_tokens(right, 2), found[0][0], atol=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_text_maps_are_the_final_states_whatever_words_follow(loaded_of, architecture, view_of):
    loaded = loaded_of(architecture)
    images = loaded.vision.prepare([view_of(5).image])
    dense = DenseModel(loaded, torch.nn.Identity(), replace(SPEC, taps=(Tap("text", -1),)))
    (found,) = dense.features(images)
    ids, hidden, _ = whole_forward(loaded, images)
    expected = hidden[ids == loaded.vision.image_id]
    assert torch.allclose(found[0].flatten(1).T, expected, atol=1e-4)


@torch.no_grad()
def test_deepstack_maps_are_what_the_model_adds_to_its_states(loaded_of, view_of):
    loaded = loaded_of("qwen3_vl")
    images = loaded.vision.prepare([view_of(5).image])
    dense = DenseModel(loaded, torch.nn.Identity(), replace(SPEC, taps=(Tap("deepstack", 0),)))
    (found,) = dense.features(images)
    features = loaded.base.get_image_features(**images.tensors, return_dict=True)
    first = features.deepstack_features[0]  # of all images; in newer transformers, of each
    expected = first if torch.is_tensor(first) else torch.cat(list(first))
    assert torch.allclose(found[0].flatten(1).T, expected, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_the_models_own_states_are_bit_equal_with_a_head(loaded_of, architecture, view_of):
    loaded = loaded_of(architecture)
    images = loaded.vision.prepare([view_of(5).image])
    _, before, _ = whole_forward(loaded, images)
    hooks = [len(module._forward_hooks) for module in loaded.model.modules()]  # Pixtral has own
    dense = attach_new_head(loaded, SPEC)
    with dense.taps.collecting():
        _, during, _ = whole_forward(loaded, images)
    dense.depth(view_of(5))
    _, after, _ = whole_forward(loaded, images)
    assert torch.equal(before, during) and torch.equal(before, after)
    assert hooks == [len(module._forward_hooks) for module in loaded.model.modules()]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_map_has_the_views_size_and_teaches_the_model(loaded_of, architecture, view_of):
    loaded = loaded_of(architecture)
    dense = restless(attach_new_head(loaded, SPEC))
    first = next(iter(vision_tower(loaded.base).parameters()))
    first.requires_grad_()
    try:
        found = dense.depth(view_of(5))
        assert found.value.shape == found.log_scale.shape == (1, 54, 70)
        assert found.value.dtype == torch.float32
        found.log_m.sum().backward()
        assert first.grad.abs().max() > 0
        assert all(weight.grad is not None for weight in dense.head.parameters())
    finally:
        first.requires_grad_(False)
        first.grad = None


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_several_views_are_told_what_each_is_told_alone(loaded_of, architecture, view_of):
    dense = restless(attach_new_head(loaded_of(architecture), SPEC))
    views = [view_of(5), view_of(6)]
    together = dense.depth(views).log_m
    alone = torch.cat([dense.depth(view).log_m for view in views])
    assert torch.allclose(together, alone, atol=5e-3)
    assert not torch.allclose(alone[0], alone[1], atol=1e-2)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_colours_are_those_of_the_view(loaded_of, architecture, view_of):
    vision = loaded_of(architecture).vision
    views = [view_of(5, 112, 112), view_of(6, 112, 112)]
    found = vision.colours(vision.prepare([view.image for view in views]))
    expected = np.stack([view.image for view in views]).transpose(0, 3, 1, 2) / 255
    assert np.allclose(found.numpy(), expected, atol=1e-5)


@torch.no_grad()
def test_a_saved_head_tells_the_same_and_the_rest_loads_anywhere(loaded_of, copy_of, view_of):
    folder, _ = copy_of("qwen3_vl")
    dense = restless(attach_new_head(loaded_of("qwen3_vl"), SPEC))
    save_with_head(folder, dense.head, dense.loaded)
    entry = from_folder(folder)
    assert entry.head == SPEC and entry.grid_style == "dense" and entry.style == "marker"
    assert set(entry.styles) == {*entry.wording, "dense"}
    again = load_dense(load(entry, "cpu"))
    assert torch.equal(again.depth(view_of(5)).value, dense.depth(view_of(5)).value)
    stock, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert all(name.startswith("depth_head.") for name in report["unexpected_keys"])
    for name, weight in dense.loaded.model.state_dict().items():
        assert torch.equal(stock.state_dict()[name], weight), name
    save_with_head(folder, restless(dense, 50).head, dense.loaded)  # another one in its place
    changed = load_dense(load(from_folder(folder), "cpu")).depth(view_of(5)).value
    assert not torch.allclose(changed, again.depth(view_of(5)).value, atol=1e-3)


@torch.no_grad()
def test_a_head_stands_in_a_file_of_its_own_beside_shards(loaded_of, copy_of, view_of):
    folder, _ = copy_of("qwen3_vl")
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    save_file(weights, folder / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    names = dict.fromkeys(weights, "model-00001-of-00001.safetensors")
    (folder / SHARDS).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    dense = restless(attach_new_head(loaded_of("qwen3_vl"), SPEC))
    save_with_head(folder, dense.head, dense.loaded)
    assert (folder / HEAD_SHARD).exists()
    again = load_dense(load(from_folder(folder), "cpu"))
    assert torch.equal(again.depth(view_of(5)).value, dense.depth(view_of(5)).value)


def test_a_head_that_is_not_as_described_is_refused(loaded_of, copy_of):
    folder, entry = copy_of("qwen3_vl")
    with pytest.raises(CheckpointError):
        load_dense(load(entry, "cpu"))  # its entry names none
    dense = attach_new_head(loaded_of("qwen3_vl"), SPEC)
    save_with_head(folder, dense.head, dense.loaded)
    wider = replace(from_folder(folder), head=replace(SPEC, widths=(9, 6, 4)))
    with pytest.raises(CheckpointError):
        load_dense(load(wider, "cpu"))
    weights = load_file(folder / WEIGHTS)
    del weights["depth_head.tell.bias"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(CheckpointError):
        load_dense(load(from_folder(folder), "cpu"))
    asked = replace(from_folder(folder), head=None, grid_style="marker")
    assert load(asked, "cpu").checkpoint.head is None  # who only asks needs no head


@pytest.mark.parametrize(
    ("architecture", "tap"),
    [
        ("qwen3_vl", Tap("deepstack", 1)),
        ("qwen2_5_vl", Tap("deepstack", 0)),
        ("llava", Tap("vision", 2)),
        ("qwen3_vl", Tap("text", 3)),
    ],
)
def test_a_tap_that_the_model_does_not_have_is_refused(loaded_of, architecture, tap):
    with pytest.raises(CheckpointError):
        attach_new_head(loaded_of(architecture), replace(SPEC, taps=(tap,)))
