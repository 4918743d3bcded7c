# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The remote engine against real vLLM: the local engine is the oracle, real processes fail."""

import itertools
import json
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from testing.http_servers import Answering, passing_on
from testing.vllm_servers import MISSING, PYTHON, Served

from depthlm_ros.errors import EngineError
from depthlm_ros.question import PlainStyle

from .conftest import numbers, until_usable

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
KEY = "0123456789abcdef"


@pytest.fixture(scope="session", autouse=True)
def second_start(request, tmp_path_factory):
    """start(port) -> a second server on its way, which wants a key. Where a test will need one it
    is started here, before the first is waited for: they load at the same time."""
    folder = tmp_path_factory.mktemp("second")
    (folder / "key").write_text(KEY + "\n")
    started = []

    def start(port=None):
        options = ["--key-file", str(folder / "key")]
        started.append(Served(folder / "log", port, options=options))

    start.key_file = str(folder / "key")
    start.started = started
    if PYTHON.exists() and any("second" in item.fixturenames for item in request.session.items):
        start()
    try:
        yield start
    finally:
        for served in started:
            served.stop()


@pytest.fixture(scope="module")
def second(vllm, second_start):
    """The second server, which may be stopped, and started anew at a port."""
    if not second_start.started:
        pytest.skip(MISSING)

    def again(port):
        second_start(port)
        second_start.started[-1].wait()

    second_start.started[-1].wait()
    again.key_file, again.started = second_start.key_file, second_start.started
    return again


@pytest.mark.parametrize("style", ["coordinates", "marker"])
def test_two_hundred_questions_have_the_answers_of_the_local_engine(
    vllm, remote, local, view, questions, replies, style
):
    some = questions(view, style, 200, seed=7)
    ours, theirs = (replies(e, view, some, style) for e in (remote(vllm), local))
    assert [r.text for r in ours] == [r.text for r in theirs]
    assert np.abs(numbers(ours) - numbers(theirs)).max() < 1e-3
    assert len({r.value for r in ours}) > 20


def test_swapped_answers_would_be_noticed(vllm, remote, local, view, questions, replies):
    some = questions(view, "coordinates", 8, seed=7)
    ours, theirs = (replies(e, view, some, "coordinates") for e in (remote(vllm), local))
    assert np.abs(numbers(ours[::-1]) - numbers(theirs)).max() > 0.1


def test_two_images_at_once_are_not_taken_for_each_other(vllm, remote, local, view, questions):
    """A stamp or a frame's name for a key would make one of them the other."""
    other = replace(view, image=np.ascontiguousarray(view.image[:, ::-1]))
    engine, found = remote(vllm), []
    for asked in (engine, local):
        style = local.loaded.checkpoint.asker("coordinates")
        scenes = [asked.open([one], style) for one in (view, other)]
        some = questions(view, "coordinates", 6, seed=3)
        batch = [(scene, question) for question in some for scene in scenes]
        found.append(numbers(asked.step(batch)))
    assert np.abs(found[0] - found[1]).max() < 1e-3
    assert np.abs(found[1][::2] - found[1][1::2]).max() > 0.1


def test_another_image_under_load_changes_no_answer(vllm, remote, local, view, questions, replies):
    """Two callers ask about the same pixels of two images at the same time, twice."""
    shown = view, replace(view, image=np.ascontiguousarray(view.image[:, ::-1]))
    some = questions(view, "coordinates", 40, seed=8)
    engines, found = [remote(vllm) for _ in shown], ([], [])

    def ask(engine, image, said):
        for _ in range(2):
            said.append(numbers(replies(engine, image, some, "coordinates")))

    callers = [threading.Thread(target=ask, args=a) for a in zip(engines, shown, found)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(300)
    for image, said in zip(shown, found, strict=True):
        expected = numbers(replies(local, image, some, "coordinates"))
        assert len(said) == 2 and max(np.abs(one - expected).max() for one in said) < 1e-3
    assert np.abs(found[0][0] - found[1][0]).max() > 0.1


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_too_busy_now_and_then_gives_the_same_answers(
    vllm, remote, view, questions, replies, status
):
    real, posts = passing_on(vllm), itertools.count()

    def busy(method, path, body):
        if body and next(posts) % 3 == 1:
            return status, json.dumps({"error": {"message": "busy"}})
        return real(method, path, body)

    some = questions(view, "coordinates", 20, seed=9)
    expected = numbers(replies(remote(vllm), view, some, "coordinates"))
    with Answering(busy) as station:
        engine = remote(station.url)
        found = numbers(replies(engine, view, some, "coordinates"))
        assert next(posts) > 8 and engine.servers[0].usable
    assert np.abs(found - expected).max() < 1e-3


def test_questions_in_words_about_two_images_are_answered_alike(vllm, remote, local, view):
    other = replace(view, image=np.ascontiguousarray(view.image[:, ::-1]))
    style, engine, said = PlainStyle(), remote(vllm), []
    for views in ([view], [view, other], [other, view]):
        texts = []
        for one in (engine, local):
            scene = one.open(views, style)
            texts.append(one.step([(scene, style.ask("How far did the camera move?"))])[0].text)
        assert texts[0] == texts[1]
        said.append(texts[0])
    assert len(set(said)) == 3


def test_checked_answers_are_those_that_the_model_says_by_itself(
    vllm, remote, view, questions, replies
):
    engine = remote(vllm, check="on")
    found = replies(engine, view, questions(view, "coordinates", 6), "coordinates")
    assert engine.counts["checked"] == 6 and not engine.counts["fell_back"]
    assert not any(reply.free for reply in found)


def test_a_wrong_model_is_refused_with_those_that_are_there(vllm, remote):
    with pytest.raises(EngineError, match=r"'nope'.*\btiny\b"):
        remote(vllm, model="nope")


def test_the_key_is_wanted_and_read_from_a_file(second, remote, tmp_path):
    url = second.started[-1].url
    assert remote(url, key_file=second.key_file).servers[0].usable
    (tmp_path / "key").write_text("wrong")
    for given in ("", str(tmp_path / "key")):
        with pytest.raises(EngineError, match="key_file"):
            remote(url, key_file=given)
    command = second.started[-1].command_lines()
    assert "tiny" in command and KEY not in command


def test_the_benchmark_asks_both_engines(vllm, run):
    options = ["--remote-urls", vllm, "--remote-timeout", 120]
    code, out, err = run("bench", "--remote", *options, "--n", "1,4", "--styles", "coordinates")
    rows = [line.split() for line in out.splitlines() if "coordinates" in line]
    assert code == 0, err
    assert [row[0] for row in rows] == ["local", "local", "1", "1"]
    assert [row[-1] for row in rows[:2]] == ["0", "0"]  # requests
    assert all(float(row[-1].removesuffix("x")) > 0.1 for row in rows[2:])  # of the server alone
    for row in rows[2:]:  # the asking process computes less than all that is waited for
        waited, own = (float(a) for a, unit in itertools.pairwise(row) if unit == "ms")
        assert 0 < own < waited


def test_two_servers_of_which_one_is_slow_answer_like_one(
    vllm, second, remote, view, questions, replies
):
    real = passing_on(second.started[-1].url, KEY)

    def slow(method, path, body):
        time.sleep(2.0 if method == "POST" else 0.0)
        return real(method, path, body)

    some = questions(view, "marker", 24, seed=5)
    expected = numbers(replies(remote(vllm), view, some, "marker"))
    with Answering(slow) as station:
        engine = remote(vllm, station.url)
        assert np.abs(numbers(replies(engine, view, some, "marker")) - expected).max() < 1e-3
        assert station.posts("/batch")


def test_a_server_that_is_stopped_for_ten_seconds_comes_back(
    vllm, second, remote, view, questions, replies
):
    """How long it may take is measured: the machine may do other things too."""
    served = second.started[-1]
    engine = remote(vllm, served.url, key_file=second.key_file)
    some = questions(view, "marker", 16, seed=5)
    begun = time.monotonic()
    expected = numbers(replies(engine, view, some, "marker"))
    usual = time.monotonic() - begun
    hasty = remote(vllm, served.url, key_file=second.key_file, timeout=max(5.0, 4 * usual))
    until_usable(hasty, 300.0)
    served.send(signal.SIGSTOP)
    threading.Timer(10.0, served.send, [signal.SIGCONT]).start()
    begun = time.monotonic()
    found = numbers(replies(hasty, view, some, "marker"))
    assert np.abs(found - expected).max() < 1e-3
    assert time.monotonic() - begun < 10 + max(5.0, 4 * usual) + 4 * usual
    until_usable(hasty, 300.0)


def test_a_server_that_is_killed_midway_costs_no_answer_and_its_successor_is_taken_in(
    vllm, second, remote, view, questions, replies
):
    """The successor listens at the same port and has an empty cache."""
    served = second.started[-1]
    engine = remote(vllm, served.url, key_file=second.key_file, timeout=120.0)
    some = questions(view, "marker", 64, seed=6)
    expected = numbers(replies(engine, view, some, "marker"))
    threading.Timer(0.5, served.stop, [signal.SIGKILL]).start()
    found = numbers(replies(engine, view, some, "marker"))
    assert served.process.wait(30) is not None
    assert np.abs(found - expected).max() < 1e-3
    second(served.port)
    until_usable(engine, 300.0)
    found = numbers(replies(engine, view, some, "marker"))
    assert np.abs(found - expected).max() < 1e-3
    assert all(server.client.traffic["requests"] for server in engine._servers)
