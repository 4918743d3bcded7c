# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Adapters: a model that begins to learn beside them says what the node's says, to the bit."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from testing.tiny_models import ARCHITECTURES
from transformers import AutoModelForImageTextToText

from depthlm_ros.errors import InputError
from training.config import Lora
from training.data.collate import Collator
from training.model import Student, add_adapters


def loaded(folder, dtype):
    return AutoModelForImageTextToText.from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa"
    )


@pytest.fixture(params=ARCHITECTURES)
def pair(request, base_of):
    """(architecture, the model as the node loads it, as it begins to learn with adapters)."""
    node = loaded(base_of(request.param), torch.bfloat16)
    learner = loaded(base_of(request.param), torch.float32)
    add_adapters(learner, Lora(rank=4))
    return request.param, node, learner


def test_buffers_stay_as_the_node_has_them(pair):
    """Rotary frequencies in bfloat16 turn a word at position 2,600 by up to 1.9 rad."""
    _, node, learner = pair
    theirs = dict(node.named_buffers())
    ours = {n.replace(".base_layer.", "."): b for n, b in learner.named_buffers()}
    assert ours.keys() == theirs.keys() and any("inv_freq" in name for name in ours)
    for name, buffer in ours.items():
        assert buffer.dtype == theirs[name].dtype, name
        assert torch.equal(buffer, theirs[name]), name


def test_adapters_that_learnt_nothing_change_no_state(pair, parts_of, row_about):
    name, node, learner = pair
    batch = Collator(parts_of(name))([row_about(name, {"coordinates": 2})])
    batch["position_ids"] += 2000  # where frequencies of 8 bits would be far off
    with torch.no_grad():
        before, after = (Student(m, heads=False).states(batch) for m in (node, learner))
    assert torch.equal(before, after)


def test_weights_are_16_bit_and_frozen_and_adapters_are_not(pair):
    _, _, learner = pair
    for name, weight in learner.named_parameters():
        adapter = "lora_" in name
        assert weight.requires_grad == adapter
        assert weight.dtype == (torch.float32 if adapter else torch.bfloat16)


def test_targets_that_no_module_is_called_are_named(base_of):
    learner = loaded(base_of("qwen3_vl"), torch.float32)
    with pytest.raises(InputError, match=r"lora\.targets.*nope"):
        add_adapters(learner, Lora(rank=4, targets=["nope"]))
