# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The shipped fake keeps the contract of an engine, and says that it is one."""

import subprocess
import sys
from math import isnan, nan

import pytest

from depthlm_ros.engines import CLOSED, make_engine
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import InputError
from depthlm_ros.question import MarkerStyle, PlainStyle


def asked_about(engine, view, pixels):
    scene = engine.open([view], MarkerStyle())
    return [(scene, MarkerStyle().question(view, pixel)) for pixel in pixels]


def test_rows_keep_their_order_and_say_they_are_scripted(view_of):
    engine = ScriptedEngine(lambda view, pixel: pixel[0] / 10)
    replies = engine.step(asked_about(engine, view_of(0), [(30, 20), (10, 20), (20, 20)]))
    assert [reply.value for reply in replies] == [3.0, 1.0, 2.0]
    assert (replies[0].lower, replies[0].upper) == pytest.approx((2.7, 3.3))
    assert all("scripted" in reply.text for reply in replies)


def test_nan_is_a_reply_without_a_number(view_of):
    engine = ScriptedEngine(nan)
    (reply,) = engine.step(asked_about(engine, view_of(0), [(30, 20)]))
    assert isnan(reply.value)
    assert reply.mass == 0


def test_a_text_answers_a_free_question_about_two_images(view_of):
    engine = ScriptedEngine("to the left")
    scene = engine.open([view_of(0), view_of(1)], PlainStyle())
    (reply,) = engine.step([(scene, PlainStyle().ask("Where to?"))])
    assert reply.text == "to the left" and isnan(reply.value)


def test_what_the_function_raises_fails_the_step(view_of):
    def fails(view, pixel):
        raise RuntimeError("out of memory")

    engine = ScriptedEngine(fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.step(asked_about(engine, view_of(0), [(30, 20)]))


def test_a_step_takes_what_fits_its_time_and_never_nothing(view_of):
    engine = ScriptedEngine(seconds_per_question=0.02)
    scene = engine.open([view_of(0)], MarkerStyle())
    assert [engine.room(scene, seconds) for seconds in (0.1, 0.001)] == [5, 1]


def test_a_closed_scene_holds_nothing_and_answers_nothing(view_of):
    engine = ScriptedEngine()
    pairs = asked_about(engine, view_of(0), [(30, 20)])
    assert pairs[0][0].nbytes == 70 * 54 * 3
    pairs[0][0].close()
    assert pairs[0][0].nbytes == 0
    assert engine.step(pairs)[0].text == CLOSED


def test_an_unknown_engine_is_refused_by_name():
    with pytest.raises(InputError, match="'vllm'.*local, reference, remote, scripted"):
        make_engine("vllm", None)


@pytest.mark.parametrize("name", ["local", "reference"])
def test_without_torch_an_engine_says_how_to_install_it(name):
    code = f"""
import sys
sys.modules["torch"] = None
from depthlm_ros.engines import make_engine
from depthlm_ros.errors import MissingDependency
try:
    make_engine({name!r}, None)
except MissingDependency as error:
    print(error)
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert f"'{name}'" in said and "make setup" in said
