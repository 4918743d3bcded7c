# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tiny random-weight checkpoints of the three architectures, on disk as trained ones would be.

Weights are spread widely: at the usual initializer_range of 0.02 moving the arrow changes a
digit's probability by 3e-9, and every comparison would pass with the arrow missing. They are
made to say numbers, since random ones never would.
"""

import itertools
import shutil
import zlib
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from depthlm_ros.bench import configs, words
from depthlm_ros.bench.shapes import Size, Text, Vision
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines import make_engine
from depthlm_ros.question import WORDINGS
from depthlm_ros.view import Frame, View

# A seed each with which questions about one picture have different numbers for answers.
SEEDS = {"qwen3_vl": 2, "qwen2_5_vl": 2, "llava": 0}
# Blocks with full attention (Qwen2.5-VL) or tapped for DeepStack (Qwen3-VL).
SPECIAL_BLOCKS = {"qwen3_vl": (0,), "qwen2_5_vl": (1,), "llava": ()}
# What makes a vision part as small as pictures of a few patches.
SMALL_VISION = {
    "qwen3_vl": {"patch_size": 8, "num_position_embeddings": 64},
    "qwen2_5_vl": {"window_size": 56},
    "llava": {"image_size": 256},
}

TEMPLATES = {**words.TEMPLATES, "qwen": words.TEMPLATES["qwen"].replace(words.EMPTY_THOUGHT, "")}


def tokenizer_of(family):
    """A byte-level BPE of some 300 tokens over the templates, as fast tokenizers are saved."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(words.PATTERN), "isolated")
    levels = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, levels])
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=words.SPECIAL[family], initial_alphabet=alphabet
    )
    texts = [text for of in WORDINGS.values() for text, _ in of.values()]
    bpe.train_from_iterator(texts, trainer)
    end = words.SPECIAL[family][0]
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=end, pad_token=end)
    made.chat_template = TEMPLATES[family]
    return made


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
    """An image processor; that of a Qwen takes pictures of 1024 pixels and more."""
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

    tokenizer = tokenizer_of("pixtral" if architecture == "llava" else "qwen")
    model = AutoModelForImageTextToText.from_config(config_of(architecture, tokenizer))
    _let_it_say_numbers(model, tokenizer, SEEDS[architecture])
    for saved in (model, tokenizer, processor_of(architecture)):
        saved.save_pretrained(folder)
    wording = {"marker": "tags", "coordinates": "tags", "position": "number"}
    if architecture == "llava":
        del wording["position"]
    row = Checkpoint(
        name="tiny random",
        model=str(folder),
        architecture=architecture,
        focal_px=100.0,
        style="marker",
        grid_style="coordinates",
        wording=wording,
    )
    row.write(folder)
    return row


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


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """architecture -> Checkpoint of a complete folder on disk, each written once."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return cache(lambda architecture: write_checkpoint(folder / architecture, architecture))


@pytest.fixture
def copy_of(checkpoints, tmp_path):
    """architecture -> (folder, Checkpoint) of a copy that a test may break."""

    def copied(architecture):
        folder = tmp_path / architecture
        shutil.copytree(checkpoints(architecture).model, folder)
        return folder, replace(checkpoints(architecture), model=str(folder))

    return copied


@pytest.fixture(scope="session")
def engines(checkpoints):
    """(name, architecture) -> engine, each loaded once; both give the opening and leave it."""

    def made(name, architecture):
        options = {"force_opening": True} if name == "reference" else {"check": "off"}
        return make_engine(name, checkpoints(architecture), device="cpu", **options)

    return cache(made)


@pytest.fixture(scope="session")
def view_of():
    """(seed, width, height) -> a View of noise in blocks: structure at every size."""

    def view(seed, width=70, height=54):
        rng = np.random.default_rng(seed)
        blocks = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
        image = np.kron(blocks, np.ones((4, 4, 1), np.uint8))[:height, :width]
        camera = Camera(width, height, 100.0, 90.0, width / 2, height / 2)
        frame = Frame(np.ascontiguousarray(image), camera)
        return View(frame.image, camera, frame, (1.0, 1.0))

    return view


@pytest.fixture(scope="session")
def asked(view_of):
    """(engine, style name, count, seed) -> [(open scene, question), ...] about one random view."""

    def pairs(engine, name, count, seed=0):
        view, style = view_of(seed), engine.loaded.checkpoint.asker(name)
        scene = engine.open([view], style)
        places = itertools.product(range(8, 62, 3), range(8, 46, 3))
        chosen = np.random.default_rng(seed).permutation(list(places))[:count]
        return [(scene, style.question(view, tuple(pixel))) for pixel in chosen.tolist()]

    return pairs
