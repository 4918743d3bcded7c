# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters: a few trainable numbers beside frozen 16-bit weights, merged on save.

By peft, injected into the model in place, so that its classes and names stay what they are.
Knows nothing about training beyond which parameters learn.
"""

import torch

from depthlm_ros.errors import InputError, MissingDependency

# Every matrix of the language model; the vision part stays as it was.
TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
_BASE, _A, _B = "base_layer.weight", "lora_A.default.weight", "lora_B.default.weight"


def add_adapters(model, lora) -> None:
    """Freeze the model at bfloat16 and add float32 adapters.

    lora: {"rank", "alpha", "dropout", "targets"}; rank alone is needed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingDependency("lora needs peft: pip install peft") from error
    unknown = set(lora) - {"rank", "alpha", "dropout", "targets"}
    if unknown or "rank" not in lora:
        raise InputError(f"lora is {lora}: rank, alpha, dropout and targets are known")
    model.requires_grad_(False).to(torch.bfloat16)
    config = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora.get("alpha", 2 * lora["rank"]),
        lora_dropout=lora.get("dropout", 0.0),
        target_modules=lora.get("targets", TARGETS),
    )
    inject_adapter_in_model(config, model)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = weight.data.float()


def merged_state(model, state) -> dict:
    """The state of an adapted model as the plain one's; a plain one's as it is."""
    merged = {}
    for name, weight in state.items():
        if name.endswith(_BASE):
            stem = name.removesuffix(_BASE)
            layer = model.get_submodule(stem.rstrip("."))
            change = state[stem + _B].float() @ state[stem + _A].float()
            change = change * layer.scaling["default"]
            merged[stem + "weight"] = weight.float() + change
        elif "lora_" not in name:
            merged[name.replace(".base_layer.", ".")] = weight
    return merged


def adapter_state(state) -> dict:
    """Only the adapters."""
    return {k: v.contiguous() for k, v in state.items() if "lora_" in k}
