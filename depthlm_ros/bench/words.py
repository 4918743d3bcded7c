# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A small tokenizer whose prompts are as long as a published model's.

Digits stand alone and words are whole, as in the vocabularies of Qwen and Pixtral. Behind the
words that questions share, 88 tokens follow in coordinates style (12 of them end the turn and
open the answer) and 12 in position style. Knows nothing about weights.
"""

from depthlm_ros.answer import FORMS
from depthlm_ros.question import POINT, WORDINGS

SPECIAL = {
    "qwen": ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    + ["<|image_pad|>", "<|video_pad|>", POINT],
    "pixtral": ["</s>", "<s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"],
}
EMPTY_THOUGHT = "<think>\n\n</think>\n\n"  # Qwen3's answers begin so; it makes the lengths right
TEMPLATES = {
    "qwen": (
        "{%- for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
        "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
        "{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n" + EMPTY_THOUGHT + "{% endif %}"
    ),
    "pixtral": (
        "<s>{%- for m in messages %}[INST]{% for c in m.content %}"
        "{% if c.type == 'image' %}[IMG]{% else %}{{ c.text }}{% endif %}{% endfor %}[/INST]"
        "{% endfor %}"
    ),
}
# Qwen's rule of what is never joined: digits stand alone, a space belongs to the word behind it.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ENOUGH = 1000  # tokens: more than the words of all templates make


def tokenizer_of(family):
    """A byte-level BPE of some 450 tokens; family: "qwen" or "pixtral"."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = _splitting()
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(_corpus(), _trainer(family))
    end = SPECIAL[family][0]
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=end, pad_token=end)
    made.chat_template = TEMPLATES[family]
    return made


def _splitting():
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    levels = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, levels])


def _trainer(family):
    from tokenizers import pre_tokenizers, trainers

    return trainers.BpeTrainer(
        vocab_size=ENOUGH,
        min_frequency=1,
        special_tokens=SPECIAL[family],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )


def _corpus():
    """All that is said. Published vocabularies have no "normalised", its parts they have."""
    questions = [text for of in WORDINGS.values() for text, _ in of.values()]
    answers = [form.template for form in FORMS.values()]
    said = questions + answers + ["assistant\n", "user\n", "ised"]
    return [text.replace("normalised", "normal") for text in said]
