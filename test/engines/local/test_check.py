# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Checked answers are what plain generate says freely, word for word, whether the words that
were given are the model's own (the embedded checkpoint) or not (random weights)."""

from dataclasses import replace
from functools import cache
from math import isfinite, isnan

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from depthlm_ros.answer import FORMS, AnswerForm
from depthlm_ros.checkpoints import find_checkpoint
from depthlm_ros.demo.scene import demo_frame
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.engines.reference import ReferenceEngine
from depthlm_ros.errors import InputError
from depthlm_ros.question import STYLES
from depthlm_ros.view import unify_focal
from training.synthetic import shot

TAGS = FORMS["tags"].template
# What the embedded model does not say, somewhere in its answer.
WRONG = {
    "another opening": TAGS.replace("is around", "is about"),
    "another closing": TAGS.replace("meters away", "meters far away"),
    "another second number": TAGS.replace("<answer> {d}", "<answer> 1{d}"),
    "an early end": TAGS.removesuffix(" </answer>"),
    "a late end": TAGS + ".",
}
CASES = [(architecture, name) for architecture in ("qwen3_vl", "qwen2_5_vl") for name in STYLES]
CASES += [("llava", "marker"), ("llava", "coordinates")]
SHORT = 12  # tokens after which random weights are cut off


@pytest.fixture(scope="module")
def tiny():
    """(local, checking everything, and reference) of the embedded checkpoint."""
    row = find_checkpoint("tiny")
    return LocalEngine(row, "cpu", check="on"), ReferenceEngine(row, "cpu")


@pytest.fixture(scope="module")
def random_pair(checkpoints):
    """architecture -> (local, checking everything, and reference) of random weights."""

    def made(architecture):
        row = checkpoints(architecture)
        reference = ReferenceEngine(row, "cpu", max_new_tokens=SHORT)
        return LocalEngine(row, "cpu", check="on", longest=SHORT), reference

    return cache(made)


def questions(row, view, name, count, form=None, seed=0):
    """`count` questions about random pixels, in another form if one is given."""
    style, draw = row.asker(name), np.random.default_rng(seed)
    size = view.camera.width, view.camera.height
    pixels = [style.nearest_askable(view, p) for p in draw.integers(0, size, (count, 2))]
    asked = [style.question(view, pixel) for pixel in pixels]
    return [replace(one, form=form or one.form) for one in asked]


def replies(engine, view, name, asked):
    scene = engine.open([view], engine.loaded.checkpoint.asker(name))
    return engine.step([(scene, question) for question in asked])


def view_of_frame(row, frame):
    return unify_focal(frame, row.focal_px, row.axes)


def same(ours, theirs):
    """Equal words and numbers."""
    values = [(a.value, b.value) for a, b in zip(ours, theirs, strict=True)]
    texts = [(a.text, b.text) for a, b in zip(ours, theirs, strict=True)]
    return all(a == b for a, b in texts) and np.array_equal(*np.array(values).T, equal_nan=True)


@pytest.mark.parametrize("name", STYLES)
def test_the_embedded_model_would_have_said_what_was_given(tiny, name):
    local, reference = tiny
    row = local.loaded.checkpoint
    for frame in (demo_frame(), shot(4, "heldout").frame):
        view, before = view_of_frame(row, frame), local.counts.copy()
        asked = questions(row, view, name, 12)
        ours = replies(local, view, name, asked)
        assert same(ours, replies(reference, view, name, asked))
        assert local.counts - before == {"checked": 12}
        assert not any(reply.free for reply in ours)
        assert all(isfinite(reply.median) for reply in ours)


@pytest.mark.parametrize("name", ["marker", "coordinates"])
@pytest.mark.parametrize("wrong", WRONG)
def test_words_that_the_model_would_not_say_are_not_put_into_its_mouth(tiny, name, wrong):
    local, reference = tiny
    row, before = local.loaded.checkpoint, local.counts.copy()
    view = view_of_frame(row, demo_frame())
    asked = questions(row, view, name, 4, AnswerForm(WRONG[wrong]))
    ours = replies(local, view, name, asked)
    assert same(ours, replies(reference, view, name, asked))
    assert all(reply.free for reply in ours)
    assert local.counts - before == {"checked": 4, "fell_back": 4}


@pytest.mark.parametrize("name", ["marker", "coordinates"])
def test_a_wrong_opening_is_noticed_even_where_the_closing_agrees(tiny, name, monkeypatch):
    local, _ = tiny
    row, view = local.loaded.checkpoint, view_of_frame(local.loaded.checkpoint, demo_frame())
    ends = local.checker._speaker.ends

    def agrees(begun, trees, rows, tails):
        """As if the model said every closing word."""
        return [torch.tensor([token for tail in tails for token in [*tail[1:], ends[0]]])]

    monkeypatch.setattr(local.checker, "_best_after", agrees)
    for form, free in ((FORMS["tags"], False), (AnswerForm(WRONG["another opening"]), True)):
        said = replies(local, view, name, questions(row, view, name, 2, form))
        assert [reply.free for reply in said] == [free, free]


@pytest.mark.parametrize("name", ["marker", "coordinates"])
def test_without_the_check_they_would_have_been(tiny, name):
    """Else the test above could not fail."""
    local, _ = tiny
    row, form = local.loaded.checkpoint, AnswerForm(WRONG["another opening"])
    view = view_of_frame(row, shot(5, "heldout").frame)
    unchecked = LocalEngine(local.loaded, check="off")
    for reply in replies(unchecked, view, name, questions(row, view, name, 2, form)):
        assert reply.text.startswith("<think> The point is about ")
        assert not reply.free


@pytest.mark.parametrize("name", ["marker", "coordinates"])
def test_rows_that_agree_and_rows_that_do_not_share_a_step(tiny, name, monkeypatch):
    """Decoding freely after all says the same, in whichever rows it happens."""
    local, reference = tiny
    row = local.loaded.checkpoint
    view = view_of_frame(row, demo_frame())
    asked = questions(row, view, name, 9)
    verdicts = [index in (0, 3, 4, 8) for index in range(9)]
    monkeypatch.setattr(local.checker, "agreed", lambda *_: verdicts)
    ours = replies(local, view, name, asked)
    assert [not reply.free for reply in ours] == verdicts
    assert same(ours, replies(reference, view, name, asked))
    assert all(isfinite(reply.median) for reply in ours)


def test_many_rows_are_checked_part_by_part(tiny, monkeypatch):
    local, _ = tiny
    row = local.loaded.checkpoint
    view = view_of_frame(row, demo_frame())
    asked = questions(row, view, "coordinates", 7)
    whole = replies(local, view, "coordinates", asked)
    monkeypatch.setattr("depthlm_ros.engines.local.reader.TOGETHER", 3)
    assert same(replies(local, view, "coordinates", asked), whole)
    assert not any(reply.free for reply in whole)


@pytest.mark.parametrize(("said", "known"), [("so 9.87 m", False), ("It is {} m.", True)])
def test_statistics_are_unknown_where_the_free_answer_is_another_number(
    tiny, said, known, monkeypatch
):
    local, _ = tiny
    row = local.loaded.checkpoint
    view = view_of_frame(row, demo_frame())
    asked = questions(row, view, "position", 1)
    (forced,) = replies(local, view, "position", asked)
    monkeypatch.setattr(local.checker, "agreed", lambda *_: [False])
    monkeypatch.setattr(local.speaker, "say", lambda *_: [said.format(forced.text)])
    (reply,) = replies(local, view, "position", asked)
    assert reply.value == (forced.value if known else 9.87)
    assert isfinite(reply.median) == isfinite(reply.upper) == known
    assert (reply.mass, reply.free) == (pytest.approx(forced.mass), True)


def test_an_answer_that_the_limit_would_cut_off_is_cut_off(tiny):
    local, reference = tiny
    row = local.loaded.checkpoint
    view = view_of_frame(row, demo_frame())
    asked = questions(row, view, "coordinates", 2)
    whole = len(local.loaded.chat.encode(replies(local, view, "coordinates", asked)[0].text))
    for longest, free in ((whole, True), (whole + 1, False)):
        ours = LocalEngine(local.loaded, check="on", longest=longest)
        theirs = ReferenceEngine(reference.loaded, max_new_tokens=longest)
        said = replies(ours, view, "coordinates", asked)
        assert same(said, replies(theirs, view, "coordinates", asked))
        assert said[0].free == free


@pytest.mark.parametrize(("architecture", "name"), CASES)
def test_random_weights_always_fall_back_to_what_reference_says(
    random_pair, view_of, architecture, name
):
    local, reference = random_pair(architecture)
    row = local.loaded.checkpoint
    asked = questions(row, view_of(0), name, 5)
    ours = replies(local, view_of(0), name, asked)
    assert same(ours, replies(reference, view_of(0), name, asked))
    assert all(reply.free and isnan(reply.median) for reply in ours)
    assert len({reply.text for reply in ours}) > 1 or name == "position"


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("auto", {"marker": 3, "coordinates": 1, "position": 1}),
        ("on", {"marker": 3, "coordinates": 3, "position": 3}),
        ("off", {"marker": 0, "coordinates": 0, "position": 0}),
    ],
)
def test_how_many_of_three_are_checked(tiny, check, expected):
    row = tiny[0].loaded.checkpoint
    engine, view = LocalEngine(tiny[0].loaded, check=check), view_of_frame(row, demo_frame())
    for name in STYLES:
        before = engine.counts["checked"]
        replies(engine, view, name, questions(row, view, name, 3))
        assert engine.counts["checked"] - before == expected[name]
    assert engine.counts["fell_back"] == 0


@pytest.mark.parametrize("name", ["coordinates", "position"])
def test_the_first_of_a_scene_and_one_in_64_are_checked_and_no_answer_changes(tiny, name):
    row = tiny[0].loaded.checkpoint
    view = view_of_frame(row, demo_frame())
    engine, unchecked = (LocalEngine(tiny[0].loaded, check=check) for check in ("auto", "off"))
    asked = questions(row, view, name, 66)
    expected = replies(unchecked, view, name, asked)
    scene = engine.open([view], row.asker(name))
    found = []
    for start, end, checked in ((0, 3, 1), (3, 64, 1), (64, 66, 2)):
        found += engine.step([(scene, question) for question in asked[start:end]])
        assert engine.counts == {"checked": checked}
    assert unchecked.counts == {}
    assert [reply.value for reply in found] == [reply.value for reply in expected]
    scene = engine.open([view], row.asker(name))
    assert engine.step([(scene, question) for question in asked]) == expected
    assert engine.counts == {"checked": 4}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_wording_is_noticed_at_the_first_question(tiny, wrong, caplog):
    """From then on all answers are checked, and what is said is the model's own."""
    reference, form = tiny[1], AnswerForm(WRONG[wrong])
    row, engine = tiny[0].loaded.checkpoint, LocalEngine(tiny[0].loaded)
    view = view_of_frame(row, demo_frame())
    asked = questions(row, view, "coordinates", 3, form)
    expected = replies(reference, view, "coordinates", asked)
    for fallen_back in (1 + 3, 1 + 3 + 3):  # the sample, then all; then all of another scene
        found = replies(engine, view, "coordinates", asked)
        assert same(found, expected) and all(reply.free for reply in found)
        assert engine.counts == {"checked": fallen_back, "fell_back": fallen_back}
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    for text in (expected[0].text, form.opening, "depthlm checkpoints --verify"):
        assert repr(text)[1:-1] in warning.getMessage()


def test_a_tie_that_a_sample_ends_otherwise_is_no_fall_back(tiny, monkeypatch, caplog):
    row, engine = tiny[0].loaded.checkpoint, LocalEngine(tiny[0].loaded)
    view = view_of_frame(row, demo_frame())
    monkeypatch.setattr(engine.checker, "holds", lambda *_: [False])
    replies(engine, view, "coordinates", questions(row, view, "coordinates", 2))
    assert engine.counts == {"checked": 1} and not caplog.records


def test_an_unknown_setting_is_refused_before_anything_is_loaded(checkpoints):
    with pytest.raises(InputError, match="'yes'.*auto, on, off"):
        LocalEngine(replace(checkpoints("llava"), model="nowhere"), check="yes")
