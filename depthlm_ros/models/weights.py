# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A model's weights: whether they fit, looked at before, and then read.

Knows nothing about tokenizers, pictures or questions.

from_pretrained of transformers: quiet, its many exceptions one sentence, its bar a callable.

Knows nothing about which parts a model is made of.
"""

import contextlib

import torch
import transformers
from transformers import AutoModelForImageTextToText

from depthlm_ros.errors import CheckpointError, OutOfMemory, first_line
from depthlm_ros.models.memory import at_once, free_bytes


def part(checkpoint, what, loader, **options):
    """One part by from_pretrained; whatever it raises becomes a CheckpointError."""
    try:
        return loader.from_pretrained(checkpoint.model, trust_remote_code=False, **options)
    except Exception as error:  # every loader has exceptions of its own for a bad folder
        raise CheckpointError(
            f"the {what} of {checkpoint.model} cannot be loaded: {first_line(error)}"
        ) from error


@contextlib.contextmanager
def quiet():
    """Without transformers' progress bars and load reports: the errors here say it shorter."""
    log = transformers.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


@contextlib.contextmanager
def counted(sizes, tell):
    """Inside, tell(fraction) is called after each weight that transformers has read.

    sizes: name of a weight -> its bytes. A version of transformers without a hook for its bars
    tells nothing.
    """

    def hook(factory, arguments, options):
        if options.get("desc") == "Loading weights" and arguments:
            return _counting(arguments[0], sizes, tell)
        return factory(*arguments, **options)

    set_hook = getattr(transformers.logging, "set_tqdm_hook", lambda hook: None)
    before = set_hook(hook)
    try:
        yield
    finally:
        set_hook(before)


def _counting(items, sizes, tell):
    total, read = sum(sizes.values()), 0
    for name, weight in items:
        yield name, weight
        read += sizes.get(name, 0)
        tell(read / total)


def empty_model(config, device, dtype):
    """The model with whatever weights transformers gives it; device "meta": with none."""
    with torch.device(device):
        return AutoModelForImageTextToText.from_config(
            config, dtype=dtype, attn_implementation="sdpa"
        )


def check_room(name, sizes, device) -> None:
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


def sizes_of(config, dtype) -> dict:
    """Name of each weight -> its bytes in this dtype."""
    named = empty_model(config, "meta", dtype).named_parameters()
    return {name: weight.nbytes for name, weight in named}


def read_weights(checkpoint, config, dtype, device, progress):
    """The model on a torch device; OutOfMemory where it has no room, CheckpointError where
    transformers would fill weights with random numbers."""
    sizes = sizes_of(config, dtype)
    for place in {torch.device("cpu"), device}:  # weights pass through the CPU's memory
        check_room(checkpoint.name, sizes, place)
    what = f"reading {sum(sizes.values()) / 1e9:.2g} GB of weights"
    with counted(sizes, lambda fraction: progress(min(fraction, 1.0), what)):
        model, found = part(
            checkpoint,
            "model",
            AutoModelForImageTextToText,
            dtype=dtype,
            use_safetensors=True,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    _check_complete(checkpoint, found["missing_keys"])
    at_once(checkpoint.name, model.to, device)
    return model.eval().requires_grad_(False)


def _check_complete(checkpoint, missing):
    if missing:
        raise CheckpointError(
            f"{checkpoint.model} lacks {len(missing)} weights of its config.json,"
            f" {min(missing)} first: the folder is half written or of another model"
        )
