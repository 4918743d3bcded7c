# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A new small model with random weights: the start of the embedded checkpoint.

Qwen3-VL's architecture at a size that a CPU can train, with a tokenizer of its own. Written in
Hugging Face layout, so that everything after this reads it like any other base model.
"""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from depthlm_ros.answer import FORMS
from depthlm_ros.question import POINT, WORDINGS

PATCH, MERGE = 16, 2  # pixels along a side of a patch, patches along a side of an image token
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    POINT,
)
SPECIAL_IDS = ("image_pad", "video_pad", "vision_start", "vision_end")  # named in the config
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """About 1,000 byte-level BPE tokens: digits single, the templates' sentences whole.

    Words are not split at spaces, so a sentence that every question repeats is one token and
    costs one position instead of forty.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=1400, min_frequency=1, special_tokens=list(SPECIAL), initial_alphabet=alphabet
    )
    bpe.train_from_iterator(_corpus(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _corpus():
    """The chat's words, every question and every answer, each a few times."""
    for _ in range(3):
        yield "user\n"
        yield "assistant\n"
        for wordings in WORDINGS.values():
            for text, _form in wordings.values():
                yield text.replace(POINT, "").format(x=12, y=345, range=2000)
        for form in FORMS.values():
            yield form.render(3.45)


def image_processor() -> Qwen2VLImageProcessorPil:
    """Snaps to multiples of PATCH * MERGE and never otherwise resizes a view.

    The stock lower bound (65,536 pixels) would silently enlarge a 256 x 192 view.
    """
    return Qwen2VLImageProcessorPil(
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=2,
        size={"shortest_edge": (PATCH * MERGE) ** 2, "longest_edge": 1 << 21},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


def config(tok, width=160, heads=5, layers=4, mlp=480, vision_layers=0) -> Qwen3VLConfig:
    """Text of `layers` blocks of `width`, vision of `vision_layers` (0: as many) such blocks;
    heads of width / heads, a multiple of 4."""
    ids = {n: tok.convert_tokens_to_ids(f"<|{n}|>") for n in SPECIAL_IDS}
    return Qwen3VLConfig(
        tie_word_embeddings=True,
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        text_config=_text(tok, width, heads, layers, mlp),
        vision_config=_vision(width, heads, vision_layers or layers, mlp),
    )


def _text(tok, width, heads, layers, mlp) -> dict:
    half = width // heads // 2
    height_width = half // 3
    return {
        "vocab_size": len(tok),
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": width // heads,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "eos_token_id": tok.eos_token_id,
        "pad_token_id": tok.pad_token_id,
        # A grid of some ten tokens: a small base gives pointing fine frequencies.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 100.0,
            "mrope_section": [half - 2 * height_width, height_width, height_width],
            "mrope_interleaved": True,
        },
    }


def _vision(width, heads, layers, mlp) -> dict:
    return {
        "depth": layers,
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_heads": heads,
        "out_hidden_size": width,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "num_position_embeddings": 256,
        "deepstack_visual_indexes": [layers // 2 - 1],
    }


def build(folder, **shape) -> Path:
    """Write model, tokenizer and image processor into `folder`."""
    folder = Path(folder)
    tok = tokenizer()
    model = Qwen3VLForConditionalGeneration(config(tok, **shape))
    model.generation_config.eos_token_id = tok.eos_token_id
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    image_processor().save_pretrained(folder)
    return folder
