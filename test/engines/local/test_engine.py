# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The engine of this process keeps the contract: order, memory, refusals."""

import weakref
from dataclasses import replace
from math import isnan

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from testing.tiny_models import ARCHITECTURES

from depthlm_ros.answer import parse
from depthlm_ros.engines import CLOSED
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.engines.reference import ReferenceEngine
from depthlm_ros.errors import EngineError, InputError
from depthlm_ros.question import CoordinateStyle, MarkerStyle, PositionStyle


def same(one, other):
    """Equal digits, and equal masses but for the order of sums."""
    return one.text == other.text and one.mass == pytest.approx(other.mass, abs=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_answers_do_not_depend_on_batch_mates_scenes_or_styles(engines, asked, architecture):
    engine = engines("local", architecture)
    styles = list(engine.loaded.checkpoint.wording)
    pairs = [p for style in styles for seed in (0, 1) for p in asked(engine, style, 3, seed)]
    shuffled = np.random.default_rng(0).permutation(len(pairs))
    together = engine.step([pairs[i] for i in shuffled])
    for i, reply in zip(shuffled, together, strict=True):
        assert same(reply, engine.step([pairs[i]])[0])


def test_a_reply_holds_the_words_that_were_given_and_the_number(engines, asked):
    engine = engines("local", "qwen3_vl")
    for style, opening in (("marker", "<think> The point is around "), ("position", "")):
        for reply in engine.step(asked(engine, style, 6)):
            assert reply.text.startswith(opening)
            if not isnan(reply.value):
                assert parse(reply.text).metres == reply.value


def test_statistics_come_with_the_mass_they_cover(engines, asked, monkeypatch):
    """Random weights cover little: every statistic is unknown, and with no demand all are."""
    engine = engines("local", "llava")
    pairs = asked(engine, "coordinates", 4)
    assert all(isnan(r.median) and 0 < r.mass < 0.9 for r in engine.step(pairs))
    monkeypatch.setattr("depthlm_ros.engines.digits.COVERED", 0.0)
    for reply in engine.step(pairs):
        assert reply.lower <= reply.median <= reply.upper
        assert reply.lower <= reply.mean <= reply.upper * 10


@pytest.mark.parametrize("style", ["coordinates", "position"])
def test_a_shared_image_is_computed_once_and_freed_on_close(engines, asked, style):
    engine = engines("local", "qwen3_vl")
    ((scene, question),) = asked(engine, style, 1)
    keys, values = scene.prompt[0]
    assert keys.shape[:2] == (1, 2)
    kept = sum(k.nbytes + v.nbytes for k, v in scene.prompt)
    assert scene.nbytes == kept + 70 * 54 * 3
    engine.step([(scene, question)] * 3)
    assert scene.nbytes == kept + 70 * 54 * 3
    gone = [weakref.ref(keys), weakref.ref(values)]
    del keys, values
    scene.close()
    assert scene.nbytes == 0
    assert [ref() for ref in gone] == [None, None]


def test_a_closed_scene_leaves_its_batch_mates_alone(engines, asked):
    engine = engines("local", "qwen3_vl")
    closed, alive = asked(engine, "coordinates", 1), asked(engine, "coordinates", 1, seed=1)
    (alone,) = engine.step(alive)
    closed[0][0].close()
    dropped, reply = engine.step(closed + alive)
    assert dropped.text == CLOSED
    assert isnan(dropped.value)
    assert same(reply, alone)
    assert engine.room(closed[0][0], 1.0) == 1


@pytest.mark.parametrize("name", ["local", "reference"])
def test_a_scene_closed_during_its_step_does_no_harm(engines, asked, name, monkeypatch):
    """A job cancelled by another thread closes its scene whenever it likes."""
    engine = engines(name, "qwen3_vl")
    for style in ("coordinates", "marker"):
        pairs = asked(engine, style, 2)
        expected = [reply.text for reply in engine.step(pairs)]
        with monkeypatch.context() as patch:
            for words in ("question_ids", "rests"):  # of one question, and of several
                prepare = getattr(engine.prompts, words)

                def closing(*asked, scene=pairs[0][0], prepare=prepare):
                    scene.close()
                    return prepare(*asked)

                patch.setattr(engine.prompts, words, closing)
            assert [reply.text for reply in engine.step(pairs)] == expected
        assert pairs[0][0].nbytes == 0


def test_a_camera_may_reuse_the_buffer_of_an_opened_image(engines, view_of):
    for name in ("local", "reference"):
        engine, view, style = engines(name, "qwen3_vl"), view_of(0), MarkerStyle()
        scene, question = engine.open([view], style), style.question(view, (30, 20))
        (before,) = engine.step([(scene, question)])
        view.image[:] = 0
        assert engine.step([(scene, question)])[0].text == before.text


def test_room_grows_with_measured_time_and_stops_at_memory(engines, asked, monkeypatch):
    engine = engines("local", "qwen3_vl")
    pairs = asked(engine, "coordinates", 1)
    for _ in range(20):  # each may double what the one before took, and some measure anew
        engine.step(pairs * engine.room(pairs[0][0], 60.0))
        if engine.room(pairs[0][0], 60.0) >= 8:
            break
    else:
        pytest.fail("room did not grow")
    monkeypatch.setattr("depthlm_ros.engines.local.engine.free_bytes", lambda device: 10_000)
    assert engine.room(pairs[0][0], 60.0) == 1


def test_position_style_is_refused_for_one_dimensional_positions(engines, view_of):
    for name in ("local", "reference"):
        with pytest.raises(InputError, match="'llava'"):
            engines(name, "llava").open([view_of(0)], PositionStyle())


def test_two_images_are_refused(engines, view_of):
    with pytest.raises(InputError, match=r"\b2\b"):
        engines("local", "qwen3_vl").open([view_of(0), view_of(1)], MarkerStyle())


def test_a_question_of_another_style_is_refused_before_it_is_answered(engines, asked, view_of):
    engine = engines("local", "qwen3_vl")
    ((scene, _),) = asked(engine, "position", 1)
    strange = CoordinateStyle().question(view_of(0), (30, 20))
    with pytest.raises(EngineError):
        engine.step([(scene, strange)])


def test_no_questions_have_no_replies(engines):
    assert [engines(name, "llava").step([]) for name in ("local", "reference")] == [[], []]


@pytest.mark.parametrize("style", [MarkerStyle(), CoordinateStyle()])
def test_a_question_beyond_the_models_context_is_refused_and_its_mates_can_be_asked(
    engines, view_of, style
):
    engine, view = engines("local", "qwen3_vl"), view_of(0)
    scene, question = engine.open([view], style), style.question(view_of(0), (30, 20))
    long = replace(question, text=question.text + " very far?" * 900)
    with pytest.raises(EngineError, match=r"\b2048\b"):
        engine.step([(scene, question), (scene, long)])
    assert engine.step([(scene, question)])[0].text


def test_an_image_beyond_the_models_context_is_refused(engines, view_of):
    engine = engines("local", "qwen3_vl")
    with pytest.raises(EngineError, match=r"\b2048\b"):
        engine.open([view_of(0, 760, 760)], CoordinateStyle())


@pytest.mark.parametrize("style", [MarkerStyle(), CoordinateStyle()])
def test_questions_beyond_the_context_are_refused_when_their_image_is_opened(
    engines, view_of, style
):
    """Found in a step, it would fail the questions of others there."""
    engine = engines("local", "qwen3_vl")
    words = style.question(view_of(0), (30, 20))
    wordy = replace(style, words=(words.text + " very far?" * 900, words.form))
    with pytest.raises(EngineError, match=r"\b2048\b"):
        engine.open([view_of(0)], wordy)


def test_in_bfloat16_the_pointing_token_keeps_its_fractions(checkpoints, asked):
    """Angles need float32: in bfloat16 places beyond 256 would be whole numbers."""
    engine = LocalEngine(checkpoints("qwen3_vl"), "cpu", "bfloat16")
    rotary = engine.loaded.base.language_model.rotary_emb
    seen = []
    rotary.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    (pair,) = asked(engine, "position", 1)
    (reply,) = engine.step([pair])
    scene, question = pair
    row, column = PositionStyle.place(scene.view, question.pixel, scene.grid)
    start = scene.placed.image_start
    assert rotary.inv_freq.dtype == seen[1].dtype == torch.float32
    assert seen[1][1:, 0, 0].tolist() == pytest.approx([start + row, start + column])
    assert 0 <= reply.mass <= 1 + 1e-3


def test_reference_says_freely_what_the_model_says(checkpoints, asked):
    engine = ReferenceEngine(checkpoints("llava"), "cpu", max_new_tokens=9)
    engine.loaded.model.generation_config.repetition_penalty = 5.0
    engine.loaded.model.generation_config.do_sample = True
    pairs = asked(engine, "marker", 4)
    first, again = engine.step(pairs), engine.step(pairs)
    assert [r.text for r in first] == [r.text for r in again]
    for reply in first:
        assert 0 < len(engine.loaded.chat.encode(reply.text)) <= 9
        parsed = parse(reply.text).metres
        assert reply.value == parsed or (isnan(reply.value) and isnan(parsed))
        assert isnan(reply.median)


@pytest.mark.parametrize("kind", [LocalEngine, ReferenceEngine])
def test_a_closed_engine_has_given_its_model_and_the_devices_memory_back(
    checkpoints, monkeypatch, kind
):
    """torch keeps freed memory of a GPU for itself until its cache is emptied."""
    engine, emptied = kind(checkpoints("llava"), "cpu"), []
    model = weakref.ref(engine.loaded.model)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(model() is None))
    engine.close()
    assert emptied == [True]
