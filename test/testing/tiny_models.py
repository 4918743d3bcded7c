# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tiny random-weight models of the three architectures, on disk as trained ones would be.

write_checkpoint: a complete checkpoint folder whose model says numbers. Its weights are spread
widely: at the usual initializer_range of 0.02 moving the arrow changes a digit's probability by
3e-9, and every comparison would pass with the arrow missing. They are made to say numbers, since
random ones never would.

write_base: a base folder to train from, as the hub's are.
"""

import zlib
from pathlib import Path

from depthlm_ros.bench import configs, words
from depthlm_ros.bench.shapes import Size, Text, Vision
from depthlm_ros.checkpoints import Checkpoint

ARCHITECTURES = ("qwen3_vl", "qwen2_5_vl", "llava")
# A seed each with which questions about one image have different numbers for answers.
SEEDS = {"qwen3_vl": 2, "qwen2_5_vl": 3, "llava": 0}
# Blocks with full attention (Qwen2.5-VL) or tapped for DeepStack (Qwen3-VL).
SPECIAL_BLOCKS = {"qwen3_vl": (0,), "qwen2_5_vl": (1,), "llava": ()}
# What makes a vision part as small as images of a few patches.
SMALL_VISION = {
    "qwen3_vl": {"patch_size": 8, "num_position_embeddings": 64},
    "qwen2_5_vl": {"window_size": 56},
    "llava": {"image_size": 256},
}

BASE_TEXT = Text(width=48, layers=2, heads=3, kv_heads=1, head=16, mlp=64, vocabulary=1100)
BASE_VISION = Vision(width=32, layers=2, heads=2, mlp=48, special=(1,))


def tokenizer_of(architecture):
    """The tokenizer of the bench, by architecture."""
    return words.tokenizer_of("pixtral" if architecture == "llava" else "qwen")


def config_of(architecture, tokenizer):
    """A configuration with merged tokens of 16 pixels, of 28 in qwen2_5_vl."""
    text = Text(64, layers=3, heads=4, kv_heads=2, head=16, mlp=96, vocabulary=len(tokenizer))
    vision = Vision(32, layers=2, heads=2, mlp=48, special=SPECIAL_BLOCKS[architecture])
    made = configs.config_of(Size(architecture, text, vision, (70, 54, 100.0)), tokenizer)
    made.text_config.max_position_embeddings = 2048
    if architecture != "llava":
        made.text_config.rope_parameters["rope_theta"] = 100.0
    for name, value in SMALL_VISION[architecture].items():
        setattr(made.vision_config, name, value)
    return made


def processor_of(architecture):
    """An image processor; that of a Qwen takes images of 1024 pixels and more."""
    from transformers import PixtralImageProcessorPil
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    if architecture == "llava":
        return PixtralImageProcessorPil()
    bounds = {"shortest_edge": 1024, "longest_edge": 1_000_000}
    patch = 8 if architecture == "qwen3_vl" else 14
    return Qwen2VLImageProcessorPil(patch_size=patch, merge_size=2, size=bounds)


def write_checkpoint(folder, architecture):
    """Save a complete checkpoint folder; the Checkpoint that it is."""
    from transformers import AutoModelForImageTextToText

    tokenizer = tokenizer_of(architecture)
    model = AutoModelForImageTextToText.from_config(config_of(architecture, tokenizer))
    _let_it_say_numbers(model, tokenizer, SEEDS[architecture])
    for saved in (model, tokenizer, processor_of(architecture)):
        saved.save_pretrained(folder)
    row = checkpoint_of(architecture, folder, name="tiny random", focal_px=100.0)
    row.write(folder)
    return row


def write_base(folder, architecture, vision=BASE_VISION):
    """Save a base folder: the published chat layout, an end token of its own."""
    from transformers import AutoModelForImageTextToText

    from training.run.base import TEMPLATES

    size = Size(architecture, BASE_TEXT, vision, (130, 100, 110.0))
    tokenizer = tokenizer_of(architecture)
    tokenizer.eos_token = "</s>" if architecture == "llava" else "<|im_end|>"
    tokenizer.chat_template = (TEMPLATES / f"{architecture}.jinja").read_text()
    model = AutoModelForImageTextToText.from_config(configs.config_of(size, tokenizer))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    for saved in (model, tokenizer, configs.processor_of(size)):
        saved.save_pretrained(folder)
    return Path(folder)


def checkpoint_of(architecture, folder, name="t", focal_px=110.0, **changes):
    """The Checkpoint of a folder, in all styles that its architecture can be asked in."""
    wording = {"marker": "tags", "coordinates": "tags", "position": "number"}
    if architecture == "llava":
        del wording["position"]
    return Checkpoint(
        name=name,
        model=str(folder),
        architecture=architecture,
        focal_px=focal_px,
        style="marker",
        grid_style="coordinates",
        wording=wording,
        **changes,
    )


def add_head(row, spec, seed=0, spread=0.1):
    """Put a random head into the folder of a Checkpoint, the same for the same seed; the entry
    with it. spread: of its weights, which decides how far its distances differ."""
    import torch

    from depthlm_ros.checkpoints import from_folder
    from depthlm_ros.dense.model import attach_new_head, save_with_head
    from depthlm_ros.models.loading import load

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dense = attach_new_head(load(row, "cpu"), spec)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in dense.head.parameters():
            weight.add_(torch.randn(weight.shape, generator=draw) * spread)
    save_with_head(row.model, dense.head, dense.loaded)
    return from_folder(row.model)


def _let_it_say_numbers(model, tokenizer, seed):
    """Weights that make the tests sharp: attention decided, digits likely, points after digits.

    The head's rows of all tokens but digits and point are damped; a direction that the
    digits' embeddings have in common raises the point. Each weight is drawn by its own name, so
    that their order in a version of transformers does not matter.
    """
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            draw = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
            if weight.dim() > 1:
                weight.normal_(0, 2 / weight[0].numel() ** 0.5, generator=draw)
            elif name.endswith("bias"):
                weight.zero_()
            elif "q_norm" in name:
                weight.fill_(4)
        _favour_numbers(model, tokenizer, torch.Generator().manual_seed(seed))


def _favour_numbers(model, tokenizer, draw):
    import torch

    digits = [tokenizer(c)["input_ids"][0] for c in "0123456789"]
    point = tokenizer(".")["input_ids"][0]
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    embedding.normal_(0, 1, generator=draw)
    common = torch.nn.functional.normalize(torch.randn(head.shape[1], generator=draw), dim=0)
    embedding[digits] += 8 * common
    loudness = torch.full((len(head), 1), 0.1)
    loudness[[*digits, point]] = 1.0
    head.normal_(0, 0.4, generator=draw)
    head.mul_(loudness)
    head[point] += 2 * common
