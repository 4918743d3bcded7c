# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The chat template of a checkpoint, wherever the version that saved it put it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from depthlm_ros.bench.words import TEMPLATES
from depthlm_ros.checkpoints import find_checkpoint
from depthlm_ros.errors import CheckpointError
from depthlm_ros.models import loading

PIXTRAL, QWEN = TEMPLATES["pixtral"], TEMPLATES["qwen"]
OLD, NEW = "chat_template.json", "chat_template.jinja"
# As Pixtral's of 2024: the words of a part are under "content", and under nothing else.
OF_2024 = PIXTRAL.replace("c.text", "c['content']")


def write_template(folder, old=None, new=None, of_tokenizer=None):
    """Leave a folder with these templates and no others."""
    (folder / NEW).unlink(missing_ok=True)
    if old is not None:
        (folder / OLD).write_text(json.dumps({"chat_template": old}))
    if new is not None:
        (folder / NEW).write_text(new)
    if of_tokenizer is not None:
        path = folder / "tokenizer_config.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "chat_template": of_tokenizer}))


def ids_of(checkpoint):
    return loading.load_parts(checkpoint).chat.ids("How far?")


@pytest.mark.parametrize("architecture", ["llava", "qwen2_5_vl"])
def test_the_file_that_old_processors_wrote_is_read(copy_of, architecture):
    folder, checkpoint = copy_of(architecture)
    expected = ids_of(checkpoint)
    write_template(folder, old=PIXTRAL if architecture == "llava" else QWEN)
    chat = loading.load_parts(checkpoint).chat
    assert (chat.ids("How far?"), chat.source) == (expected, OLD)


def test_a_list_of_named_templates_is_read_by_its_default(copy_of):
    folder, checkpoint = copy_of("llava")
    expected = ids_of(checkpoint)
    named = [{"name": "tools", "template": "x"}, {"name": "default", "template": PIXTRAL}]
    write_template(folder, old=named)
    assert ids_of(checkpoint) == expected


def test_words_under_content_are_found(copy_of):
    folder, checkpoint = copy_of("llava")
    expected = ids_of(checkpoint)
    write_template(folder, old=OF_2024)
    chat = loading.load_parts(checkpoint).chat
    assert (chat.ids("How far?"), chat.text_key) == (expected, "content")


def test_the_processors_file_wins_over_the_tokenizers_with_a_note(copy_of):
    folder, checkpoint = copy_of("llava")
    expected = ids_of(checkpoint)
    write_template(folder, old=PIXTRAL, of_tokenizer=PIXTRAL.replace("[/INST]", " [/INST]"))
    parts = loading.load_parts(checkpoint)
    assert parts.chat.ids("How far?") == expected
    assert len(parts.notes) == 1 and "tokenizer_config.json" in parts.notes[0]
    assert parts.tokenizer.chat_template == PIXTRAL  # what a trainer would save


def test_a_template_for_text_alone_beside_the_processors_is_no_trouble(copy_of):
    folder, checkpoint = copy_of("llava")
    expected = ids_of(checkpoint)
    write_template(folder, old=PIXTRAL, of_tokenizer="{{ messages[0].content + '' }}")
    parts = loading.load_parts(checkpoint)
    assert (parts.chat.ids("How far?"), parts.notes) == (expected, [])


def test_two_files_that_lay_out_alike_are_no_trouble(copy_of):
    folder, checkpoint = copy_of("llava")
    expected = ids_of(checkpoint)
    write_template(folder, old=PIXTRAL, new="{# written later #}" + PIXTRAL)
    assert ids_of(checkpoint) == expected


@pytest.mark.parametrize(
    ("templates", "named"),
    [
        ({}, "chat_template"),
        ({"old": PIXTRAL, "new": PIXTRAL.replace("[INST]", "[INST] ")}, NEW),
        ({"old": PIXTRAL.replace("[IMG]", "")}, "[IMG]"),
        ({"new": PIXTRAL.replace("[IMG]", "[IMG][IMG]")}, "2 "),
        ({"old": "<s>[IMG]{{ messages[0].role }}"}, "user"),
        ({"old": "{{ raise_exception('only text') }}"}, "only text"),
        ({"old": "{% if %}"}, OLD),
    ],
    ids=["none", "two", "no image", "two images", "no words", "refuses", "broken"],
)
def test_a_template_that_cannot_be_used_is_one_sentence(copy_of, templates, named):
    folder, checkpoint = copy_of("llava")
    write_template(folder, **templates)
    with pytest.raises(CheckpointError) as caught:
        loading.load_parts(checkpoint)
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_half_a_file_is_named(copy_of):
    folder, checkpoint = copy_of("llava")
    (folder / OLD).write_text('{"chat_templ')
    with pytest.raises(CheckpointError) as caught:
        loading.load_parts(checkpoint)
    assert OLD in str(caught.value)


def test_the_file_of_a_hub_id_is_read(copy_of, monkeypatch, tmp_path):
    """facebook/DepthLM as its release was saved, in a cache, without a network."""
    folder, checkpoint = copy_of("llava")
    expected = ids_of(checkpoint)
    write_template(folder, old=PIXTRAL)
    revision = "0" * 40
    stored = tmp_path / "hub" / "models--facebook--DepthLM"
    shutil.copytree(folder, stored / "snapshots" / revision)
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text(revision)
    for module in ("huggingface_hub.constants", "transformers.utils.hub"):
        monkeypatch.setattr(f"{module}.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    published = replace(find_checkpoint("facebook/DepthLM"), focal_px=checkpoint.focal_px)
    chat = loading.load_parts(published).chat
    assert (chat.ids("How far?"), chat.source) == (expected, OLD)


@pytest.fixture(scope="module")
def published():
    """The folder of the published models' files, which the project may read and not ship."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "published"
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/data/published: there is no {folder}")
    return folder


def test_pixtrals_published_template_lays_out_a_question(copy_of, published):
    folder, checkpoint = copy_of("llava")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "bos_token": "<s>"}))
    (folder / NEW).unlink()
    shutil.copyfile(published / "pixtral-depthlm" / OLD, folder / OLD)
    chat = loading.load_parts(checkpoint).chat
    assert chat.prompt("How far?") == "<s>[INST][IMG]How far?[/INST]"


@pytest.mark.parametrize("name", ["qwen2.5-vl", "qwen3-vl"])
def test_qwens_published_templates_and_vocabularies_keep_numbers_apart(published, name):
    from transformers import AutoTokenizer

    from depthlm_ros.answer import FORMS
    from depthlm_ros.models.chat import chat_of
    from depthlm_ros.question import WORDINGS

    tokenizer = AutoTokenizer.from_pretrained(published / name)
    image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    chat, notes = chat_of(str(published / name), tokenizer, "You measure.", image)
    question, form = WORDINGS["coordinates"]["tags"]
    ids = chat.symbol_ids(question, FORMS[form].opening)
    assert (notes, tokenizer.decode(ids)) == ([], "0123456789.")
    begin = "<|im_start|>system\nYou measure.<|im_end|>\n<|im_start|>user\n"
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    end = "<|im_end|>\n<|im_start|>assistant\n"
    assert chat.prompt("How far?") == f"{begin}{image}How far?{end}"


@pytest.mark.parametrize("joined", ["12", "3."])
def test_a_vocabulary_that_joins_digits_is_refused(copy_of, joined):
    folder, checkpoint = copy_of("qwen3_vl")
    tokenizer = loading.load_parts(checkpoint).tokenizer
    tokenizer.add_tokens([joined])
    tokenizer.save_pretrained(folder)
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["text_config"]["vocab_size"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError) as caught:
        loading.load_parts(checkpoint)
    assert repr(joined) in str(caught.value)
