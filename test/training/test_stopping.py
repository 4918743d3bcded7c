# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How the commands of training end: at a signal with a checkpoint, at a fault with a sentence."""

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

pytest.importorskip("torch")

from safetensors.torch import load_file

from depthlm_ros.errors import RecordError
from training import sft
from training.run import run_folder
from training.run.commands import sentence

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "base": "fresh",
    "shape": {"width": 48, "heads": 2, "layers": 2, "mlp": 64},
    "batch": 4,
    "workers": 1,
    "save_every": 1000,
    "log_every": 1,
    "checkpoint": {
        "name": "t",
        "architecture": "qwen3_vl",
        "focal_px": 100.0,
        "style": "marker",
        "grid_style": "position",
        "wording": {"marker": "tags", "position": "number"},
    },
    "stages": [{"name": "ask", "steps": 8, "lr": 1e-3, "ask": {"marker": 1, "position": 2}}],
}
SLOW = """
import sys, time
from training import sft
from training.run import supervised
stock = supervised.RecipeTrainer.compute_loss
def compute_loss(self, *given, **named):
    open(sys.argv[2], "w").close()
    time.sleep(0.5)
    return stock(self, *given, **named)
supervised.RecipeTrainer.compute_loss = compute_loss
sft.main([sys.argv[1]])
"""


def write_config(folder, shards, **changes):
    """A config with these changes in a folder, whose run goes there too."""
    content = {**CONFIG, "data": str(shards), "out": str(folder / "run"), **changes}
    (folder / "c.yaml").write_text(yaml.safe_dump(content))
    return folder / "c.yaml"


@pytest.fixture
def config(tmp_path, shards):
    """entries -> the file of a config with these changes."""
    return lambda **changes: write_config(tmp_path, shards, **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, shards):
    """The weights after a run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    sft.main([str(write_config(folder, shards))])
    return load_file(folder / "run/steps/checkpoint-8/model.safetensors")


def write_record(folder, name):
    """A file of one record: "gone" has no image, and "map" a depth image for labels."""
    folder.mkdir(exist_ok=True)
    line = {"image": f"{name}.png", "intrinsics": [100, 100, 60, 45, 120, 90]}
    if name != "gone":
        Image.new("RGB", (120, 90)).save(folder / line["image"])
    labels = {"pixel_coords": [[60, 45]], "depth": [2.0]}
    path = folder / f"{name}.jsonl"
    path.write_text(json.dumps(line | ({"depth_path": "d.png"} if name == "map" else labels)))
    return path


def started(*arguments, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment |= {"HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )


def ended(process):
    """(exit status, the last line on stderr), without a traceback anywhere."""
    out, said = process.communicate(timeout=240)
    assert "Traceback" not in said + out, said
    return process.returncode, said.strip().splitlines()[-1]


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_of_a_run_leaves_a_checkpoint_it_goes_on_from(
    config, whole, tmp_path, number
):
    """A terminal's Ctrl+C and a scheduler's SIGTERM reach the processes that read data too."""
    path, mark = config(), tmp_path / "stepping"
    process = started("-c", SLOW, path, mark)
    wait_for(mark, process)
    with pytest.raises(SystemExit) as second:  # a second run in the same folder
        sft.main([str(path)])
    assert str(tmp_path / "run") in second.value.code and process.poll() is None
    os.killpg(process.pid, number)
    status, said = ended(process)
    assert status == 128 + number and said.startswith("training.sft: ")
    found, skipped = run_folder.newest_complete(tmp_path / "run")
    assert skipped == [] and 1 <= run_folder.step_of(found) < 8
    assert not (tmp_path / "run/checkpoint").exists()
    sft.main([str(path)])
    one = load_file(tmp_path / "run/steps/checkpoint-8/model.safetensors")
    assert all(bool((one[name] == whole[name]).all()) for name in one)
    sessions = json.loads((tmp_path / "run/manifest.json").read_text())["sessions"]
    assert [s["from_step"] for s in sessions] == [0, run_folder.step_of(found)]


def test_the_second_signal_ends_a_run_at_once(config, tmp_path):
    mark = tmp_path / "stepping"
    process = started("-c", SLOW.replace("0.5", "200"), config(), mark)
    wait_for(mark, process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base": "no/such/place"}, "no/such/place"),
        ({"base": "Nobody/nothing"}, "Nobody/nothing"),
        ({"base": "setup.py"}, "setup.py"),
        ({"data": "setup.py"}, "setup.py"),
        ({"data": [{"records": "training"}]}, "training"),
        ({"data": [{"records": "setup.cfg", "kind": "z"}]}, "setup.cfg"),
        ({"heldout": {"records": "nowhere.jsonl"}}, "nowhere.jsonl"),
        ({"heldout": {"records": "{gone}", "kind": "z"}}, "gone.png"),
        ({"heldout": {"records": "{whole}"}}, "whole.jsonl:1"),
        ({"heldout": {"records": "{map}", "kind": "z"}}, "map.jsonl:1"),
        ({"data": [{"records": "{gone}", "kind": "z"}]}, "gone.png"),
        ({"data": [{"records": "{whole}"}]}, "whole.jsonl:1"),
        ({"data": "{folder}"}, "records:"),
        ({"out": "/proc/run"}, "/proc"),
        ({"out": "setup.py"}, "setup.py"),
        ({"batch": 3, "micro_batch": 2}, "micro_batch"),
    ],
)
def test_what_cannot_work_is_one_sentence_before_the_model_is_loaded(
    config, change, words, monkeypatch, tmp_path
):
    """Of records: {gone} has no image, {whole} does not state its kind, {map} labels no pixel."""
    places = {"folder": str(tmp_path / "records")}
    for name in ("gone", "whole", "map"):
        places[name] = str(write_record(tmp_path / "records", name))
    change = yaml.safe_load(re.sub(r"{(\w+)}", lambda m: places[m[1]], yaml.safe_dump(change)))
    monkeypatch.setattr("training.model.load_student", None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SystemExit) as raised:
        sft.main([str(config(**change))])
    said = raised.value.code
    assert said.startswith("training.sft: ") and words in said and "\n" not in said


def test_a_process_that_reads_data_ends_the_run_with_its_own_sentence(config, tmp_path):
    paths = [write_record(tmp_path / "r", name) for name in ("whole", "gone")]
    lines = [{**json.loads(path.read_text()), "kind": "z"} for path in paths]
    path = tmp_path / "r/both.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(SystemExit) as raised:
        sft.main([str(config(data=[{"records": str(path)}], bad="refuse"))])
    said = raised.value.code
    assert said.startswith(f"training.sft: {path}:2: ") and "gone.png" in said
    assert "\n" not in said


def test_a_disk_that_is_full_ends_a_run_with_one_sentence(config, tmp_path):
    """Stood for by a limit on the size of files."""

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

    given = config(shape={"width": 96, "heads": 2, "layers": 2, "mlp": 64}, dtype="float32")
    process = started("-m", "training.sft", given, preexec_fn=limited)
    status, said = ended(process)
    assert status == 1 and "Traceback" not in said
    assert said.startswith("training.sft: ") and os.strerror(errno.EFBIG) in said


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a"), True),
        (RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"), True),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."), True),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), True),
        (RecordError("a.jsonl:1: no"), True),
        (RuntimeError("a shape is wrong"), False),
        (KeyError("x"), False),
    ],
)
def test_only_faults_that_are_not_ours_lose_their_traceback(error, is_told):
    assert bool(sentence(error)) == is_told


def test_a_command_that_is_interrupted_before_it_trains_says_so(tmp_path):
    script = (
        "import signal, time\nfrom training.run.commands import errors_told\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's & takes it away
        f"with errors_told('training.x'):\n    open({str(tmp_path / 'm')!r}, 'w')\n"
        "    time.sleep(99)"
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        process = started("-c", script)
        wait_for(tmp_path / "m", process)
        (tmp_path / "m").unlink()
        process.send_signal(number)
        status, said = ended(process)
        assert status == 128 + number and said.startswith("training.x: ")


@pytest.mark.parametrize("lines", [1, 99999])
def test_a_command_whose_output_nobody_reads_any_more_ends_without_a_traceback(lines):
    """As of `python -m training.... | head`, whether it is noticed at a line or at the end."""
    script = (
        "import time\nfrom training.run.commands import errors_told\n"
        f"with errors_told('training.x'):\n    time.sleep(0.3)\n"
        f"    for _ in range({lines}):\n        print('a line')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 128 + signal.SIGPIPE


def test_a_broken_pipe_that_is_not_the_output_keeps_its_traceback():
    script = (
        "from training.run.commands import errors_told\n"
        "with errors_told('training.x'):\n    raise BrokenPipeError('of a process')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 1 and "BrokenPipeError: of a process" in done.stderr
