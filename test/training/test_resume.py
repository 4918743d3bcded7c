# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Runs that are killed and gone on with, on one process and on two."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch")

from training import sft

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "base": "fresh",
    "shape": {"width": 48, "heads": 2, "layers": 2, "mlp": 64},
    "batch": 4,
    "workers": 1,
    "save_every": 2,
    "log_every": 1,
    "vary": True,
    "checkpoint": {
        "name": "t",
        "architecture": "qwen3_vl",
        "focal_px": 100.0,
        "style": "marker",
        "grid_style": "position",
        "marker_scale": 2,
        "wording": {"marker": "tags", "coordinates": "tags", "position": "number"},
    },
    "stages": [
        {"name": "see", "steps": 3, "lr": 1e-3, "weights": {"dense": 1.0}},
        {"name": "ask", "steps": 5, "lr": 1e-3, "ask": {"marker": 1, "position": 1.5}},
    ],
}


def write_config(folder, shards, **changes):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "data": str(shards), "out": "?", **changes}))
    return path


def command(config, out, *launcher):
    return [sys.executable, *launcher, "-m", "training.sft", str(config), "--out", str(out)]


def started(arguments, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more}
    return subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(arguments):
    said, _ = (process := started(arguments)).communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def losses(out):
    """step -> loss, as the last checkpoint's history has them."""
    state = json.loads((out / "steps/checkpoint-8/trainer_state.json").read_text())
    return {h["step"]: h["loss"] for h in state["log_history"] if "loss" in h}


def kill_after(arguments, folder):
    """SIGKILL as soon as the folder shows up."""
    process = started(arguments)
    while not folder.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("muon", marks=pytest.mark.slow)])
def test_killed_and_resumed_gives_the_same_losses_and_weights_to_the_bit(
    tmp_path, shards, optimizer, capsys
):
    config = write_config(tmp_path, shards, optimizer=optimizer)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    sft.main([str(config), "--out", str(whole)])
    kill_after(command(config, broken), broken / "steps/checkpoint-6")
    (broken / "steps/checkpoint-6/complete.json").unlink(missing_ok=True)
    capsys.readouterr()
    sft.main([str(config), "--out", str(broken)])
    assert f"{broken}/steps/checkpoint-6" in capsys.readouterr().out
    sessions = json.loads((broken / "manifest.json").read_text())["sessions"]
    assert sessions[-1]["from_step"] == 4
    assert losses(broken) == losses(whole) and len(losses(whole)) == 8
    weights = "checkpoint/model.safetensors"
    assert (broken / weights).read_bytes() == (whole / weights).read_bytes()
    sessions = json.loads((broken / "manifest.json").read_text())["sessions"]
    assert [s["from_step"] for s in sessions] == [0, 4]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def two_processes():
    """The launcher's arguments."""
    port = ["--master-port", str(free_port())]
    return ["-m", "torch.distributed.run", "--nproc-per-node", "2", *port]


READ = """
import sys
import torch
from torch.utils.data import Dataset
from training.config import read_config
from training.run.supervised import RecipeTrainer, training_arguments

class Numbers(Dataset):
    def __len__(self):
        return 32
    def __getitem__(self, index):
        return index

config = read_config(sys.argv[1], out=sys.argv[2])
trainer = RecipeTrainer(
    config, model=torch.nn.Linear(1, 1), args=training_arguments(config, 2),
    train_dataset=Numbers(), data_collator=lambda rows: {"rows": torch.tensor(rows)},
)
read = [batch["rows"].tolist() for batch in trainer.get_train_dataloader()]
print("read", trainer.args.process_index, read, flush=True)
"""


@pytest.mark.slow
def test_two_processes_read_disjoint_rows_and_together_those_of_a_step(tmp_path, shards):
    script = tmp_path / "read.py"
    script.write_text(READ)
    config = write_config(tmp_path, shards, workers=0)
    said = finished([sys.executable, *two_processes(), script, config, str(tmp_path / "out")])
    read = dict(line.split(" ", 2)[1:] for line in said.splitlines() if line.startswith("read"))
    first, second = json.loads(read["0"]), json.loads(read["1"])
    steps = [sorted(a + b) for a, b in zip(first, second, strict=True)]
    assert steps == [list(range(4 * i, 4 * i + 4)) for i in range(8)]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_and_one_goes_on_from_two(tmp_path, shards):
    """The same images a step, shared out; each process reads its own only."""
    config = write_config(tmp_path, shards, bf16=False, micro_batch=1)
    alone, both = tmp_path / "alone", tmp_path / "both"
    finished(command(config, alone))
    said = finished(command(config, both, *two_processes()))
    assert "DistributedDataParallel" in said and "2 processes" in said
    assert losses(both) == pytest.approx(losses(alone), rel=1e-5)
    for step in (6, 8):
        (both / f"steps/checkpoint-{step}/complete.json").unlink()
    finished(command(config, both))
    assert losses(both) == pytest.approx(losses(alone), rel=1e-5)
