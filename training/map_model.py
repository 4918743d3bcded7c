# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A model with a dense head while it learns: what is frozen, and the loss of words and maps.

One forward gives both, as when it is asked: the head looks at image tokens, which know nothing of
the questions behind them. The head is float32 and learns in float32 whatever the model is.
"""

from itertools import pairwise
from math import log
from pathlib import Path

import torch
from torch import nn

from depthlm_ros.checkpoints import HEAD_PREFIX
from depthlm_ros.dense.head import DepthMap, EncoderHead, make_head, resized
from depthlm_ros.dense.model import Taps, in_widths
from depthlm_ros.errors import CheckpointError
from depthlm_ros.evaluation.metrics import DELTA1_RATIO
from depthlm_ros.models.compat import vision_tower
from depthlm_ros.models.weights import read_tensors
from training.depth_loss import LOSSES, doubt, gradient_l1
from training.model import Student, add_adapters, assert_float32, load_model, suit
from training.photographs import read_photographs
from training.run.export import read_extras

WITHIN = log(DELTA1_RATIO)  # of log metres


def load_map_student(config, parts, base: Path, found: Path | None, arguments) -> "MapStudent":
    """What a DenseConfig trains, of its base or of the checkpoint `found` of a run."""
    torch.manual_seed(config.seed)  # the head's
    head = make_head(parts.checkpoint.head, in_widths(parts, parts.checkpoint.head))
    model = load_model(config, parts, base if config.lora else found or base)
    freeze(model, config.learns)
    if config.lora:
        add_adapters(model, config.lora)
    student = MapStudent(model, head, parts.vision, config)
    read_extras(student, found or base)
    if not read_head(head, found or base) and isinstance(head, EncoderHead):
        read_photographs(head.encoder)
    assert_float32(student)
    suit(student.model, arguments)
    return student


def freeze(model: nn.Module, learns: str) -> None:
    """Let the "language" model, "all" or nothing ("head") of a transformers model learn."""
    model.requires_grad_(learns != "head")
    if learns == "language":
        vision_tower(model.model).requires_grad_(False)


def read_head(head: nn.Module, folder: Path) -> bool:
    """Whether a folder has a head, whose weights are then read; CheckpointError if it is of
    another shape."""
    weights = read_tensors(str(folder), HEAD_PREFIX)
    own = head.state_dict()
    if weights and {n: w.shape for n, w in weights.items()} != {
        n: w.shape for n, w in own.items()
    }:
        raise CheckpointError(
            f"the dense head of {folder} has other shapes than the config's: take its head, or a"
            " base without one"
        )
    if weights:
        head.load_state_dict(weights)
    return bool(weights)


class MapStudent(Student):
    """model: of transformers; head: of depthlm_ros/dense/head.py; vision: of the model's Parts;
    config: a DenseConfig."""

    def __init__(self, model: nn.Module, head: nn.Module, vision, config):
        super().__init__(model, heads=False)
        self.head = head
        self._vision, self._config = vision, config
        self._taps = Taps(model.model, vision, head.spec.taps)

    def forward(self, **batch) -> dict:
        """{"loss", "depth_loss", "delta1", "text_loss"} of the batch of a MapCollator, or of
        kept features. delta1: share of known pixels, a mean over images; text_loss: where words
        are learnt."""
        weights, states = batch["loss_weights"], None
        if "features" in batch:
            features = batch["features"]
        else:
            features, states = self._looked(batch)
        maps = self._maps(_shown(features, batch["shown"]), batch)
        loss, seen = self._depth_losses(maps, batch["depth"])
        loss = weights.get("depth", 0.0) * loss
        if weights.get("text") and len(batch["targets"]):
            seen["text_loss"] = self._text_loss(states, batch)
            loss = loss + weights["text"] * seen["text_loss"]
        return {"loss": loss, **{name: value.detach() for name, value in seen.items()}}

    def features(self, batch) -> list:
        """For each image of a MapCollator's batch the feature map (1, C, rows, columns) of each
        tap."""
        return self._looked(batch)[0]

    def _looked(self, batch) -> tuple:
        """(features, states) of one forward of the model."""
        learns = torch.is_grad_enabled() and self._config.learns != "head"
        side = self._vision.side
        grids = [(one.shape[2] // side, one.shape[3] // side) for one in batch["colours"]]
        with self._taps.collecting() as found, torch.set_grad_enabled(learns):
            states = self.states(batch)
        at_image = batch["input_ids"] == self._vision.image_id
        return self._taps.maps(found, at_image, grids), states

    def _maps(self, features, batch) -> list:
        """A DepthMap (1, h, w) of each image at its view's size; images of one size together."""
        colours = batch["colours"]
        found: list = [None] * len(colours)
        for size in dict.fromkeys(one.shape for one in colours):
            which = [i for i, one in enumerate(colours) if one.shape == size]
            joined = [
                torch.cat(of_tap) for of_tap in zip(*(features[i] for i in which), strict=True)
            ]
            maps = self.head(joined, torch.cat([colours[i] for i in which]), tuple(size[2:]))
            for row, i in enumerate(which):
                found[i] = _one(maps, row).resized(tuple(batch["depth"][i].shape))
        return found

    def _depth_losses(self, maps, truths) -> tuple:
        """(loss, its parts): means over the images of which something is known."""
        config, parts = self._config, []
        for one, truth in zip(maps, truths, strict=True):
            if not truth.isfinite().any():
                continue
            value = one.log_m[0]
            loss = LOSSES[config.depth_loss](value, truth)
            total = loss
            if config.gradient:
                total = total + config.gradient * gradient_l1(value, truth)
            if one.log_scale is not None:
                total = total + config.doubt * doubt(one.log_scale[0], value, truth)
            off = (value.detach() - truth)[truth.isfinite()].abs()
            parts.append(torch.stack([total, loss, (off < WITHIN).float().mean()]))
        if not parts:
            nothing = sum(one.value.sum() for one in maps) * 0.0
            return nothing, {}
        total, loss, right = torch.stack(parts).mean(0)
        return total, {"depth_loss": loss, "delta1": right}


def _shown(features: list, ways: list) -> list:
    """The features that the head is given of each image: its own, zeros for "nothing", or for
    "another" those of the next image that is shown so, zeros where it is the only one."""
    found = [
        [torch.zeros_like(one) for one in own] if way != "own" else own
        for own, way in zip(features, ways, strict=True)
    ]
    swapped = [i for i, way in enumerate(ways) if way == "another"]
    for i, other in pairwise([*swapped, *swapped[:1]]):
        if i != other:
            found[i] = [
                resized(theirs, own.shape[2:])
                for own, theirs in zip(features[i], features[other], strict=True)
            ]
    return found


def _one(maps: DepthMap, row: int) -> DepthMap:
    """The map of one image of several."""
    scale = maps.log_scale
    return DepthMap(
        maps.value[row : row + 1], None if scale is None else scale[row : row + 1], maps.is_log
    )
