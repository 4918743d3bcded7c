# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Attention by two products: torch's own to rounding, and used where it is the faster one."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from testing.configs import shortened
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from training import model as model_module
from training import sft
from training.config import read_config
from training.data.collate import Collator

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MASK = torch.ones(5, 7, dtype=torch.bool).tril(2).expand(2, 1, 5, 7)
SHAPE = {"width": 48, "heads": 2, "layers": 2, "mlp": 64}


def arguments(device=CPU, bf16=True):
    return SimpleNamespace(device=device, bf16=bf16)


def both(mask, groups=4, keys=7, **more):
    """Outputs and gradients of ours and torch's for the same numbers; 4 heads of 6."""
    found = []
    module = SimpleNamespace(num_key_value_groups=4 // groups, is_causal=True)
    for way in (model_module.two_products, sdpa_attention_forward):
        generator = torch.Generator().manual_seed(0)
        shapes = (2, 4, 5, 6), (2, groups, keys, 6), (2, groups, keys, 6)
        given = [torch.randn(s, generator=generator).requires_grad_() for s in shapes]
        output, nothing = way(module, *given, mask, **more)
        assert nothing is None
        (output * torch.arange(output.numel()).view(output.shape)).sum().backward()
        found.append([output, *(one.grad for one in given)])
    return zip(*found, strict=True)


@pytest.mark.parametrize(
    "mask, more",
    [
        (None, {"is_causal": False}),
        (MASK, {"scaling": 0.3}),
        (torch.randn(2, 1, 5, 7), {}),
        (MASK, {"groups": 2}),
        (None, {}),  # causal, since the module is
        (MASK[..., :1].expand(2, 1, 5, 2000), {"keys": 2000}),
    ],
    ids=["all to all", "mask", "bias", "shared keys", "causal", "long"],
)
def test_outputs_and_gradients_are_those_of_torch(mask, more):
    for ours, theirs in both(mask, **more):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "llava"])
def test_a_student_learns_the_same(name, student_of, parts_of, row_about):
    batch = Collator(parts_of(name))([row_about(name, {"coordinates": 3, "marker": 1})])
    own, stock = student_of(name, heads=True), student_of(name, heads=True)
    model_module.suit(own.model, arguments())
    losses = [student(**batch)["loss"] for student in (own, stock)]
    torch.stack(losses).sum().backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    for (label, one), other in zip(own.named_parameters(), stock.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5, msg=label)


@pytest.mark.parametrize("device, bf16", [(GPU, True), (CPU, False)])
def test_gpus_and_float32_keep_torchs_own(device, bf16, student_of):
    model = student_of("qwen3_vl").model
    model_module.suit(model, arguments(device, bf16))
    assert model.config.vision_config._attn_implementation == "sdpa"


def test_a_run_uses_it_and_ships_nothing_of_it(shards, tmp_path, monkeypatch):
    calls, whole = [], model_module.two_products

    def counted(module, *given, **more):
        calls.append(type(module).__name__)
        return whole(module, *given, **more)

    monkeypatch.setattr(model_module, "two_products", counted)
    config = read_config("training/configs/tiny.yaml", data=str(shards), out=str(tmp_path))
    config = shortened(config, 1, batch=2, workers=0, shape=SHAPE)
    shipped = sft.train(replace(config, stages=config.stages[1:], heldout={}, bf16=True))
    assert set(calls) == {"Qwen3VLVisionAttention", "Qwen3VLTextAttention"}
    assert model_module.ATTENTION not in (shipped / "config.json").read_text()
