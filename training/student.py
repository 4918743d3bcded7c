# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A vision-language model while it learns: the model, two helping heads, the loss.

The heads stay beside a run's checkpoints and are not shipped. Dense: log metres from the states
at picture tokens, which makes a small model see distance before it learns to talk about it.
Locate: which picture token a question points at, which an arrow of a few pixels does not teach
by itself. Knows nothing about optimizers, devices or files.
"""

import torch
from torch import nn
from torch.nn import functional as F

from depthlm_ros.engines.patches import linear_patches
from training.collate import CELLS


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
