# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A stock vision-language model with a dense head beside it.

Forward hooks collect the feature maps while the model runs as it is: no modelling code is copied
and nothing stays attached, so its answers are the same, bit for bit, as without a head. The words
behind the image are not needed: states at image tokens depend on nothing that comes later.

Stored as DepthVLM is: the head's weights as depth_head.* among the model's own, so that whoever
knows no head loads the rest; the spec in depthlm.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from depthlm_ros.checkpoints import HEAD_PREFIX, with_head
from depthlm_ros.data.whole import becoming
from depthlm_ros.dense.head import DepthMap, HeadSpec, Tap, make_head
from depthlm_ros.errors import CheckpointError
from depthlm_ros.models import compat
from depthlm_ros.models.decoder import prefill
from depthlm_ros.models.listeners import listening
from depthlm_ros.models.loading import Loaded, Parts
from depthlm_ros.models.prompts import Prompts
from depthlm_ros.models.vision import ImageTensors, QwenVision
from depthlm_ros.models.weights import SHARDS, WEIGHTS, read_tensors
from depthlm_ros.view import View

Found = list[list[torch.Tensor]]  # for each tap, what its module returned, call by call
HEAD_SHARD = "model-depth_head.safetensors"


class Taps:
    """Where feature maps are taken in a model.

    base: the model without its language head. Raises CheckpointError where it has no such place.
    """

    def __init__(self, base: nn.Module, vision: QwenVision, taps: Sequence[Tap]):
        self._vision, self._taps = vision, tuple(taps)
        self._modules = [_tapped(base, tap) for tap in taps]

    @contextmanager
    def collecting(self) -> Iterator[Found]:
        """What the taps return while this is open; nothing is attached before or after."""
        found: Found = [[] for _ in self._modules]
        with ExitStack() as stack:
            for module, kept in zip(self._modules, found, strict=True):
                stack.enter_context(listening(module, kept.append))
            yield found

    def maps(
        self, found: Found, at_image: torch.Tensor, grids: Sequence[tuple[int, int]]
    ) -> list[list[torch.Tensor]]:
        """For each image, for each tap: (1, C, rows, columns).

        found: of one forward of the model, over images whose grids of image tokens are given in
        order. at_image: (B, L) bool, the image tokens of its prompts.
        """
        of_taps = [
            self._of_tap(tap, outputs, at_image, grids)
            for tap, outputs in zip(self._taps, found, strict=True)
        ]
        return [list(of_image) for of_image in zip(*of_taps, strict=True)]

    def _of_tap(
        self,
        tap: Tap,
        outputs: list[torch.Tensor],
        at_image: torch.Tensor,
        grids: Sequence[tuple[int, int]],
    ) -> list[torch.Tensor]:
        if tap.source == "vision":
            states = torch.cat([output.flatten(0, -2) for output in outputs])
            return self._vision.maps(states, grids)
        (states,) = outputs
        if tap.source == "text":  # (B, L, width), or end to end
            states = states.flatten(0, -2)[at_image.flatten()]
        parts = states.split([rows * columns for rows, columns in grids])
        return [part.T.reshape(1, -1, *grid) for part, grid in zip(parts, grids, strict=True)]


class DenseModel:
    """A Loaded model with a head: images -> DepthMaps. Differentiable where torch lets it.

    loaded: the model, as it is. head: of dense/head.py, on the same device.
    """

    def __init__(self, loaded: Loaded, head: nn.Module, spec: HeadSpec):
        self.loaded, self.spec = loaded, spec
        self.head = head.to(loaded.device)
        self.taps = Taps(loaded.base, loaded.vision, spec.taps)
        self._prompts = Prompts(loaded)

    def features(
        self, images: ImageTensors, ids: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """[(N, C, rows, columns) of each tap] of N images of one size.

        ids: (L,) of a prompt that holds one image, its tokens in place; None: the beginning of
        every prompt, up to the image's end.
        """
        if ids is None:
            ids = self._beginning(images.grid)
        device, count = self.loaded.device, self.loaded.vision.count(images)
        positions = self._prompts.placed(ids, images).positions[:, None].expand(-1, count, -1)
        given = ids.expand(count, -1).to(device)
        with self.taps.collecting() as found:
            prefill(self.loaded, given, positions.to(device), images.to(device))
        return self.maps(found, given, [images.grid] * count)

    def maps(
        self, found: Found, ids: torch.Tensor, grids: Sequence[tuple[int, int]]
    ) -> list[torch.Tensor]:
        """[(N, C, rows, columns) of each tap] of what a forward over prompts (N, L) left in the
        taps; each holds one image, whose grids of image tokens are equal."""
        of_images = self.taps.maps(found, ids == self.loaded.vision.image_id, grids)
        return [torch.cat(of_tap) for of_tap in zip(*of_images, strict=True)]

    def map_of(self, features: Sequence[torch.Tensor], images: ImageTensors) -> DepthMap:
        """The DepthMap of N images, in the size that the model sees."""
        return self.head(
            features, self.loaded.vision.colours(images.to(self.loaded.device)), images.size
        )

    def depth(self, views: View | Sequence[View]) -> DepthMap:
        """The DepthMap of one view, or of several of one size, at the views' size."""
        several = [views] if isinstance(views, View) else views
        images = self.loaded.vision.prepare([view.image for view in several])
        found = self.map_of(self.features(images), images)
        return found.resized(several[0].image.shape[:2])

    def _beginning(self, grid: tuple[int, int]) -> torch.Tensor:
        """(L,) ids of a prompt up to its image's last token."""
        ids = self._prompts.with_images(self.loaded.chat.ids(""), grid)
        at_image = (ids == self.loaded.vision.image_id).nonzero()
        return ids[: int(at_image[-1]) + 1]


def attach_new_head(loaded: Loaded, spec: HeadSpec) -> DenseModel:
    """A model with a head that has still to learn."""
    return DenseModel(loaded, make_head(spec, in_widths(loaded, spec)), spec)


def load_dense(loaded: Loaded) -> DenseModel:
    """A model with the head of its checkpoint.

    Raises CheckpointError where it has none, or one of other shapes than its entry says.
    """
    checkpoint = loaded.checkpoint
    if checkpoint.head is None:
        raise CheckpointError(
            f"checkpoint '{checkpoint.name}' has no dense head: its entry names none under 'head'"
        )
    made = attach_new_head(loaded, checkpoint.head)
    weights = read_tensors(checkpoint.model, HEAD_PREFIX)
    own = made.head.state_dict()
    wrong = [n for n in own if n not in weights or weights[n].shape != own[n].shape]
    wrong += [n for n in weights if n not in own]
    if wrong:
        shape = tuple(weights[wrong[0]].shape) if wrong[0] in weights else "missing"
        raise CheckpointError(
            f"the dense head of {checkpoint.model} is not the one that its entry describes:"
            f" {HEAD_PREFIX}{wrong[0]} ({shape}) and {len(wrong) - 1} more do not fit"
        )
    made.head.load_state_dict(weights)
    made.head.eval().requires_grad_(False)
    return made


def save_with_head(folder: str | Path, head: nn.Module, parts: Parts) -> None:
    """Put a head into a complete checkpoint folder: its weights among the model's, its spec into
    depthlm.json, where grids are then asked in style dense."""
    folder = Path(folder)
    weights = {
        HEAD_PREFIX + n: w.detach().float().cpu().contiguous()
        for n, w in head.state_dict().items()
    }
    if (folder / SHARDS).exists():
        _add_shard(folder, weights)
    else:
        whole = {
            n: w for n, w in load_file(folder / WEIGHTS).items() if not n.startswith(HEAD_PREFIX)
        }
        with becoming(folder / WEIGHTS) as part:
            save_file({**whole, **weights}, part, metadata={"format": "pt"})
    with_head(parts.checkpoint, head.spec).write(folder)


def in_widths(parts: Parts, spec: HeadSpec) -> list[int]:
    """Channels of the feature map of each tap."""
    widths = {
        "vision": parts.config.vision_config.hidden_size,
        "deepstack": parts.config.get_text_config().hidden_size,
        "text": parts.config.get_text_config().hidden_size,
    }
    return [widths[tap.source] for tap in spec.taps]


def _tapped(base: nn.Module, tap: Tap) -> nn.Module:
    """The module whose output a tap takes."""
    places = {
        "vision": compat.vision_layers(base),
        "deepstack": compat.deepstack_mergers(base),
        "text": compat.text_layers(base),
    }
    found = places[tap.source].get(tap.layer)
    if found is None:
        allowed = ", ".join(map(str, places[tap.source])) or "none"
        raise CheckpointError(
            f"the head taps {tap.source} layer {tap.layer}, and this model has: {allowed}"
        )
    return found


def _add_shard(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """One more file beside the shards, named in their index."""
    save_file(weights, folder / HEAD_SHARD, metadata={"format": "pt"})
    index = json.loads((folder / SHARDS).read_text())
    known = {n: f for n, f in index["weight_map"].items() if not n.startswith(HEAD_PREFIX)}
    index["weight_map"] = {**known, **dict.fromkeys(weights, HEAD_SHARD)}
    with becoming(folder / SHARDS) as part:
        part.write_text(json.dumps(index, indent=2))
