# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Questions without a number, about one image or two: local says what plain generate says."""

from functools import cache
from math import isnan

import pytest

torch = pytest.importorskip("torch")

from PIL import Image
from testing.tiny_models import ARCHITECTURES
from transformers import GenerationConfig

from depthlm_ros.answer import FREE
from depthlm_ros.engines import LONGEST
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.engines.local.free_decoding import Speaker
from depthlm_ros.engines.reference import ReferenceEngine
from depthlm_ros.errors import InputError
from depthlm_ros.question import CoordinateStyle, MarkerStyle, PlainStyle, Question

TOKENS = 12
WORDS = ("How has the camera moved?", "Where is (3, 4) of the first image?", "Why?")


@pytest.fixture(scope="module")
def both(checkpoints):
    """architecture -> (local, reference), cutting replies off after TOKENS."""

    def made(architecture):
        row = checkpoints(architecture)
        reference = ReferenceEngine(row, "cpu", max_new_tokens=TOKENS)
        return LocalEngine(row, "cpu", longest=TOKENS), reference

    return cache(made)


def texts(engine, views, style, questions):
    scene = engine.open(views, style)
    replies = engine.step([(scene, question) for question in questions])
    assert all(isnan(reply.value) and isnan(reply.median) for reply in replies)
    return [reply.text for reply in replies]


def plain(words=WORDS):
    return [PlainStyle().ask(text) for text in words]


def freely(style, view):
    """Questions in a pointing style whose answers are free."""
    asked = [style.question(view, pixel) for pixel in ((30, 20), (12, 40), (50, 31))]
    return [Question(one.pixel, one.text, FREE) for one in asked]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_free_answers_are_those_of_reference_in_every_style(both, view_of, architecture):
    local, reference = both(architecture)
    view = view_of(0)
    for style, questions in (
        (PlainStyle(), plain()),
        (MarkerStyle(), freely(MarkerStyle(), view)),
        (CoordinateStyle(), freely(CoordinateStyle(), view)),
    ):
        ours = texts(local, [view], style, questions)
        assert ours == texts(reference, [view], style, questions)
        assert len(set(ours)) > 1


@pytest.mark.parametrize("sizes", [((70, 54), (70, 54)), ((70, 54), (96, 40))])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_images_are_seen_in_their_order_whatever_their_sizes(
    both, view_of, architecture, sizes
):
    local, reference = both(architecture)
    first, second = (view_of(seed, *size) for seed, size in enumerate(sizes))
    ours = texts(local, [first, second], PlainStyle(), plain())
    assert ours == texts(reference, [first, second], PlainStyle(), plain())
    assert ours != texts(local, [second, first], PlainStyle(), plain())
    assert ours != texts(local, [first, first], PlainStyle(), plain())


def generated(loaded, views, words) -> str:
    """What transformers says about images, given nothing of ours but the loaded parts."""
    content = [{"type": "image"}] * len(views) + [{"type": "text", "text": words}]
    text = loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    images = dict(
        loaded.vision.processor([Image.fromarray(v.image) for v in views], return_tensors="pt")
    )
    ids = torch.tensor([expanded(loaded, text, images)])
    if "image_grid_thw" in images:
        images["mm_token_type_ids"] = (ids == loaded.vision.image_id).int()
    greedy = GenerationConfig(max_new_tokens=TOKENS, do_sample=False, eos_token_id=0)
    said = loaded.model.generate(input_ids=ids, **images, generation_config=greedy)
    return loaded.tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True)


def expanded(loaded, text, images) -> list:
    """Ids of a text, every placeholder as long as its image."""
    config, sizes = loaded.config.vision_config, images.get("image_sizes")
    for i in range(2):
        if sizes is None:
            _, height, width = images["image_grid_thw"][i].tolist()
            text = text.replace("<|image_pad|>", "*" * (height * width // 4), 1)
        else:
            rows, columns = (int(side) // config.patch_size for side in sizes[i])
            tokens = ("*" * columns + "[IMG_BREAK]") * (rows - 1) + "*" * columns + "[IMG_END]"
            text = text.replace("[IMG]", tokens, 1)
    placeholder = "[IMG]" if "image_sizes" in images else "<|image_pad|>"
    text = text.replace("*", placeholder)
    return loaded.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_images_get_the_answer_of_plain_generate(both, view_of, architecture):
    local, reference = both(architecture)
    views = [view_of(0), view_of(1, 96, 40)]
    ours = texts(local, views, PlainStyle(), plain())
    assert ours == [generated(reference.loaded, views, words) for words in WORDS]


def test_a_reply_ends_where_generate_ends_it(checkpoints, view_of):
    """The end is a token that the model does say, sooner in some rows than in others."""
    row, views = checkpoints("qwen3_vl"), [view_of(0)]
    local, reference = LocalEngine(row, "cpu", longest=TOKENS), ReferenceEngine(row, "cpu")
    long = texts(local, views, PlainStyle(), plain())
    ends = [local.loaded.chat.encode(long[0])[3], 1]
    for engine in (local, reference):
        engine.loaded.model.generation_config.eos_token_id = ends
    local.speaker = Speaker(local.loaded, LONGEST)
    short = texts(local, views, PlainStyle(), plain())
    assert short == texts(reference, views, PlainStyle(), plain())
    assert long[0].startswith(short[0]) and len(short[0]) < len(long[0])


def test_rows_of_many_parts_say_the_same(both, view_of, monkeypatch):
    local, _ = both("qwen3_vl")
    ours = texts(local, [view_of(0)], PlainStyle(), plain())
    monkeypatch.setattr("depthlm_ros.engines.local.free_decoding.TOGETHER", 2)
    assert texts(local, [view_of(0)], PlainStyle(), plain()) == ours


def test_numbers_and_free_answers_share_a_step(both, view_of):
    local, _ = both("qwen3_vl")
    view, style = view_of(0), CoordinateStyle()
    scene = local.open([view], style)
    number, free = style.question(view, (30, 20)), freely(style, view)[0]
    alone = [local.step([(scene, question)])[0].text for question in (number, free)]
    together = local.step([(scene, free), (scene, number)])
    assert [reply.text for reply in together[::-1]] == alone


@pytest.mark.parametrize(("style", "count"), [(MarkerStyle(), 2), (PlainStyle(), 3)])
def test_more_images_than_a_style_takes_are_refused(both, view_of, style, count):
    for engine in both("qwen3_vl"):
        with pytest.raises(InputError, match=rf"\b{style.name}\b.*\b{count}\b"):
            engine.open([view_of(0)] * count, style)
