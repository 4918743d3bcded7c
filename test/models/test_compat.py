# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Each private interface of transformers, by itself: what fails here names what a new version
broke."""

import subprocess
import sys
import warnings

import pytest

torch = pytest.importorskip("torch")

from testing.tiny_models import ARCHITECTURES

from depthlm_ros.models import compat, loading
from depthlm_ros.models.decoder import prefill


@pytest.fixture(scope="module")
def loaded_of(checkpoints):
    """architecture -> Loaded."""
    return lambda architecture: loading.load(checkpoints(architecture), "cpu")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_decoder_has_its_parts_where_they_are_read(loaded_of, architecture):
    loaded = loaded_of(architecture)
    text, found = loaded.config.get_text_config(), compat.decoder(loaded.base)
    assert len(found.layers) == text.num_hidden_layers
    assert found.embedding.weight.shape == (text.vocab_size, text.hidden_size)
    for layer in found.layers:
        wide = text.num_attention_heads * layer.head_dim
        assert layer.query.weight.shape == (wide, text.hidden_size)
        assert layer.output.weight.shape == (text.hidden_size, wide)
        assert layer.key.weight.shape == layer.value.weight.shape
        assert layer.scaling == pytest.approx(layer.head_dim**-0.5)
        assert (layer.query_norm is None) == (architecture != "qwen3_vl")
        assert (layer.key_norm is None) == (layer.query_norm is None)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_weight_is_in_the_parts_that_are_known(loaded_of, architecture):
    """A new kind of weight in a layer would be left out of our loop over the layers."""
    loaded = loaded_of(architecture)
    found = compat.decoder(loaded.base)
    parts = [found.embedding, found.norm]
    for layer in found.layers:
        parts += [part for part in layer if isinstance(part, torch.nn.Module)]
    known = {id(weight) for part in parts for weight in part.parameters()}
    assert {id(w) for w in compat.language_model(loaded.base).parameters()} == known


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_angles_are_one_cosine_and_one_sine_a_token(loaded_of, architecture):
    loaded = loaded_of(architecture)
    hidden = torch.zeros(1, 6, loaded.config.get_text_config().hidden_size)
    positions = torch.arange(6.0).expand(3, 1, 6)
    positions = positions if loaded.vision.multimodal_positions else positions[0].long()
    width = compat.decoder(loaded.base).layers[0].head_dim
    cosines, sines = compat.rotary_angles(loaded.base, hidden, positions)
    assert cosines.shape == sines.shape == (1, 6, width)
    torch.testing.assert_close(cosines**2 + sines**2, torch.ones(1, 6, width))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_vision_part_and_what_joins_it_are_found(loaded_of, architecture):
    base = loaded_of(architecture).base
    assert sum(w.numel() for w in compat.vision_tower(base).parameters()) > 0
    assert (compat.projector(base) is None) == (architecture != "llava")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_cache_is_filled_without_a_warning_by_any_version(loaded_of, view_of, architecture):
    loaded = loaded_of(architecture)
    prepared = loaded.vision.prepare([view_of(0).image])
    ids = torch.tensor([loaded.vision.token_ids(prepared.grid) + [1, 2, 3]])
    positions = torch.arange(ids.shape[1]).float().expand(3, 1, -1)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        hidden, kept = prefill(loaded, ids, positions, prepared)
    text = loaded.config.get_text_config()
    assert hidden.shape == (1, ids.shape[1], text.hidden_size)
    assert len(kept) == text.num_hidden_layers
    shape = 1, text.num_key_value_heads, ids.shape[1], 16
    assert {tensor.shape for layer in kept for tensor in layer} == {shape}


def test_the_patch_embedding_of_a_qwen_is_replaced_and_others_are_left(loaded_of):
    asked = []
    for architecture in ARCHITECTURES:
        base = loaded_of(architecture).base
        compat.replace_patch_embedding(base, lambda one: asked.append(one) or torch.nn.Identity())
    assert [type(one) for one in asked] == [torch.nn.Conv3d] * 2


def test_every_weight_that_is_read_is_told(checkpoints):
    from transformers import AutoModelForImageTextToText

    calls = []
    with compat.counted_weights(calls.append):
        model = AutoModelForImageTextToText.from_pretrained(checkpoints("qwen3_vl").model)
    assert set(calls) == set(model.state_dict())


@pytest.mark.parametrize("style", [(), ("--style", "marker")], ids=["the default", "marker"])
def test_a_question_on_the_command_line_warns_of_nothing(image_file, style):
    """Two lines of FutureWarning on every `depthlm ask` would be the first that a user sees."""
    arguments = ["ask", image_file, "--fx", "60", "--at", "32,24", "--device", "cpu", *style]
    done = subprocess.run(
        [sys.executable, "-m", "depthlm_ros", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "Warning" not in done.stderr
