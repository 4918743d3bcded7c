# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Steps of an engine without room, killed or broken: every other question keeps its answer."""

from math import isnan

import pytest

torch = pytest.importorskip("torch")

from depthlm_ros.batcher import Batcher
from depthlm_ros.engines.local import engine as local
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.errors import EngineError, OutOfMemory
from depthlm_ros.models import memory


@pytest.fixture
def cramped(checkpoints, monkeypatch):
    """(architecture, most) -> an engine whose device takes `most` questions at once, and the
    sizes of its passes."""

    def made(architecture, most):
        engine, sizes = LocalEngine(checkpoints(architecture), "cpu", check="off"), []
        answers = engine._answers

        def limited(members):
            sizes.append(len(members))
            begun = answers(members)  # the memory ends after work was done, not before
            if len(members) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return begun

        monkeypatch.setattr(engine, "_answers", limited)
        return engine, sizes

    return made


def texts(replies):
    return [reply.text for reply in replies]


@pytest.mark.parametrize(
    ("architecture", "style"),
    [("qwen2_5_vl", "marker"), ("qwen3_vl", "position"), ("llava", "coordinates")],
)
def test_an_engine_that_runs_out_of_memory_answers_each_row_by_its_own(
    engines, cramped, asked, architecture, style
):
    whole = engines("local", architecture)
    expected = texts(whole.step(asked(whole, style, 10) + asked(whole, style, 3, seed=1)))
    engine, sizes = cramped(architecture, 3)
    pairs = asked(engine, style, 10) + asked(engine, style, 3, seed=1)
    assert texts(engine.step(pairs)) == expected
    assert max(sizes) > 3
    sizes.clear()
    assert texts(engine.step(pairs)) == expected
    assert max(sizes) <= 3, "the smaller size is remembered"
    assert engine.room(pairs[0][0], 1000.0) <= 3


def test_jobs_are_answered_by_a_device_that_is_too_small_for_their_steps(cramped, asked):
    engine, _ = cramped("qwen3_vl", 2)
    pairs = asked(engine, "coordinates", 20)
    alone = [engine.step([pair])[0].text for pair in pairs]
    batcher = Batcher(engine, step_s=100.0)
    job = batcher.submit(pairs[0][0], [question for _, question in pairs])
    assert texts(job.wait()) == alone


def test_a_question_that_does_not_fit_at_all_ends_its_job_with_the_reason(cramped, asked):
    engine, _ = cramped("qwen3_vl", 0)
    ((scene, question),) = asked(engine, "coordinates", 1)
    job = Batcher(engine).submit(scene, [question] * 3)
    with pytest.raises(OutOfMemory, match="CUDA out"):
        job.wait()


def test_on_a_processor_a_question_without_room_is_refused_before_it_kills(
    engines, asked, monkeypatch
):
    engine = engines("local", "qwen2_5_vl")
    pairs = asked(engine, "marker", 2)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 20_000)
    monkeypatch.setattr(engine, "_answers", None)
    said = r"\bmarker\b.*\b2 x 2\b.* 0\.00.* 2e-05 GB"
    with pytest.raises(OutOfMemory, match=said):
        engine.step(pairs)


def test_on_a_processor_an_image_without_room_is_refused_before_it_kills(
    engines, view_of, monkeypatch
):
    engine = engines("local", "qwen3_vl")
    monkeypatch.setattr(memory, "free_bytes", lambda device: 20_000)
    monkeypatch.setattr(local, "prefill", None)
    with pytest.raises(OutOfMemory, match="2e-05 GB"):
        engine.open([view_of(0)], engine.loaded.checkpoint.asker("coordinates"))


@pytest.mark.parametrize(("style", "broken"), [("coordinates", "prefill"), ("marker", "Canvas")])
def test_an_image_that_a_gpu_has_no_room_for_is_an_error_with_the_reason(
    engines, asked, view_of, monkeypatch, style, broken
):
    """And the next image, a smaller one or after others were closed, is answered."""
    engine, emptied = engines("local", "qwen3_vl"), []
    expected = texts(engine.step(asked(engine, style, 3)))

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nDetails")

    with monkeypatch.context() as patch:
        patch.setattr(local, broken, full)
        patch.setattr(memory, "give_back", lambda: emptied.append(1))
        with pytest.raises(OutOfMemory, match=r"9 GiB\.$"):
            engine.open([view_of(0)], engine.loaded.checkpoint.asker(style))
    assert emptied == [1]
    assert texts(engine.step(asked(engine, style, 3))) == expected


def test_on_a_processor_a_step_is_cut_by_what_is_free(engines, asked, monkeypatch):
    engine, sizes = engines("local", "qwen3_vl"), []
    pairs = asked(engine, "position", 12)
    expected = texts(engine.step(pairs))
    answers = engine._answers
    monkeypatch.setattr(engine, "_answers", lambda m: sizes.append(len(m)) or answers(m))
    one = local.question_bytes(engine.loaded, pairs[0][0])
    monkeypatch.setattr(local, "free_bytes", lambda device: 5 * one / local.SHARE + 1)
    assert texts(engine.step(pairs)) == expected
    assert sizes == [5, 5, 2]


class Killed(BaseException):
    """What a thread is ended with from outside; no Exception, so that nobody may catch it."""


@pytest.mark.parametrize("style", ["marker", "coordinates"])
@pytest.mark.parametrize("after", [1, 4])
def test_a_step_that_is_killed_midway_leaves_the_next_ones_right(
    engines, asked, monkeypatch, style, after
):
    """The exception comes in the middle of the language model, or while numbers are read."""
    engine = engines("local", "qwen3_vl")
    pairs = asked(engine, style, 6)
    expected = texts(engine.step(pairs))
    layer, calls = engine.loaded.base.language_model.layers[1].mlp.act_fn, []

    def killed(module, inputs):
        calls.append(1)
        if len(calls) == after:
            raise Killed

    hook = layer.register_forward_pre_hook(killed)
    threads = torch.get_num_threads()
    with pytest.raises(Killed):
        engine.step(pairs)
    hook.remove()
    assert torch.get_num_threads() == threads
    assert texts(engine.step(pairs[::-1])) == expected[::-1]


def test_a_step_that_raises_ends_its_jobs_and_no_others(engines, asked, monkeypatch):
    engine = engines("local", "qwen3_vl")
    pairs = asked(engine, "coordinates", 4)
    scene, questions = pairs[0][0], [question for _, question in pairs]
    expected = texts(engine.step(pairs))
    batcher = Batcher(engine, step_s=100.0)
    first = batcher.submit(scene, questions)
    with monkeypatch.context() as broken:
        broken.setattr(engine.reader, "read", lambda begun: 1 / 0)
        with pytest.raises(EngineError, match="ZeroDivisionError"):
            first.wait()
    assert texts(batcher.submit(scene, questions).wait()) == expected


def test_a_scene_that_closes_while_jobs_wait_on_it_gives_no_numbers(engines, asked):
    engine = engines("local", "qwen3_vl")
    pairs = asked(engine, "coordinates", 6)
    others = asked(engine, "coordinates", 6, seed=1)
    expected = texts(engine.step(others))
    batcher = Batcher(engine, step_s=100.0)
    waiting = batcher.submit(pairs[0][0], [question for _, question in pairs])
    alive = batcher.submit(others[0][0], [question for _, question in others])
    pairs[0][0].close()
    assert texts(alive.wait()) == expected
    assert all(isnan(reply.value) for reply in waiting.wait())
