# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Servers that cannot be used, or only partly: one clear sentence each."""

import json
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from testing.http_servers import Answering

import depthlm_ros.demo
from depthlm_ros.errors import EngineError, InputError, UnsupportedError

from .conftest import numbers

SCENE = Path(depthlm_ros.demo.__file__).with_name("scene.png")


def changed(said, change):
    """The answer with what `change` makes of each reply to a question."""

    def answer(method, path, body):
        status, text = said(method, path, body)
        if method == "POST" and status == 200:
            return status, json.dumps(change(json.loads(text)))
        return status, text

    return answer


def reading_of(name):
    """How a server is read that can do this; imported here, since the module needs torch."""
    from depthlm_ros.engines.remote import probe

    return probe.READINGS[getattr(probe, name)]


@pytest.mark.parametrize(
    "urls",
    [
        [],
        [""],
        ["gpu:8000"],
        ["ftp://gpu"],
        ["http://"],
        ["http://:80"],
        ["http://gpu:80000"],
        ["http://gpu:port"],
        ["http://[::1"],
    ],
)
def test_an_address_that_is_none_is_refused(remote, urls):
    with pytest.raises(InputError, match="http://gpu:8000"):
        remote(*urls)


def test_the_command_line_needs_an_address(run, image_file):
    code, _, err = run("ask", image_file, "--fx", 40, "--at", "9,9", "--engine", "remote")
    assert code == 2 and "--remote-urls" in err and err.count("\n") == 1


def test_an_option_of_another_engine_is_refused(run, image_file):
    ask = ["ask", image_file, "--fx", 40, "--at", "9,9"]
    code, _, err = run(*ask, "--remote-urls", "http://gpu")
    assert code == 2 and "--engine remote" in err


@pytest.mark.parametrize("content", [None, "", "two words", "two\nlines"])
def test_a_key_file_without_a_key_is_refused(remote, tmp_path, content):
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(InputError, match="key_file"):
        remote("http://127.0.0.1:1", key_file=str(tmp_path / "key"))


def test_the_key_is_sent(station, remote, tmp_path):
    (tmp_path / "key").write_text("open sesame".replace(" ", "-") + "\n")
    remote(station.url, key_file=str(tmp_path / "key"))
    assert station.headers["authorization"] == "Bearer open-sesame"


def test_a_wrong_key(remote):
    denied = 401, json.dumps({"error": "Unauthorized"})
    with Answering(lambda *_: denied) as station, pytest.raises(EngineError, match="key_file"):
        remote(station.url)


def test_servers_of_this_machine_are_asked_past_any_proxy(station, remote, monkeypatch):
    """The control: to another host the proxy is asked, and what it says is not taken for a key."""
    denied = 403, "<html><body>Blocked by policy</body></html>"
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Answering(lambda *_: denied) as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        remote(station.url)
        assert not proxy.asked
        with pytest.raises(EngineError, match="no_proxy") as caught:
            remote("http://gpu.invalid:8000")
        assert proxy.asked and "<html" not in str(caught.value)


def test_an_address_may_end_with_v1(station, remote):
    assert remote(station.url + "/v1/").servers[0].usable


@pytest.mark.parametrize("text", ["<html>hello</html>", "", "[1, 2]", "null", '{"data": 3}'])
def test_an_answer_that_is_no_list_of_models(remote, text):
    with Answering(lambda *_: (200, text)) as station, pytest.raises(EngineError) as raised:
        remote(station.url)
    assert station.url in str(raised.value)


def test_a_model_that_is_not_there(station, remote):
    with pytest.raises(EngineError, match=r"'nope'.*\btiny\b"):
        remote(station.url, model="nope")


def test_several_models_and_none_named(said, station, remote):
    def two(method, path, body):
        if path == "/v1/models":
            return 200, json.dumps({"data": [{"id": "a"}, {"id": "b"}]})
        return said(method, path, body)

    station.answer = two
    with pytest.raises(EngineError, match=r"\ba, b\b.*remote\.model"):
        remote(station.url)


def test_a_server_that_resizes(said, station, remote, tiny):
    image = 5  # the image token of the checkpoint

    def resized(reply):
        if reply.get("prompt_token_ids"):
            ids = reply["prompt_token_ids"]
            ids.remove(image)
        return reply

    station.answer = changed(said, resized)
    with pytest.raises(EngineError, match="--mm-processor-kwargs"):
        remote(station.url)


def test_a_server_that_resizes_images_of_one_size_alone(
    said, station, remote, view, questions, replies
):
    """The probe has another size; then the length of the prompt tells."""
    engine = remote(station.url)

    def longer(reply):
        reply["usage"]["prompt_tokens"] += 2
        return reply

    station.answer = changed(said, longer)
    with pytest.raises(EngineError, match="--mm-processor-kwargs"):
        replies(engine, view, questions(view, "coordinates", 3), "coordinates")


def test_a_model_with_another_tokenizer(said, station, remote):
    def other(reply):
        if reply.get("prompt_token_ids"):
            reply["prompt_token_ids"][0] += 1
        return reply

    station.answer = changed(said, other)
    with pytest.raises(EngineError, match="'tiny'"):
        remote(station.url)


def test_a_context_that_is_too_short(said, station, remote):
    long = "This model's maximum context length is 64 tokens, however you requested 122."

    def short(method, path, body):
        return (
            (400, json.dumps({"error": {"message": long}})) if body else said(method, path, body)
        )

    station.answer = short
    with pytest.raises(EngineError, match="--max-model-len"):
        remote(station.url)


def test_a_server_that_is_no_vllm_is_asked_freely(said, station, remote, view, questions, replies):
    words = "<think> The point is around {0} meters away from the camera. </think>\n\n"
    words += "<answer> {0} </answer>"

    def plain(method, path, body):
        if body is None:
            return said(method, path, body)
        assert "uuid" not in json.dumps(body) or body.get("return_token_ids") is True
        message = {"role": "assistant", "content": words.format("3.20")}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return 200, json.dumps({"choices": choices, "usage": {"prompt_tokens": 1}})

    station.answer = plain
    engine = remote(station.url)
    assert reading_of("FREE") in engine.servers[0].text
    found = replies(engine, view, questions(view, "marker", 3), "marker")
    assert [r.value for r in found] == [3.2] * 3
    assert all(r.free and np.isnan(r.median) for r in found)


def test_a_server_with_the_top_tokens_alone_gives_coarser_intervals(
    said, station, remote, view, questions, replies
):
    """As an older vLLM: it does not know logprob_token_ids, and gives the most probable."""
    exact = remote(station.url)
    some = questions(view, "coordinates", 3)
    expected = numbers(replies(exact, view, some, "coordinates"))
    symbols = exact.prompts.loaded.symbol_ids

    def older(method, path, body):
        if not body or not body.get("logprobs"):
            return said(method, path, body)
        kept = 9 if body.pop("top_logprobs", 0) else 1
        status, text = said(method, path, {**body, "logprob_token_ids": symbols})
        reply = json.loads(text)
        for choice in reply.get("choices", ()):
            token = choice["logprobs"]["content"][0]
            token["top_logprobs"].sort(key=lambda entry: -entry["logprob"])
            del token["top_logprobs"][kept:]
        return status, json.dumps(reply)

    station.answer = older
    engine = remote(station.url)
    assert reading_of("TOP") in engine.servers[0].text
    found = numbers(replies(engine, view, some, "coordinates"))
    assert np.array_equal(found[:, 0], expected[:, 0])  # the greedy digits
    assert np.abs(found[:, 1] / expected[:, 1] - 1).max() < 0.05
    assert (found[:, 4] < expected[:, 4]).all()  # less of the probability is covered


def test_position_style_is_refused_with_the_reason(station, remote, tiny, view):
    from depthlm_ros.predict import AskingPredictor

    engine = remote(station.url)
    assert engine.supports(tiny.asker("position"))
    assert engine.supports(tiny.asker("marker")) == ""
    with pytest.raises(UnsupportedError, match=r"\bposition\b"):
        AskingPredictor(engine, tiny).ranges(view.frame, [(100, 100)], style="position")


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (("dense", "dense"), "style is marker and grid.style is coordinates"),
        (("marker", "position"), "grid.style is coordinates"),
    ],
)
def test_it_is_asked_in_styles_that_servers_take(station, run, tiny, caplog, own, told):
    """The checkpoint's own way is the map, or position style for grids; one line says so."""
    from depthlm_ros.predict import load_predictor

    entry = replace(tiny, style=own[0], grid_style=own[1])
    predictor = load_predictor(entry, "remote", urls=[station.url])
    predictor.close()
    assert predictor.checkpoint.style == "marker"
    assert predictor.checkpoint.grid_style == "coordinates"
    (message,) = [r.getMessage() for r in caplog.records if "style" in r.getMessage()]
    assert message.startswith(f"{told} where checkpoint 'tiny' has {own[1]}, ")


@pytest.mark.parametrize("style", ["position", "dense"])
def test_a_style_that_is_wanted_is_not_replaced(station, run, style):
    from depthlm_ros.predict import choose_checkpoint

    for wanted in ({"style": style}, {"grid_style": style}):
        with pytest.raises(UnsupportedError, match="coordinates or marker"):
            choose_checkpoint("tiny", **wanted, engine="remote")
    scan = ["scan", SCENE, "--fx", 525, "--grid", "2x2", "--style", style]
    code, _, err = run(*scan, "--engine", "remote", "--remote-urls", station.url)
    assert code == 2 and "--style" in err and err.count("\n") == 1


def test_a_bad_certificate(said, remote, tmp_path):
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", tmp_path / "key", "-out", tmp_path / "certificate"],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("needs openssl, to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    with Answering(said, tls=context) as station:
        with pytest.raises(EngineError, match="SSL_CERT_FILE"):
            remote(station.url)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate"))
            assert remote(station.url).servers[0].usable
