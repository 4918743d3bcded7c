# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Attention as two matrix products and a softmax, for training in bfloat16 on a CPU.

torch's own kernel is slow backwards there (a step of the tiny model takes 1.3 to 1.5 times as
long) and no more exact. Holds every score at once, so long sequences, and whatever else it was not
made for, go to torch's. Knows nothing about models.
"""

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "two_products"
LONGEST = 1024  # keys: 2 MB of scores a head


def two_products(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **more):
    """query (B, heads, Q, D), key and value (B, groups, K, D) -> ((B, Q, heads, D), None).

    attention_mask: (B, 1, Q, K) bool, True where attended to, or numbers to add to the scores.
    """
    open_mask = attention_mask is None and more.get("is_causal") is not False
    if open_mask or dropout or key.shape[2] > LONGEST:
        given = {"attention_mask": attention_mask, "scaling": scaling, "dropout": dropout}
        return sdpa_attention_forward(module, query, key, value, **given, **more)
    groups = query.shape[1] // key.shape[1]
    key, value = (one.repeat_interleave(groups, dim=1) for one in (key, value))
    scores = (query * (scaling or query.shape[-1] ** -0.5)) @ key.transpose(-1, -2)
    if attention_mask is not None:
        scores += _bias(attention_mask, scores.dtype)
    with torch.autocast("cpu", enabled=False):  # sums in float32 without storing it
        shares = scores.softmax(-1)
    return (shares @ value).transpose(1, 2).contiguous(), None


def _bias(mask, dtype):
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


def suit(model, arguments) -> None:
    """Let a transformers model attend so where that is faster. arguments: TrainingArguments."""
    if arguments.device.type == "cpu" and arguments.bf16:
        AttentionInterface.register(NAME, two_products)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)
