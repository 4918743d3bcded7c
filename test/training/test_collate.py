# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Where the loss falls, in three chat layouts, and that packing questions changes nothing."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from testing.tiny_models import ARCHITECTURES

from depthlm_ros.errors import CheckpointError
from depthlm_ros.question import POINT, PositionStyle
from training.data.collate import Collator, question_mask

# What stands before the words of a question, and between them and the answer.
LAYOUTS = {
    "qwen2_5_vl": (
        (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
            "<|vision_start|>IMAGE<|vision_end|>"
        ),
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>",
    ),
    "qwen3_vl": (
        "<|im_start|>user\n<|vision_start|>IMAGE<|vision_end|>",
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>",
    ),
    "llava": ("<s>[INST]IMAGE", "[/INST]", "</s>"),
}
NEXT_TURN = {"qwen3_vl": "\n<|im_start|>user\n", "llava": "[INST]"}
NEXT_TURN["qwen2_5_vl"] = NEXT_TURN["qwen3_vl"]


def packing(architecture):
    """Several questions that share an image, in every style that the architecture has."""
    by_text = {"coordinates": 3}
    return by_text if architecture == "llava" else {"position": 2, **by_text}


def read(collator, ids):
    """Tokens as text, the image's own as one word."""
    text = collator.tokenizer.decode(ids)
    for token in ("<|image_pad|>", "[IMG]", "[IMG_BREAK]", "[IMG_END]"):
        text = text.replace(token, "\0")
    return "IMAGE".join(filter(None, text.split("\0"))) if "\0" in text else text


def test_questions_do_not_see_each_other():
    mask = question_mask(torch.tensor([[0.0, 0, 1, 1, 2, -1]]))[0, 0]
    assert mask.int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_row_reads_as_the_chat_layout_says(parts_of, row_about, name):
    row, collator = row_about(name, packing(name)), Collator(parts_of(name))
    before, between, end = LAYOUTS[name]
    spans = "".join(a.question.text + between + a.answer + end for a in row.asked)
    assert read(collator, collator([row])["input_ids"][0]) == before + spans


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_loss_falls_on_the_answers_and_their_ends_only(parts_of, row_about, name):
    rows = [row_about(name, packing(name), seed) for seed in (0, 1)]
    collator = Collator(parts_of(name))
    batch = collator(rows)
    for i, row in enumerate(rows):
        own = batch["targets"][batch["targets"][:, 0] == i]
        trained = collator.tokenizer.decode(batch["input_ids"][i][own[:, 1]])
        assert trained == "".join(a.answer + LAYOUTS[name][2] for a in row.asked)
        assert (own[:, 2] == own[:, 1] - 1).all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_loss_on_all_leaves_out_images_and_padding_only(parts_of, row_about, name):
    rows = [row_about(name, {"coordinates": 1}, s, width=130 + 40 * s) for s in (0, 1)]
    collator = Collator(parts_of(name), loss_on="all")
    batch, images = collator(rows), set(collator.vision.token_ids((2, 2)))
    for i in range(2):
        places = batch["targets"][batch["targets"][:, 0] == i][:, 1].tolist()
        length = (batch["attention_mask"][i, 0].sum(1) > 0).sum()
        ids = batch["input_ids"][i].tolist()
        words = [at for at in range(1, length) if ids[at] not in images]
        end = max(places)
        assert sorted(places) == [at for at in words if at <= end]
        assert ids[end] == collator.tokenizer.eos_token_id


def gradient(student, batch):
    student.zero_grad()
    loss = student(**batch)["loss"]
    loss.backward()
    layer = student.model.model.language_model.layers[0]
    return loss.item(), layer.mlp.up_proj.weight.grad.clone()


@pytest.mark.parametrize("losses", [("answer", "answer"), ("answer", "token"), ("all", "token")])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_packed_questions_equal_separate_runs(parts_of, row_about, student_of, name, losses):
    student, collator = student_of(name), Collator(parts_of(name), *losses)
    rows = [row_about(name, packing(name), seed, width=130 + 40 * seed) for seed in (0, 1)]
    loss, grown = gradient(student, collator(rows))
    alone = [gradient(student, collator([replace(r, asked=(a,))])) for r in rows for a in r.asked]
    assert loss == pytest.approx(sum(one for one, _ in alone) / len(alone), rel=1e-5)
    expected = sum(g for _, g in alone) / len(alone)
    assert torch.allclose(grown, expected, atol=1e-5 * expected.abs().max().item())
    assert expected.abs().max() > 1e-4


def test_answers_weigh_alike_however_many_tokens_they_have(parts_of, row_about):
    rows = [row_about("qwen3_vl", {"position": 1, "coordinates": 1})]
    batch = Collator(parts_of("qwen3_vl"), loss_per="token")(rows)
    weights, shares = batch["target_weight"], [w.item() for w in batch["target_weight"].unique()]
    assert len(shares) == 2 and weights.sum().item() == pytest.approx(1)
    for share in shares:
        assert weights[weights == share].sum().item() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_turns_of_one_conversation_read_as_the_template_writes_them(parts_of, row_about, name):
    row = row_about(name, {"coordinates": 2})
    collator = Collator(parts_of(name), multi_turn=True)
    batch = collator([row])
    before, between, end = LAYOUTS[name]
    turns = (a.question.text + between + a.answer + end for a in row.asked)
    assert read(collator, batch["input_ids"][0]) == before + NEXT_TURN[name].join(turns)
    length = batch["input_ids"].shape[1]
    assert (batch["attention_mask"][0, 0] == torch.ones(length, length).tril().bool()).all()


def test_later_turns_see_earlier_answers(parts_of, row_about, student_of):
    student, row = student_of("qwen3_vl"), row_about("qwen3_vl", {"coordinates": 3})
    apart = student(**Collator(parts_of("qwen3_vl"))([row]))["loss"]
    turns = student(**Collator(parts_of("qwen3_vl"), multi_turn=True)([row]))["loss"]
    assert abs(apart - turns) > 1e-3


def test_multi_turn_needs_a_template_that_ends_answers(parts_of):
    parts = parts_of("qwen3_vl")
    ends, parts.tokenizer.eos_token = parts.tokenizer.eos_token, "<|endoftext|>"
    try:
        with pytest.raises(CheckpointError, match="endoftext"):
            Collator(parts, multi_turn=True)
    finally:
        parts.tokenizer.eos_token = ends


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_the_token_that_points_stands_at_the_pixel(parts_of, row_about, name):
    row, collator = row_about(name, {"position": 1}), Collator(parts_of(name))
    batch = collator([row])
    where = batch["input_ids"][0] == collator.tokenizer.convert_tokens_to_ids(POINT)
    image = batch["input_ids"][0] == collator.vision.image_id
    start = batch["position_ids"][1:, 0, image].amin()
    grid = collator.vision.prepare([row.image]).grid
    expected = PositionStyle.place(row.view, row.asked[0].question.pixel, grid)
    assert where.sum() == 1
    got = batch["position_ids"][1:, 0, where][:, 0] - start
    assert got.tolist() == pytest.approx(expected, abs=1e-5)
