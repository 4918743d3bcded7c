# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Sizes of models, published and our own, and how one is built with random weights.

Nothing is downloaded, and no weights are written: they are made on the device. The head never
shares its weights with the embeddings, so that it can be made to say numbers; the arithmetic is
the same. Knows nothing about clocks.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depthlm_ros.bench.configs import config_of, processor_of
from depthlm_ros.bench.weights import fill
from depthlm_ros.bench.words import tokenizer_of
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.errors import InputError
from depthlm_ros.view import Frame, View

QWEN_STYLES = {"marker": "tags", "coordinates": "tags", "position": "number"}
PIXTRAL_STYLES = {"marker": "tags", "coordinates": "tags"}


class Text(NamedTuple):
    """The language model: width of a state, of its MLP and of a head."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    mlp: int
    vocabulary: int


class Vision(NamedTuple):
    """The vision part. special: blocks with full attention (Qwen2.5-VL) or tapped for DeepStack
    (Qwen3-VL)."""

    width: int
    layers: int
    heads: int
    mlp: int
    special: tuple = ()


class Size(NamedTuple):
    """view: (width, height, focal length) in pixels."""

    architecture: str
    text: Text
    vision: Vision
    view: tuple

    @property
    def wording(self) -> dict:
        """The styles that such a model can be asked in."""
        return PIXTRAL_STYLES if self.architecture == "llava" else QWEN_STYLES


QWEN_VISION = Vision(1280, 32, 16, 3420, (7, 15, 23, 31))
USUAL = (1143, 857, 1000.0)  # 640 x 480 at the focal length of the published models
SIZES = {
    # As the embedded checkpoint.
    "tiny": Size(
        "qwen3_vl",
        Text(160, 4, 5, 5, 32, 480, 1024),
        Vision(160, 4, 5, 480, (1,)),
        (256, 192, 200.0),
    ),
    # The proportions of a published model, for a CPU.
    "bench": Size(
        "qwen2_5_vl",
        Text(512, 8, 8, 2, 64, 2048, 151_936),
        Vision(384, 8, 6, 1024, (3, 7)),
        USUAL,
    ),
    "qwen2.5-vl-3b": Size(
        "qwen2_5_vl", Text(2048, 36, 16, 2, 128, 11008, 151_936), QWEN_VISION, USUAL
    ),
    "qwen2.5-vl-7b": Size(
        "qwen2_5_vl", Text(3584, 28, 28, 4, 128, 18944, 152_064), QWEN_VISION, USUAL
    ),
    "qwen3-vl-4b": Size(
        "qwen3_vl",
        Text(2560, 36, 32, 8, 128, 9728, 151_936),
        Vision(1024, 24, 16, 4096, (5, 11, 17)),
        USUAL,
    ),
    "pixtral-12b": Size(
        "llava",
        Text(5120, 40, 32, 8, 128, 14336, 131_072),
        Vision(1024, 24, 16, 4096),
        (857, 643, 750.0),
    ),
}


def find_size(name) -> Size:
    """The Size of a name; InputError that lists the names."""
    if name not in SIZES:
        raise InputError(f"size '{name}' is unknown, allowed: {', '.join(SIZES)}")
    return SIZES[name]


def view_of(size, seed=0) -> View:
    """A View of noise in blocks at the size's own focal length."""
    width, height, focal_px = size.view
    blocks = np.random.default_rng(seed).integers(
        0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8
    )
    image = np.kron(blocks, np.ones((8, 8, 1), np.uint8))[:height, :width]
    camera = Camera(width, height, focal_px, focal_px, width / 2, height / 2)
    frame = Frame(np.ascontiguousarray(image), camera)
    return View(frame.image, camera, frame, (1.0, 1.0))


def build(size, name, device="auto", dtype="auto"):
    """loading.Loaded of a Size, its weights random. device, dtype: see loading.load. Raises
    OutOfMemory where the device has no room for it."""
    from depthlm_ros.models.loading import Loaded, find_device, find_dtype
    from depthlm_ros.models.weights import check_room, empty_model, sizes_of

    device, parts = find_device(device), parts_of(size, name)
    dtype = find_dtype(dtype, device)
    check_room(f"size '{name}'", sizes_of(parts.config, dtype), device)
    model = empty_model(parts.config, device, dtype)
    fill(model, parts.symbol_ids)
    model.generation_config.eos_token_id = None  # generate never ends early
    return Loaded(**vars(parts), model=model.eval().requires_grad_(False))


def parts_of(size, name):
    """loading.Parts of a Size: everything but the model."""
    from depthlm_ros.models.loading import load_parts

    with tempfile.TemporaryDirectory() as folder:
        return load_parts(_written(folder, name, size))


def _written(folder, name, size) -> Checkpoint:
    """A checkpoint folder with everything but weights."""
    from safetensors.numpy import save_file

    tokenizer = tokenizer_of("pixtral" if size.architecture == "llava" else "qwen")
    tokenizer.save_pretrained(folder)
    config_of(size, tokenizer).save_pretrained(folder)
    processor_of(size).save_pretrained(folder)
    save_file({}, Path(folder, "model.safetensors"))
    return Checkpoint(
        name=f"{name}, random weights",
        model=folder,
        architecture=size.architecture,
        focal_px=size.view[2],
        style="marker",
        grid_style="coordinates",
        wording=size.wording,
    )
