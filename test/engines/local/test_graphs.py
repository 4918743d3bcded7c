# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Passes that are recorded once and repeated give what is computed anew: on a tape, which stands
in for CUDA's graphs."""

import logging
from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from testing import second_device
from testing.tape import Recorder
from testing.tiny_models import ARCHITECTURES

from depthlm_ros.engines import make_engine
from depthlm_ros.engines.local import graphs
from depthlm_ros.engines.local.cache import NoPrompt
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.engines.local.graphs import Graphs
from depthlm_ros.engines.local.rows import Rows
from depthlm_ros.errors import InputError
from depthlm_ros.models.listeners import listening
from depthlm_ros.question import PlainStyle

STYLES = [
    (architecture, style)
    for architecture in ARCHITECTURES
    for style in ("marker", "coordinates", "position")
    if (architecture, style) != ("llava", "position")  # its positions are whole numbers
]


@pytest.fixture
def taped(checkpoints):
    """(architecture, check) -> (engine with graphs on a tape, its Recorder)."""

    def made(architecture, check="off"):
        engine, recorder = LocalEngine(checkpoints(architecture), "cpu", check=check), Recorder()
        engine.graphs = Graphs(engine.loaded, recorder)
        return engine, recorder

    return made


def assert_same(found, wanted):
    """Replies are, but for the order of sums."""
    assert [one.text for one in found] == [one.text for one in wanted]
    told = [
        [[one.value, one.median, one.lower, one.upper, one.mass] for one in each]
        for each in (found, wanted)
    ]
    np.testing.assert_allclose(*told, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("architecture, style", STYLES)
def test_repeated_passes_answer_as_computed_ones(engines, taped, asked, architecture, style):
    plain, (engine, recorder) = engines("local", architecture), taped(architecture)
    for seed in (0, 1, 2, 3):  # other images, questions and digits every time
        repeated = recorder.repeated
        found, wanted = (one.step(asked(one, style, 1, seed)) for one in (engine, plain))
        assert_same(found, wanted)
        assert recorder.repeated >= repeated + 3  # the image, and rounds of digits
    assert recorder.repeated > recorder.recorded > 0


def test_images_that_are_open_together_are_told_apart(engines, taped, asked):
    plain, (engine, recorder) = engines("local", "qwen3_vl"), taped("qwen3_vl")
    first, second = (asked(engine, "position", 2, seed) for seed in (0, 1))
    for seed, pairs in enumerate((first, second)):
        assert_same(engine.step(pairs), plain.step(asked(plain, "position", 2, seed)))
    assert recorder.repeated > 0


def test_images_of_as_many_patches_and_another_shape_are_told_apart(engines, taped, view_of):
    said = []
    for one in (engines("local", "qwen3_vl"), taped("qwen3_vl")[0]):
        style = one.loaded.checkpoint.asker("position")
        for size in ((96, 64), (64, 96)):
            view = view_of(0, *size)
            scene = one.open([view], style)
            said += one.step([(scene, style.question(view, (40, 30)))])
    assert_same(said[2:], said[:2])


def test_states_of_rows_are_theirs_while_others_begin(taped, asked):
    engine, recorder = taped("qwen3_vl")
    ((scene, _),) = asked(engine, "coordinates", 1)
    words, lengths = torch.tensor([[7, 8, 9], [9, 8, 5]]), torch.tensor([3, 3])
    positions = 40 + torch.arange(3.0).expand(3, 2, 3)
    with torch.inference_mode():
        rows = Rows(engine.loaded, scene.prompt, engine.graphs)
        states = rows.begin(words, positions, lengths)
        kept = states.clone()
        del rows
        other = Rows(engine.loaded, scene.prompt, engine.graphs)
        assert not torch.equal(other.begin(words.flip(1), positions, lengths), kept)
    assert recorder.recorded == 2  # with the image's
    assert torch.equal(states, kept)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_rows_that_fill_a_place_or_do_not_are_answered_alike(engines, taped, asked, count):
    plain, (engine, recorder) = engines("local", "qwen2_5_vl"), taped("qwen2_5_vl")
    for seed in (0, 1):
        assert_same(
            engine.step(asked(engine, "marker", count, seed)),
            plain.step(asked(plain, "marker", count, seed)),
        )
    assert recorder.repeated > 0


def test_a_check_is_repeated_too(checkpoints, taped, asked):
    plain = LocalEngine(checkpoints("qwen3_vl"), "cpu", check="on")
    engine, recorder = taped("qwen3_vl", "on")
    rounds = recorder.repeated
    assert_same(engine.step(asked(engine, "marker", 2)), plain.step(asked(plain, "marker", 2)))
    assert recorder.repeated > rounds
    assert engine.counts == plain.counts


@pytest.mark.parametrize("limit, most", [("COLUMNS", 9), ("SLOTS", (1,))])
def test_a_tree_that_outgrows_its_place_goes_on_without(
    engines, taped, asked, monkeypatch, limit, most
):
    monkeypatch.setattr(graphs, limit, most)
    plain, (engine, _) = engines("local", "qwen2_5_vl"), taped("qwen2_5_vl")
    assert_same(engine.step(asked(engine, "marker", 3)), plain.step(asked(plain, "marker", 3)))


def test_what_was_recorded_of_one_image_is_forgotten_for_another(
    engines, taped, asked, monkeypatch
):
    monkeypatch.setattr(graphs, "KEPT", 1)
    plain, (engine, _) = engines("local", "qwen3_vl"), taped("qwen3_vl")
    for style in ("marker", "position", "marker"):
        assert_same(engine.step(asked(engine, style, 1)), plain.step(asked(plain, style, 1)))
    assert len(engine.graphs._places) == len(engine.graphs._prompts) == 1


def test_answers_in_free_words_about_two_images_are_repeated_too(engines, taped, view_of):
    plain, (engine, recorder) = engines("local", "qwen2_5_vl"), taped("qwen2_5_vl")
    for seed in (0, 4):
        said = []
        for one in (engine, plain):
            scene = one.open([view_of(seed), view_of(seed + 1)], PlainStyle())
            (reply,) = one.step([(scene, PlainStyle().ask("How has the camera moved?"))])
            said.append(reply.text)
        assert said[0] == said[1]
    assert recorder.repeated > 20 > recorder.recorded  # one pass a token


def test_a_place_belongs_to_the_rows_that_hold_it(taped, asked):
    engine, _ = taped("qwen2_5_vl")
    ((scene, _),) = asked(engine, "coordinates", 1)
    prompt, holders = NoPrompt(), [Holder(), Holder()]
    given = prompt, 2, 7, scene.prompt
    place = engine.graphs.place(holders[0], *given)
    assert place is not None
    assert engine.graphs.place(holders[1], *given) is None
    place._used[:] = graphs.COLUMNS - 1  # nothing more can grow
    del holders[0]
    assert engine.graphs.place(holders[0], *given) is place
    assert not place._used.any()
    assert engine.graphs.place(holders[0], prompt, graphs.ROWS + 1, 7, scene.prompt) is None


class Holder:
    """Somebody."""


def test_what_cannot_be_recorded_is_told_once_and_computed(checkpoints, engines, asked, caplog):
    plain, engine = engines("local", "qwen2_5_vl"), LocalEngine(checkpoints("qwen2_5_vl"), "cpu")

    def record(action):
        raise RuntimeError("operation not permitted when stream is capturing")

    engine.checks = plain.checks
    engine.graphs = Graphs(engine.loaded, record)
    for style in ("marker", "position", "marker"):
        assert_same(engine.step(asked(engine, style, 2)), plain.step(asked(plain, style, 2)))
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert ["capturing" in one.getMessage() for one in warnings] == [True]


def test_who_listens_to_a_layer_hears_every_pass(engines, taped, asked):
    plain, (engine, recorder) = engines("local", "qwen2_5_vl"), taped("qwen2_5_vl")
    engine.step(asked(engine, "coordinates", 1))
    repeated, heard = recorder.repeated, []
    for one in (engine, plain):
        sizes = []
        with listening(one.loaded.decoder.layers[0].whole, lambda t, s=sizes: s.append(len(t))):
            one.step(asked(one, "coordinates", 1))
        heard.append(sizes)
    assert heard[0] == heard[1] and len(heard[0]) >= 4
    assert recorder.repeated == repeated


@pytest.mark.skipif(
    not second_device.is_possible(), reason="this torch has no device that Python defines"
)
@pytest.mark.parametrize("architecture, style", STYLES)
def test_nothing_is_sent_to_the_device_while_it_is_recorded(
    checkpoints, engines, asked, architecture, style
):
    plain, recorded = engines("local", architecture), []

    def record(action):
        action()  # what only the first run does
        with staying():
            recorded.append(action())
        return action

    with second_device.engine_elsewhere(checkpoints(architecture), check="off") as engine:
        engine.graphs = Graphs(engine.loaded, record)
        found = [reply for n in (1, 2) for reply in engine.step(asked(engine, style, n))]
    assert_same(found, [reply for n in (1, 2) for reply in plain.step(asked(plain, style, n))])
    assert len(recorded) >= 3


@contextmanager
def staying():
    """Inside, no tensor goes from one device to the other."""
    plain = second_device._sent

    def sent(tensor, *where, **named):
        found = plain(tensor, *where, **named)
        assert isinstance(found, second_device.Elsewhere) == isinstance(
            tensor, second_device.Elsewhere
        )
        return found

    with mock.patch.object(second_device, "_sent", sent):
        yield


@pytest.mark.parametrize("name", ["local", "reference", "scripted"])
def test_graphs_are_refused_where_there_are_none(checkpoints, name):
    refused = pytest.raises(InputError, match="graphs")
    with refused:
        make_engine(name, checkpoints("qwen2_5_vl"), device="cpu", graphs=True)
    with nullcontext() if name != "local" else refused:
        LocalEngine(checkpoints("qwen2_5_vl"), "cpu", graphs=name == "local")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
@pytest.mark.parametrize("architecture, style", STYLES)
def test_a_gpu_repeats_what_it_computes(checkpoints, asked, architecture, style):
    plain, engine = (
        LocalEngine(checkpoints(architecture), "cuda", "float32", check="off", graphs=graphs)
        for graphs in (False, True)
    )
    for seed, count in ((0, 1), (1, 1), (2, 1), (0, 3), (1, 3)):
        found, wanted = (one.step(asked(one, style, count, seed)) for one in (engine, plain))
        assert_same(found, wanted)
    assert not engine.graphs._is_off and engine.graphs._places
