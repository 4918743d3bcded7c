# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A checkpoint's model, tokenizer and image processor, loaded through the ordinary
from_pretrained and checked for whatever transformers lets pass silently.

Knows nothing about questions, engines or batches.
"""

import contextlib
import logging
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import transformers

from depthlm_ros.answer import FORMS
from depthlm_ros.checkpoints import Checkpoint, check_folder
from depthlm_ros.engines.chat import Chat
from depthlm_ros.engines.vision import FAMILIES
from depthlm_ros.errors import CheckpointError, InputError
from depthlm_ros.question import POINT, WORDINGS

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass
class Parts:
    """What prepares a question for a model, without its weights: enough for a trainer.

    vision: see vision.py. chat: see chat.py. symbol_ids: the tokens of digits.SYMBOLS.
    point_id: the token that points, None if the vocabulary has it not.
    """

    checkpoint: Checkpoint
    config: object
    tokenizer: object
    vision: object
    chat: Chat
    symbol_ids: list
    point_id: int | None


@dataclass
class Loaded(Parts):
    """Everything that belongs to one checkpoint, the model on its device and ready to ask."""

    model: torch.nn.Module

    @property
    def base(self):
        """The model without its head: hidden states out."""
        return self.model.model

    @property
    def head(self):
        """Hidden states -> logits over the vocabulary."""
        return self.model.get_output_embeddings()

    @cached_property
    def parameters(self) -> int:
        """How many numbers the model is made of."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def device(self):
        """Where the weights are."""
        return self.model.device


def load_parts(checkpoint) -> Parts:
    """Tokenizer, image processor and chat layout. Raises CheckpointError."""
    if Path(checkpoint.model).is_dir():
        check_folder(checkpoint.model)
    config = _architecture(checkpoint)
    tokenizer = _part(checkpoint, "tokenizer", transformers.AutoTokenizer)
    _check_tokenizer(checkpoint, tokenizer, config)
    family = FAMILIES[config.model_type]
    loader = getattr(transformers, family.processor_class)
    processor = _part(checkpoint, "image processor", loader)
    vision = family(config, processor, tokenizer)
    chat = Chat(tokenizer, checkpoint.system)
    for style, wording in checkpoint.wording.items():
        question, form = WORDINGS[style][wording]
        symbols = chat.symbol_ids(question, FORMS[form].opening)
    point = tokenizer.get_vocab().get(POINT)
    return Parts(checkpoint, config, tokenizer, vision, chat, symbols, point)


def load(checkpoint, device="auto", dtype="auto") -> Loaded:
    """The checkpoint on `device` ("auto", "cpu", "cuda") in `dtype` ("auto": float32 on a CPU,
    bfloat16 on a GPU). Raises CheckpointError or InputError."""
    device = find_device(device)
    dtype = _find_dtype(dtype, device)
    with _quiet():
        parts = load_parts(checkpoint)
        model = _weights(checkpoint, dtype).to(device).eval().requires_grad_(False)
    return Loaded(**vars(parts), model=model)


def find_device(name) -> torch.device:
    """The torch device for a name; InputError that says why where there is no such device."""
    if name not in DEVICES:
        raise InputError(f"device is {name!r}, allowed: {', '.join(DEVICES)}")
    if name == "cpu":
        return torch.device("cpu")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return torch.device("cuda")
    reason = _no_cuda(said)
    if name == "cuda":
        raise InputError(f"{reason}; device 'cpu' works without it")
    if _driver():
        logging.getLogger(__name__).warning("%s; going on with the CPU", reason)
    return torch.device("cpu")


def _no_cuda(said) -> str:
    build = torch.version.cuda
    made = f"for CUDA {build}" if build else "without CUDA"
    told = f" ({str(said[0].message).splitlines()[0]})" if said else ""
    return f"torch {torch.__version__} is built {made} and sees no NVIDIA GPU, {_seen()}{told}"


def _seen() -> str:
    return f"the driver here is {_driver()}" if _driver() else "and no NVIDIA driver is loaded"


def _driver() -> str:
    """The loaded NVIDIA driver as the kernel names it, empty if there is none."""
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0].split("  ")[1]
    except (OSError, IndexError):
        return ""


def _find_dtype(name, device) -> torch.dtype:
    if name not in DTYPES:
        raise InputError(f"dtype is {name!r}, allowed: {', '.join(DTYPES)}")
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return getattr(torch, name)


def _architecture(checkpoint):
    config = _part(checkpoint, "config", transformers.AutoConfig)
    if config.model_type not in FAMILIES or config.model_type != checkpoint.architecture:
        raise CheckpointError(
            f"{checkpoint.model} is a '{config.model_type}' model where"
            f" '{checkpoint.architecture}' is expected; supported: {', '.join(FAMILIES)}"
        )
    return config


def _part(checkpoint, what, loader, **options):
    """One part by from_pretrained; whatever it raises becomes one sentence."""
    try:
        return loader.from_pretrained(checkpoint.model, trust_remote_code=False, **options)
    except Exception as error:  # every loader has exceptions of its own for a bad folder
        raise CheckpointError(
            f"the {what} of {checkpoint.model} cannot be loaded: {_first_line(error)}"
        ) from error


def _first_line(error) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def _check_tokenizer(checkpoint, tokenizer, config):
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
            " config.json names as the picture's"
        )


def _weights(checkpoint, dtype):
    """The model; refused where transformers would fill weights with random numbers."""
    model, found = _part(
        checkpoint,
        "model",
        transformers.AutoModelForImageTextToText,
        dtype=dtype,
        use_safetensors=True,
        attn_implementation="sdpa",
        output_loading_info=True,
    )
    missing = sorted(found["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{checkpoint.model} lacks {len(missing)} weights of its config.json, {missing[0]}"
            " first: the folder is half written or of another model"
        )
    return model


@contextlib.contextmanager
def _quiet():
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
