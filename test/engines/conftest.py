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

from depthlm_ros.bench import words
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines import make_engine
from depthlm_ros.view import Frame, View
from depthlm_ros.wordings import WORDINGS

# A seed each with which questions about one picture have different numbers for answers.
SEEDS = {"qwen3_vl": 2, "qwen2_5_vl": 2, "llava": 0}

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


def _text(tokens, **sizes):
    return {
        "vocab_size": tokens,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
        "max_position_embeddings": 2048,
        "eos_token_id": 0,
        "bos_token_id": 0,
        **sizes,
    }


def _qwen_ids(tokenizer):
    names = {"image_token_id": "image_pad", "video_token_id": "video_pad"}
    names |= {"vision_start_token_id": "vision_start", "vision_end_token_id": "vision_end"}
    return {k: tokenizer.convert_tokens_to_ids(f"<|{v}|>") for k, v in names.items()}


def qwen3_vl(tokenizer):
    """(model, image processor); merged tokens of 16 pixels."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    text = _text(len(tokenizer), head_dim=16, rope_parameters={**rope, "rope_theta": 100.0})
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 8,
        "spatial_merge_size": 2,
        "out_hidden_size": 64,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    config = Qwen3VLConfig(
        text_config=text, vision_config=vision, **_qwen_ids(tokenizer), tie_word_embeddings=False
    )
    return Qwen3VLForConditionalGeneration(config), _qwen_processor(8)


def qwen2_5_vl(tokenizer):
    """(model, image processor); merged tokens of 28 pixels."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 100.0}
    text = _text(len(tokenizer), rope_parameters=rope)
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "out_hidden_size": 64,
        "fullatt_block_indexes": [1],
        "window_size": 56,
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        **_qwen_ids(tokenizer),
        tie_word_embeddings=False,
    )
    return Qwen2_5_VLForConditionalGeneration(config), _qwen_processor(14)


def llava(tokenizer):
    """(model, image processor) with a Pixtral vision part of 16-pixel patches."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration, PixtralImageProcessorPil

    text = _text(len(tokenizer), model_type="mistral", head_dim=16, sliding_window=None)
    vision = {
        "model_type": "pixtral",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 256,
        "patch_size": 16,
    }
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
    return LlavaForConditionalGeneration(config), PixtralImageProcessorPil()


def _qwen_processor(patch):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    bounds = {"shortest_edge": 1024, "longest_edge": 1_000_000}
    return Qwen2VLImageProcessorPil(patch_size=patch, merge_size=2, size=bounds)


ARCHITECTURES = {"qwen3_vl": qwen3_vl, "qwen2_5_vl": qwen2_5_vl, "llava": llava}


def write_checkpoint(folder, architecture):
    """Save a complete checkpoint folder; the Checkpoint that it is."""
    tokenizer = tokenizer_of("pixtral" if architecture == "llava" else "qwen")
    model, processor = ARCHITECTURES[architecture](tokenizer)
    _let_it_say_numbers(model, tokenizer, SEEDS[architecture])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
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
