# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A checkpoint's model, tokenizer and image processor, loaded through the ordinary
from_pretrained and checked for whatever transformers lets pass silently."""

from __future__ import annotations

import logging
import os
import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers

from depthlm_ros.answer import FORMS
from depthlm_ros.checkpoints import Checkpoint, check_folder
from depthlm_ros.engines.engine import DEVICES, DTYPES
from depthlm_ros.engines.progress import Progress, silent, span
from depthlm_ros.errors import CheckpointError, InputError, first_line
from depthlm_ros.models.chat import Chat, chat_of
from depthlm_ros.models.compat import Decoder, decoder, quiet
from depthlm_ros.models.linear import LayerProducts, products_of
from depthlm_ros.models.tower import Tower
from depthlm_ros.models.vision import FAMILIES, QwenVision
from depthlm_ros.models.weights import part, read_weights
from depthlm_ros.question import POINT, WORDINGS


@dataclass
class Parts:
    """What prepares a question for a model, without its weights: enough for a trainer.

    vision: see vision.py.
    chat: see chat.py.
    symbol_ids: the tokens of digits.SYMBOLS.
    point_id: the token that points, None if the vocabulary lacks it.
    notes: what is doubtful about the checkpoint's files, a sentence each.
    """

    checkpoint: Checkpoint
    config: Any
    tokenizer: Any
    vision: QwenVision
    chat: Chat
    symbol_ids: list[int]
    point_id: int | None
    notes: list[str]


@dataclass
class Loaded(Parts):
    """Everything that belongs to one checkpoint, the model on its device and ready to ask.

    threads: that the user gave it, 0 for none in particular.
    """

    model: torch.nn.Module
    threads: int = 0

    @property
    def base(self) -> torch.nn.Module:
        """The model without its head: hidden states out."""
        return self.model.model

    @property
    def head(self) -> torch.nn.Module:
        """Hidden states -> logits over the vocabulary."""
        return self.model.get_output_embeddings()

    @cached_property
    def tower(self) -> Tower:
        """The layers of the vision part."""
        return Tower(self.base, self.vision.merge)

    @cached_property
    def decoder(self) -> Decoder:
        """The layers of the language model."""
        return decoder(self.base)

    @cached_property
    def products(self) -> list[LayerProducts]:
        """The products of matrices in the layers of the language model."""
        return products_of(self.decoder)

    @cached_property
    def parameters(self) -> int:
        """How many numbers the model is made of."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device


def load_parts(checkpoint: Checkpoint, weights: bool = True) -> Parts:
    """Tokenizer, image processor and chat layout; notes are logged. weights: whether a folder must
    hold them too. Raises CheckpointError."""
    if Path(checkpoint.model).is_dir():
        check_folder(checkpoint.model, weights)
    config = _architecture(checkpoint)
    tokenizer = part(checkpoint, "tokenizer", transformers.AutoTokenizer)
    _check_tokenizer(checkpoint, tokenizer, config)
    family = FAMILIES[config.model_type]
    loader = getattr(transformers, family.processor_class)
    processor = part(checkpoint, "image processor", loader)
    vision = family(config, processor, tokenizer)
    image_id = config.image_token_id
    chat, notes = chat_of(checkpoint.model, tokenizer, checkpoint.system, image_id)
    asked = [WORDINGS[style][wording] for style, wording in checkpoint.wording.items()]
    for question, form in asked or [("", "number")]:  # none where only a dense head tells
        symbols = chat.symbol_ids(question, FORMS[form].opening)
    if not processor.do_rescale:
        notes.append(
            f"do_rescale is off in the image processor of {checkpoint.model}: its model is given"
            " colours of 0 to 255 instead of 0 to 1, which is right only if it was trained so"
        )
    for note in notes:
        logging.getLogger(__name__).warning("%s", note)
    point = tokenizer.get_vocab().get(POINT)
    return Parts(checkpoint, config, tokenizer, vision, chat, symbols, point, notes)


def load(
    checkpoint: Checkpoint | Loaded,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
    progress: Progress = silent,
) -> Loaded:
    """The checkpoint on `device` ("auto", "cpu", "cuda", "cuda:1") in `dtype` ("auto": see
    find_dtype). threads: of the processor, 0 for as many as suit the model. progress: see
    engines/progress.py. A Loaded in place of the checkpoint is given back as it is.

    Raises CheckpointError, InputError, or OutOfMemory before anything is read.
    """
    if isinstance(checkpoint, Loaded):
        return checkpoint
    on = find_device(device)
    in_dtype = find_dtype(dtype, on)
    _check_threads(threads)
    with quiet():
        progress(0.0, "reading the tokenizer")
        parts = load_parts(checkpoint)
        weighing = span(progress, 0.05, 1.0)
        model = read_weights(checkpoint, parts.config, in_dtype, on, weighing)
    return Loaded(**vars(parts), model=model, threads=threads)


def find_device(name: str) -> torch.device:
    """The torch device for a name; InputError that says why where nothing can be computed on it.
    "auto" is the first GPU that works, else the CPU."""
    if not re.fullmatch(DEVICES, str(name)):
        raise InputError(f"device is {name!r}, allowed: auto, cpu, cuda, cuda:1 and so on")
    if name == "cpu":
        return torch.device("cpu")
    device = torch.device("cuda" if name == "auto" else name)
    reason = _trouble(device)
    if not reason:
        return device
    if name != "auto":
        raise InputError(f"{reason}; device 'cpu' works without it")
    if _driver() or torch.cuda.is_available():
        logging.getLogger(__name__).warning("%s; going on with the CPU", reason)
    return torch.device("cpu")


def _trouble(device: torch.device) -> str:
    """Why nothing can be computed on a GPU; empty if it can."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if not torch.cuda.is_available():
            return _no_cuda(said)
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        return f"there is no {device}: torch sees {count} GPU(s), the first is cuda:0"
    try:
        torch.ones(1, device=device).sum().item()
    except RuntimeError as error:  # a GPU that this build of torch is too new or too old for
        return f"torch {torch.__version__} cannot compute on {device}: {first_line(error)}"
    return ""


def _no_cuda(said: list[warnings.WarningMessage]) -> str:
    build = torch.version.cuda
    made = f"for CUDA {build}" if build else "without CUDA"
    reason = f" ({str(said[0].message).splitlines()[0]})" if said else ""
    return f"torch {torch.__version__} is built {made} and sees no NVIDIA GPU, {_seen()}{reason}"


def _seen() -> str:
    return f"the driver here is {_driver()}" if _driver() else "and no NVIDIA driver is loaded"


def _driver() -> str:
    """The loaded NVIDIA driver as the kernel names it, empty if there is none."""
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0].split("  ")[1]
    except (OSError, IndexError):
        return ""


def find_dtype(name: str, device: torch.device) -> torch.dtype:
    """The torch dtype for a name; InputError where there is no such dtype. "auto" is bfloat16 on a
    GPU that computes with it, else float32: models trained in bfloat16 overflow in float16."""
    if name not in DTYPES:
        raise InputError(f"dtype is {name!r}, allowed: {', '.join(DTYPES)}")
    if name == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    return getattr(torch, name)


def _has_bfloat16(device: torch.device) -> bool:
    """GPUs before Ampere (compute capability 8) only emulate it."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _check_threads(threads: int) -> None:
    cores = os.cpu_count() or 1
    if threads not in range(cores + 1):
        raise InputError(
            f"threads is {threads!r}, allowed: 0 (as many as suit the model) to {cores}, the cores"
            " of this machine"
        )


def _architecture(checkpoint: Checkpoint) -> Any:
    config = part(checkpoint, "config", transformers.AutoConfig)
    if config.model_type not in FAMILIES or config.model_type != checkpoint.architecture:
        raise CheckpointError(
            f"{checkpoint.model} is a '{config.model_type}' model where"
            f" '{checkpoint.architecture}' is expected; supported: {', '.join(FAMILIES)}"
        )
    return config


def _check_tokenizer(checkpoint: Checkpoint, tokenizer: Any, config: Any) -> None:
    """transformers makes an empty tokenizer of a folder that has none."""
    size = config.get_text_config().vocab_size
    if len(tokenizer) < 20 or max(tokenizer.get_vocab().values()) >= size:
        raise CheckpointError(
            f"the tokenizer of {checkpoint.model} has {len(tokenizer)} tokens and the model"
            f" {size}: copy tokenizer.json and tokenizer_config.json of the same model"
        )
    if config.image_token_id not in tokenizer.get_vocab().values():
        raise CheckpointError(
            f"the tokenizer of {checkpoint.model} has no token {config.image_token_id}, which its"
            " config.json names as the image's"
        )
