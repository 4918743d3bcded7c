# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A model's weights: whether they fit, looked at before, and then read.

Also part(), by which every part of a checkpoint is read: what transformers raises, and what it
lets pass silently, becomes one sentence.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForImageTextToText

from depthlm_ros.checkpoints import HEAD_PREFIX, Checkpoint
from depthlm_ros.engines.progress import Progress
from depthlm_ros.errors import CheckpointError, OutOfMemory, first_line
from depthlm_ros.models.compat import counted_weights, placed_on, stored_file
from depthlm_ros.models.memory import at_once, free_bytes, is_out_of_memory

WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"  # names on the hub
COMPUTED = ("inv_freq", "position_ids")  # that old versions wrote and every version computes


def read_weights(
    checkpoint: Checkpoint,
    config: Any,
    dtype: torch.dtype,
    device: torch.device,
    progress: Progress,
) -> torch.nn.Module:
    """The model on a torch device; OutOfMemory where it has no room, CheckpointError where
    transformers would fill weights with random numbers.

    Weights go to a GPU one by one as they are read; only without accelerate do all of them lie in
    the processor's memory before.
    """
    sizes, direct = sizes_of(config, dtype), placed_on(device)
    for place in {device} if direct else {torch.device("cpu"), device}:
        check_room(checkpoint.name, sizes, place)
    total, read = sum(sizes.values()), 0
    what = f"reading {total / 1e9:.2g} GB of weights"

    def count(name: str) -> None:
        nonlocal read
        read += sizes.get(name, 0)
        progress(min(read / total, 1.0), what)

    with counted_weights(count):
        model, found = part(
            checkpoint,
            "model",
            AutoModelForImageTextToText,
            dtype=dtype,
            use_safetensors=True,
            attn_implementation="sdpa",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, by name; here "look at the above report!"
            **direct,
        )
    _check_shapes(checkpoint, found["mismatched_keys"])
    _check_complete(checkpoint, found["missing_keys"])
    _check_known(checkpoint, found["unexpected_keys"])
    at_once(checkpoint.name, model.to, device)
    return model.eval().requires_grad_(False)


def read_tensors(model: str, prefix: str) -> dict[str, torch.Tensor]:
    """The weights of a folder or hub id whose names begin with `prefix`, by the rest of their
    names; none where there are none."""
    found: dict[str, torch.Tensor] = {}
    for path in _weight_files(model, prefix):
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            found |= {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    return found


def _weight_files(model: str, prefix: str) -> list[Path]:
    """The files that hold weights of this prefix."""
    index = stored_file(model, SHARDS)
    if index is None:
        names = {WEIGHTS}
    else:
        shards = json.loads(index.read_text())["weight_map"]
        names = {file for name, file in shards.items() if name.startswith(prefix)}
    return [path for name in sorted(names) if (path := stored_file(model, name))]


def part(checkpoint: Checkpoint, what: str, loader: Any, **options: Any) -> Any:
    """One part of a checkpoint by its loader's from_pretrained; whatever that raises becomes a
    CheckpointError which says that `what` cannot be loaded, or OutOfMemory."""
    try:
        return loader.from_pretrained(checkpoint.model, trust_remote_code=False, **options)
    except Exception as error:  # every loader has exceptions of its own for a bad folder
        if is_out_of_memory(error):
            raise OutOfMemory(
                f"{checkpoint.name} does not fit into memory: {first_line(error)}"
            ) from error
        raise CheckpointError(
            f"the {what} of {checkpoint.model} cannot be loaded: {first_line(error)}"
            f"{_advice(checkpoint.model)}"
        ) from error


def _advice(model: str) -> str:
    """What to do about a model of the hub, whose own advice is lines long; "" for a folder."""
    if Path(model).is_dir():
        return ""
    return (
        f": where it is gated, ask for access at https://huggingface.co/{model} and log in by `hf"
        f" auth login`; without a network, `hf download {model} --local-dir FOLDER` elsewhere and"
        f" give that folder (with --entry {model}, in the node the parameter row)"
    )


def sizes_of(config: Any, dtype: torch.dtype) -> dict[str, int]:
    """Name of each weight -> its bytes in this dtype."""
    named = empty_model(config, "meta", dtype).named_parameters()
    return {name: weight.nbytes for name, weight in named}


def empty_model(config: Any, device: torch.device | str, dtype: torch.dtype) -> torch.nn.Module:
    """The model with whatever weights transformers gives it; device "meta": with none."""
    with torch.device(device):
        return AutoModelForImageTextToText.from_config(
            config, dtype=dtype, attn_implementation="sdpa"
        )


def check_room(name: str, sizes: dict[str, int], device: torch.device) -> None:
    """OutOfMemory unless weights of these sizes (name -> bytes) fit the torch device.

    A CPU without memory would kill the process instead of raising an error.
    """
    needed, free = sum(sizes.values()), free_bytes(device)
    if needed > free:
        raise OutOfMemory(
            f"{name} needs {needed / 1e9:.3g} GB for its weights and the {device.type} has"
            f" {free / 1e9:.3g} GB free: end other programs, take a dtype of two bytes (bfloat16),"
            " a smaller model or another device"
        )


def _check_shapes(checkpoint: Checkpoint, mismatched: Collection[tuple[Any, ...]]) -> None:
    """mismatched: (name, shape in the file, shape by config.json) of weights that differ."""
    if mismatched:
        name, stored, wanted = min(mismatched, key=lambda one: one[0])
        raise CheckpointError(
            f"{checkpoint.model} holds {len(mismatched)} weights in other shapes than its"
            f" config.json says, {name} first: {_shape(stored)} instead of {_shape(wanted)}; copy"
            " the config.json of this model"
        )


def _shape(lengths: Iterable[int]) -> str:
    return " x ".join(map(str, lengths))


def _check_complete(checkpoint: Checkpoint, missing: set[str]) -> None:
    if missing:
        raise CheckpointError(
            f"{checkpoint.model} lacks {len(missing)} weights of its config.json,"
            f" {min(missing)} first: the folder is half written or of another model"
        )


def _check_known(checkpoint: Checkpoint, found: set[str]) -> None:
    """Weights that nothing takes are an adapter that was never merged, or another model's; those
    of a dense head are read by dense/model.py, or are of no use to an entry without a head."""
    known = [name for name in found if name.endswith(COMPUTED) or name.startswith(HEAD_PREFIX)]
    extra = found.difference(known)
    if extra:
        raise CheckpointError(
            f"{checkpoint.model} holds {len(extra)} weights that its config.json has no place for,"
            f" {min(extra)} first: merge an adapter before, or copy the config.json of this model"
        )
