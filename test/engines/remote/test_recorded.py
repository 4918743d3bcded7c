# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The remote engine on what a real vLLM said, over real HTTP."""

import json
import re
import shutil
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from testing.http_servers import Answering

import depthlm_ros.demo
from depthlm_ros.checkpoints import TINY

from .conftest import numbers, until_usable

SCENE = Path(depthlm_ros.demo.__file__).with_name("scene.png")
MISS = {"error": {"message": "Cache miss for image at index 0 but data is not provided."}}
BUSY = json.dumps({"error": {"message": "busy"}})
GONE = 503, json.dumps({"error": {"message": "engine is dead"}})


def images_sent(station):
    """How often the image itself was in a request."""
    return sum(json.dumps(body).count("data:image/png") for body in station.posts())


@pytest.mark.parametrize("style", ["coordinates", "marker"])
def test_it_says_what_the_local_engine_says(
    station, remote, local, view, questions, replies, style
):
    engine, some = remote(station.url), questions(view, style, 3)
    ours, theirs = (replies(e, view, some, style) for e in (engine, local))
    assert [r.text for r in ours] == [r.text for r in theirs]
    assert np.abs(numbers(ours) - numbers(theirs)).max() < 1e-3
    assert len({r.text for r in ours}) == 3


def test_an_image_is_sent_once_and_a_question_costs_a_kilobyte_a_node(
    station, remote, view, questions, replies
):
    engine = remote(station.url)
    before = images_sent(station)
    replies(engine, view, questions(view, "coordinates", 3), "coordinates")
    assert images_sent(station) - before == 1
    first = images_sent(station)
    replies(engine, view, questions(view, "coordinates", 3), "coordinates")
    assert images_sent(station) == first


def test_what_a_server_can_do_is_found_out(station, remote):
    (server,) = remote(station.url).servers
    assert server.usable
    for word in ("tiny", "exact", "many questions a request", "sent once"):
        assert word in server.text


def test_an_image_that_a_server_has_lost_is_sent_again(
    said, station, remote, view, questions, replies
):
    engine, some = remote(station.url), questions(view, "coordinates", 3)
    scene = engine.open([view], engine.prompts.loaded.checkpoint.asker("coordinates"))
    lost = []

    def forgetful(method, path, body):
        if body and not lost and '"image_url": null' in json.dumps(body):
            lost.append(body)
            return 400, json.dumps(MISS)
        return said(method, path, body)

    station.answer = forgetful
    before = images_sent(station)
    found = engine.step([(scene, question) for question in some])
    assert lost and images_sent(station) == before + 1
    assert engine.traffic["cache misses"] == 1
    again = replies(engine, view, some, "coordinates")
    assert np.array_equal(numbers(found), numbers(again))


@pytest.mark.parametrize(
    "refusal",
    [
        (429, BUSY),
        (503, BUSY),
        (500, "Internal Server Error"),
        (502, "Internal Server Error"),
        None,
    ],
    ids=["429", "503", "500", "502", "cut line"],
)
def test_a_busy_server_and_one_behind_a_router_that_loses_requests_are_asked_again(
    said, station, remote, view, questions, replies, refusal
):
    engine, some = remote(station.url), questions(view, "coordinates", 3)
    expected = numbers(replies(engine, view, some, "coordinates"))
    refused = []

    def refusing(method, path, body):
        if method == "POST" and len(refused) < 2:
            refused.append(path)
            return refusal
        return said(method, path, body)

    station.answer = refusing
    assert np.array_equal(numbers(replies(engine, view, some, "coordinates")), expected)
    assert len(refused) == 2 and engine.servers[0].usable


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_stays_busy_is_given_up_and_another_asked(
    said, station, remote, view, questions, replies, status
):
    """Both are busy in turn, so that one of them is the one that the image chose."""
    busy = status, json.dumps({"error": {"message": "busy"}})
    with Answering(said) as other:
        engine, some = (
            remote(station.url, other.url, timeout=1.5),
            questions(view, "coordinates", 3),
        )
        expected = numbers(replies(engine, view, some, "coordinates"))
        for full in (station, other):
            until_usable(engine, 20.0)
            full.answer = lambda method, path, body: busy if body else said(method, path, body)
            begun = time.monotonic()
            assert np.array_equal(numbers(replies(engine, view, some, "coordinates")), expected)
            assert time.monotonic() - begun < 4 * 1.5
            full.answer = said


def test_one_conversation_a_request_where_there_is_no_batch_route(
    said, station, remote, view, questions, replies
):
    def older(method, path, body):
        if path.endswith("/batch"):
            return 404, json.dumps({"detail": "Not Found"})
        return said(method, path, body)

    expected = replies(remote(station.url), view, questions(view, "coordinates", 1), "coordinates")
    station.answer = older
    engine = remote(station.url)
    assert engine.servers[0].usable
    found = replies(engine, view, questions(view, "coordinates", 1), "coordinates")
    assert np.abs(numbers(found) - numbers(expected)).max() < 1e-3


class Replicas:
    """Two servers behind one address without a batch route, asked in turn; each knows again only
    the images that it was sent itself."""

    def __init__(self, said):
        self.said = said
        self.known = [set(), set()]
        self.turn = 0

    def __call__(self, method, path, body):
        if not body or path.endswith("/batch"):
            return self.said(method, path, body) if not body else (404, "{}")
        self.turn = 1 - self.turn
        items = [i for i in body["messages"][0]["content"] if i["type"] == "image_url"]
        known = self.known[self.turn]
        known |= {item["uuid"] for item in items if item["image_url"]}
        if any(item["uuid"] not in known for item in items):
            return 400, json.dumps(MISS)
        reply = self.said(method, path, body)
        if reply[0] == 404:  # recorded as one that goes without its image
            body = deepcopy(body)
            for item in body["messages"][0]["content"]:
                if item["type"] == "image_url":
                    item["image_url"] = None
            reply = self.said(method, path, body)
        return reply


def test_each_server_behind_one_address_is_sent_an_image_once(
    said, station, remote, view, questions, replies
):
    some = questions(view, "coordinates", 1)
    expected = numbers(replies(remote(station.url), view, some, "coordinates"))
    station.answer = replicas = Replicas(said)
    engine = remote(station.url)
    assert "sent once" in engine.servers[0].text
    before, sent = images_sent(station), []
    for _ in range(2):
        found = numbers(replies(engine, view, some, "coordinates"))
        assert np.abs(found - expected).max() < 1e-3
        sent.append(images_sent(station) - before)
    assert set.intersection(*replicas.known)
    assert sent == [3, 3]  # one of them to the server that had it already
    assert engine.traffic["cache misses"] == 1


def test_the_questions_of_a_step_are_asked_in_pieces_that_overlap(
    said, station, remote, local, view, questions, replies
):
    """While the answers to one are on the line, the server computes for the other."""
    engine, some, under_way, most = remote(station.url), questions(view, "coordinates", 18), [], []

    def slow(method, path, body):
        if not path.endswith("/batch"):
            return said(method, path, body)
        under_way.append(len(body["messages"]))
        most.append(list(under_way))
        time.sleep(0.3)
        answer = said(method, path, body)
        under_way.remove(len(body["messages"]))
        return answer

    station.answer = slow
    found = numbers(replies(engine, view, some, "coordinates"))
    assert [9, 9] in most and max(map(len, most)) == 2
    assert np.abs(found - numbers(replies(local, view, some, "coordinates"))).max() < 1e-3


def test_many_questions_about_an_image_are_shared_however_few_a_step_takes(
    said, station, remote, tiny, view, questions
):
    """Of 1000 questions to two slow servers one of them was asked 95 % while steps decided."""
    with Answering(said) as other:
        engine = remote(station.url, other.url)
        scene = engine.open([view], tiny.asker("coordinates"))
        batch = [(scene, question) for question in questions(view, "coordinates", 18)]
        pinned = [[piece.pinned for piece in engine._pieces(batch)] for _ in range(2)]
        scene.close()
    assert pinned == [[True, True], [True, False]]


@pytest.mark.parametrize("fault", ["dies", "hangs", "talks nonsense"])
def test_another_server_is_asked_where_one_fails(
    said, station, remote, view, questions, replies, fault
):
    """Both are asked, so that one of them is the one that the image chose."""
    with Answering(said) as other:
        engine = remote(station.url, other.url, timeout=1.5)
        some = questions(view, "coordinates", 3)
        expected = numbers(replies(engine, view, some, "coordinates"))
        for broken in (station, other):
            for server in (station, other):
                server.answer = said
            until_usable(engine, 20.0)
            broken.answer = {
                "dies": lambda *_: None,
                "hangs": lambda *_: time.sleep(3),
                "talks nonsense": lambda *_: (200, "<html>"),
            }[fault]
            begun = time.monotonic()
            found = numbers(replies(engine, view, some, "coordinates"))
            assert time.monotonic() - begun < 4 * 1.5
            assert np.array_equal(found, expected)


def test_with_no_server_left_it_says_so_and_recovers(
    said, station, remote, view, questions, replies
):
    from depthlm_ros.errors import EngineError

    engine, some = remote(station.url), questions(view, "coordinates", 3)
    station.answer = lambda *_: None
    with pytest.raises(EngineError, match=re.escape(station.url)):
        replies(engine, view, some, "coordinates")
    assert not engine.servers[0].usable
    begun = time.monotonic()
    with pytest.raises(EngineError):  # at once, as long as none is there
        replies(engine, view, some, "coordinates")
    assert time.monotonic() - begun < 1
    station.answer = said
    until_usable(engine, 20.0)
    assert np.isfinite(numbers(replies(engine, view, some, "coordinates"))).all()


def test_closing_a_scene_ends_its_requests(said, station, remote, view, questions):
    import threading

    engine, some = remote(station.url), questions(view, "coordinates", 3)
    scene = engine.open([view], engine.prompts.loaded.checkpoint.asker("coordinates"))
    asked = threading.Event()

    def silent(method, path, body):
        if method == "POST":
            asked.set()
            time.sleep(3)
        return said(method, path, body)

    station.answer = silent
    threading.Thread(target=lambda: asked.wait(20) and scene.close()).start()
    begun = time.monotonic()
    found = engine.step([(scene, question) for question in some])
    assert asked.is_set() and time.monotonic() - begun < 2.5
    assert np.isnan(numbers(found)[:, 0]).all()


def test_the_command_line_says_the_same_of_both_engines(station, run):
    pytest.importorskip("torch")
    ask = ["ask", SCENE, "--fx", 525, "--at", "320,240", "--style", "coordinates", "--json"]
    options = ["--engine", "remote", "--remote-urls", station.url, "--remote-timeout", 120]
    (code, ours, _), (_, theirs, _) = run(*ask, *options), run(*ask)
    ours, theirs = json.loads(ours), json.loads(theirs)
    assert code == 0 and ours["checked"] == theirs["checked"] == 1
    assert ours["answers"][0]["distance_m"] == pytest.approx(
        theirs["answers"][0]["distance_m"], abs=1e-3
    )


def test_a_folder_without_weights_is_enough(station, run, tmp_path):
    pytest.importorskip("torch")
    shutil.copytree(TINY, tmp_path / "light", ignore=shutil.ignore_patterns("*.safetensors"))
    ask = ["ask", SCENE, "--fx", 525, "--at", "320,240", "--style", "coordinates", "--json"]
    ask += ["--checkpoint", tmp_path / "light"]
    code, out, err = run(*ask, "--engine", "remote", "--remote-urls", station.url)
    assert code == 0, err
    assert json.loads(out)["answers"][0]["status"] == "OK"
    code, _, err = run(*ask)
    assert code == 2 and "safetensors" in err
