# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A vision-language model while it learns: the model, two helping heads, the loss.

The heads are thrown away afterwards. Dense: log metres from the states at picture tokens, which
makes a small model see distance before it learns to talk about it. Locate: which picture token a
question points at, which an arrow of a few pixels does not teach by itself.
"""

import torch
from torch import nn
from torch.nn import functional as F

from depthlm_ros.engines.patches import linear_patches
from training.collate import CELLS


class Student(nn.Module):
    """model: a Qwen-VL model. weights: of the losses "text", "dense" and "locate"."""

    def __init__(self, model, weights):
        super().__init__()
        width = model.config.text_config.hidden_size
        self.model = model
        self.weights = dict(weights)
        self.dense = nn.Linear(width, CELLS**2)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        layers = model.model.language_model.layers
        layers[len(layers) // 2 - 1].register_forward_hook(self._keep_middle)
        linear_patches(model)

    def forward(self, input_ids, position_ids, attention_mask, pixel_values, image_grid_thw, **to):
        states = self.model.model(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=attention_mask,
            pixel_values=pixel_values,
            image_grid_thw=image_grid_thw,
            use_cache=False,
        ).last_hidden_state
        pictures = input_ids == self.model.config.image_token_id
        losses = {"dense": self._dense_loss(states[pictures], to["dense_log_m"])}
        if len(to["targets"]):
            losses["text"] = self._text_loss(states, input_ids, to["targets"], to["questions"])
        if len(to["locate"]):
            losses["locate"] = self._locate_loss(pictures, to["locate"])
        loss = sum(self.weights.get(name, 0.0) * value for name, value in losses.items())
        return {"loss": loss, **{f"{n}_loss": v.detach() for n, v in losses.items()}}

    def _dense_loss(self, states, log_m):
        known = log_m.isfinite()
        return F.l1_loss(self.dense(states)[known], log_m[known])

    def _text_loss(self, states, input_ids, targets, questions):
        """Cross-entropy of the answer tokens only, summed over a question."""
        row, at = targets.T
        logits = self.model.lm_head(states[row, at - 1])
        return F.cross_entropy(logits, input_ids[row, at], reduction="sum") / questions

    def _locate_loss(self, pictures, locate):
        """Cross-entropy over the picture tokens of which one the question is about."""
        row, at, token = locate.T
        middle = self._middle
        scores = torch.einsum("qd,qsd->qs", self.query(middle[row, at]), self.key(middle)[row])
        scores = scores.masked_fill(~pictures[row], float("-inf")) / middle.shape[-1] ** 0.5
        first = pictures.int().argmax(dim=1)
        return F.cross_entropy(scores, first[row] + token)

    def _keep_middle(self, _layer, _inputs, output):
        self._middle = output
