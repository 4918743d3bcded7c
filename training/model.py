# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A vision-language model while it learns: the model, two helping heads, the loss.

The heads stay beside a run's checkpoints and are not shipped. Dense: log metres from the states
at picture tokens, which makes a small model see distance before it learns to talk about it.
Locate: which picture token a question points at, which an arrow of a few pixels does not teach
by itself. Knows nothing about optimizers, devices or files.

Attention as two matrix products and a softmax, for training in bfloat16 on a CPU.

torch's own kernel is slow backwards there (a step of the tiny model takes 1.3 to 1.5 times as
long) and no more exact. Holds every score at once, so long sequences, and whatever else it was not
made for, go to torch's. Knows nothing about models.

Low-rank adapters: a few trainable numbers beside frozen 16-bit weights, merged on save.

By peft, injected into the model in place, so that its classes and names stay what they are.
Knows nothing about training beyond which parameters learn.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from depthlm_ros.errors import InputError, MissingDependency
from depthlm_ros.models.linear import linear_patches
from training.data.collate import CELLS

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
    model.requires_grad_(False)
    for weight in model.parameters():  # not the buffers: rotary angles need float32 frequencies
        weight.data = weight.data.to(torch.bfloat16)
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


class Student(nn.Module):
    """model: a Qwen-VL or Llava/Pixtral model. heads: whether it has the helping heads."""

    accepts_loss_kwargs = False  # the batch's own weights make the mean, also when accumulating

    def __init__(self, model, heads=True):
        super().__init__()
        width = model.config.get_text_config().hidden_size
        self.model = model
        self.heads = nn.ModuleDict()
        if heads:
            self.heads["dense"] = nn.Linear(width, CELLS**2)
            self.heads["query"] = nn.Linear(width, width)
            self.heads["key"] = nn.Linear(width, width)
            layers = model.model.language_model.layers
            layers[len(layers) // 2 - 1].register_forward_hook(self._keep_middle)
        linear_patches(model)

    def forward(self, **batch):
        """{"loss", "text_loss", ...} of a Collator's batch."""
        states = self._states(batch)
        weights, losses = batch["loss_weights"], {}
        if weights.get("text") and len(batch["targets"]):
            losses["text"] = self._text_loss(states, batch)
        if self.heads:
            pictures = batch["input_ids"] == self.model.config.image_token_id
            if weights.get("dense"):
                losses["dense"] = self._dense_loss(states[pictures], batch)
            if weights.get("locate") and len(batch["locates"]):
                losses["locate"] = self._locate_loss(pictures, batch)
        nothing = states.sum() * 0.0  # a batch may hold no question
        loss = sum((weights[name] * value for name, value in losses.items()), nothing)
        return {"loss": loss, **{f"{n}_loss": v.detach() for n, v in losses.items()}}

    def activation_checkpointing_enable(self, **options):
        """The model's own, by transformers' name."""
        self.model.activation_checkpointing_enable(**options)

    def _states(self, batch) -> torch.Tensor:
        """(B, S, width) hidden states."""
        names = ("position_ids", "attention_mask")
        inputs = self._pictures(batch) | {name: batch[name] for name in names}
        return self.model.model(**inputs, use_cache=False).last_hidden_state

    def _pictures(self, batch) -> dict:
        """Words and pictures as the model's forward takes them."""
        ids, pictures = batch["input_ids"], batch["pictures"]
        if "image_grid_thw" in pictures[0]:
            joined = {name: torch.cat([p[name] for p in pictures]) for name in pictures[0]}
            return {"input_ids": ids, **joined}
        # Pixtral: one by one, since it would attend over all pictures of a batch at once.
        base = self.model.model
        found = [base.get_image_features(**p, return_dict=True).pooler_output[0] for p in pictures]
        words = base.get_input_embeddings()(ids)
        places = (ids == self.model.config.image_token_id).unsqueeze(-1)
        return {"inputs_embeds": words.masked_scatter(places, torch.cat(found).to(words))}

    def _text_loss(self, states, batch):
        """Weighted cross-entropy of the trained tokens; no other logits are computed."""
        row, at, predictor = batch["targets"].T
        logits = self.model.get_output_embeddings()(states[row, predictor])
        each = F.cross_entropy(logits.float(), batch["input_ids"][row, at], reduction="none")
        return (each * batch["target_weight"]).sum()

    def _dense_loss(self, states, batch):
        told = self.heads["dense"](states.float())
        return ((told - batch["dense_log_m"]).abs() * batch["dense_weight"]).sum()

    def _locate_loss(self, pictures, batch):
        """Cross-entropy over the picture tokens of which one the question is about."""
        row, at, token = batch["locates"].T
        middle = self._middle
        asks, offers = self.heads["query"](middle[row, at]), self.heads["key"](middle)[row]
        scores = torch.einsum("qd,qsd->qs", asks, offers) / middle.shape[-1] ** 0.5
        scores = scores.masked_fill(~pictures[row], float("-inf"))
        where = pictures[row].int().cumsum(1) == token[:, None] + 1
        each = F.cross_entropy(scores.float(), where.int().argmax(1), reduction="none")
        return (each * batch["locate_weight"]).sum()

    def _keep_middle(self, _layer, _inputs, output):
        self._middle = output.float()  # frozen weights may be in bfloat16, the heads never are
