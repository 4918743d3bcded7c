# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A config file: every entry that cannot be used is named with its file and key, all at once."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from training.config import ConfigError, Crop, GrpoConfig, Lora, SftConfig, read_config

CONFIGS = Path(__file__).parents[2] / "training/configs"
CHECKPOINT = """\
checkpoint:
  {name: t, architecture: qwen3_vl, focal_px: 200.0, style: marker, grid_style: marker,
   wording: {marker: tags}}
"""
GOOD = f"""\
data: shards
out: run
{CHECKPOINT}
stages: [{{name: a, steps: 2, lr: 1e-3, ask: {{marker: 1}}}}]
"""
GRPO = "base: b\ndata: d\nout: o\nsteps: 1\n"


@pytest.fixture
def keys(tmp_path):
    """(text, kind) -> the keys of its problems."""

    def found(text, kind=SftConfig):
        path = tmp_path / "c.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError) as raised:
            read_config(path, kind)
        assert all(one.file == str(path) for one in raised.value.problems)
        return {one.key for one in raised.value.problems}

    return found


def read(tmp_path, text, kind=SftConfig, **changes):
    (tmp_path / "c.yaml").write_text(text)
    return read_config(tmp_path / "c.yaml", kind, **changes)


@pytest.mark.parametrize("written", ["1e-3", "1E-03", "1.0e-3", "0.001"])
def test_a_rate_is_a_number_however_it_is_written(tmp_path, written):
    config = read(tmp_path, GOOD.replace("1e-3", written))
    assert config.stages[0].lr == 0.001


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("crop: {widht: [1, 2]}", "crop.widht"),
        ("crop: {width: [1, 2]}", "crop.height"),
        ("crop: {width: [9, 2], height: [1, 2]}", "crop.width"),
        ("heldout: {scene: 3}", "heldout.scene"),
        ("heldout: {scenes: 3, records: a}", "heldout"),
        ("weight_decay: '0.05'", "weight_decay"),
        ("weight_decay: .nan", "weight_decay"),
        ("learning_rate: 3", "learning_rate"),
        ("batch: 0", "batch"),
        ("batch: 1.5", "batch"),
        ("batch: true", "batch"),
        ("clip: 0", "clip"),
        ("vary: 1", "vary"),
        ("bf16: 'no'", "bf16"),
        ("loss_on: some", "loss_on"),
        ("dtype: float64", "dtype"),
        ("bad_share: 5", "bad_share"),
        ("median_m: [200, 0.05]", "median_m"),
        ("skip_steps: -1", "skip_steps"),
        ("lora: {alpha: 3}", "lora.rank"),
        ("lora: {rank: 4, rnak: 3}", "lora.rnak"),
        ("fsdp: {layers: []}", "fsdp.layers"),
        ("shape: {wide: 3}", "shape.wide"),
        ("workers: many", "workers"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(keys, line, key):
    assert key in keys(GOOD + line + "\n")


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("[]", "data"),
        ("[{recrods: a}]", "data[0].recrods"),
        ("[{shards: a}, {shards: a, pairs: b}]", "data[1]"),
        ("[{weight: 2.0}]", "data[0]"),
        ("[{records: a, kind: range}]", "data[0].kind"),
        ("[{shards: a, kind: z}]", "data[0]"),
        ("[{shards: a, weight: 0}]", "data[0].weight"),
        ("[{records: a, aspect: [1.3, 1.0]}]", "data[0].aspect"),
        ("[{records: 3}]", "data[0].records"),
        ("7", "data"),
    ],
)
def test_a_data_set_that_is_none_is_named(keys, data, key):
    assert keys(GOOD.replace("data: shards", f"data: {data}")) == {key}


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        ("{name: a, steps: 2}", "stages[0].lr"),
        ("{name: a, steps: 2, lr: fast}", "stages[0].lr"),
        ("{name: a, steps: 2, lr: 0}", "stages[0].lr"),
        ("{name: a, steps: 2, lr: .inf}", "stages[0].lr"),
        ("{name: a, steps: 2, lr: 1, ask: {pointer: 1}}", "stages[0].ask.pointer"),
        ("{name: a, steps: 2, lr: 1, ask: {marker: 2}}", "stages[0].ask"),
        ("{name: a, steps: 2, lr: 1, weights: {texts: 1}}", "stages[0].weights.texts"),
        ("{name: a, steps: 2, lr: 1, tasks: [depth]}", "stages[0].tasks"),
        ("{name: a, steps: 2, lr: 1, tasks: [axis], ask: {marker: 1}}", "stages[0]"),
        ("{name: a, steps: 2, lr: 1, ask: {}, weights: {text: 1}}", "stages[0]"),
        ("{name: a, steps: 2, lr: 1, ask: {marker: 0}, weights: {locate: 1}}", "stages[0]"),
        ("{name: a, steps: 2, lr: 1, ask: {marker: 1}, weights: {text: 0}}", "stages[0]"),
        ("{name: a, steps: 2, lr: 1, ask: {marker: 1, position: 1}}", ""),
    ],
)
def test_a_stage_that_cannot_work_is_named(keys, stage, key):
    text = GOOD[: GOOD.index("stages")] + f"stages: [{stage}]\n"
    assert keys(text) == {key}


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        (("focal_px: 200.0", "focal_px: '200'"), "checkpoint.focal_px"),
        (("focal_px: 200.0", "focal: 200.0"), "checkpoint.focal"),
        (("style: marker,", "style: pointer,"), "checkpoint"),
        (("{marker: tags}", "{marker: words}"), "checkpoint"),
    ],
)
def test_a_checkpoint_entry_that_nobody_could_read_is_named(keys, wrong, key):
    assert key in keys(GOOD.replace(*wrong))


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("kl: 0.1", "kl"),
        ("group: 1", "group"),
        ("rewards: {best: 1.0}", "rewards.best"),
        ("rewards: {}", "rewards"),
        ("tasks: [depth]", "tasks"),
        ("tasks: []", "tasks"),
        ("stages: []", "stages"),
        ("temperature: 0", "temperature"),
    ],
)
def test_an_entry_of_grpo_that_cannot_be_used_is_named(keys, line, key):
    assert keys(GRPO + line, GrpoConfig) == {key}


def test_every_problem_is_reported_at_once_with_the_file_that_says_it(tmp_path):
    base, path = tmp_path / "base.yaml", tmp_path / "c.yaml"
    base.write_text(GOOD + "batch: 0\ncrop: {widht: [1, 2]}\n")
    path.write_text("extends: base.yaml\nvary: 1\nstages: [{name: a, steps: 2}]\n")
    with pytest.raises(ConfigError) as raised:
        read_config(path, out=3)
    found = {(one.key, one.file) for one in raised.value.problems}
    assert found >= {
        ("batch", str(base)),
        ("crop.widht", str(base)),
        ("vary", str(path)),
        ("stages[0].lr", str(path)),
        ("out", "command line"),
    }


def test_the_nearest_key_is_named(tmp_path):
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, GOOD + "weight_dekay: 0.1\n")
    (problem,) = raised.value.problems
    assert "weight_decay" in problem.words


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n",
        "data: [\n",
        "batch: 2\nbatch: 3\n",
        "extends: 3\n",
        "extends: c.yaml\n",
        "\x00",
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, text):
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert raised.value.problems[0].file == str(tmp_path / "c.yaml")
    with pytest.raises(ConfigError):
        read_config(tmp_path / "none.yaml")


def test_what_the_file_and_the_command_line_do_not_say_has_a_default(tmp_path):
    config = read(tmp_path, GOOD + "lora: {rank: 4}\ncrop: {}\nfsdp: {}\nheldout: {}\n", out="x")
    assert (config.out, config.batch, config.base) == ("x", 32, "fresh")
    assert (config.crop, config.fsdp, config.heldout) == (None, None, None)
    assert config.lora == Lora(rank=4) and config.data[0].shards == "shards"


@pytest.mark.parametrize(
    "line", ["lora: {rank: 4}\nfsdp: {layers: [A]}", "optimizer: muon\nfsdp: {layers: [A]}"]
)
def test_what_does_not_go_together_is_refused(keys, line):
    assert keys(GOOD + line) == {""}


def test_a_record_of_a_run_is_its_config_and_tells_what_differs(tmp_path):
    config = read(tmp_path, GOOD + "crop: {width: [1, 2], height: [3, 4]}\n")
    assert config.crop == Crop(width=(1, 2), height=(3, 4))
    record = json.loads(json.dumps(asdict(config)))
    assert config.differs(record) == []
    assert config.differs({**record, "out": "y", "skip_steps": 9, "bad_share": 1.0}) == []
    assert config.differs({**record, "seed": 7, "crop": None}) == ["seed", "crop"]


def test_a_run_recorded_by_an_earlier_version_goes_on(tmp_path):
    """Its data were a name, its empty entries {}, and newer entries are not in its record."""
    config = read(tmp_path, GOOD)
    record = json.loads(json.dumps(asdict(config))) | {"data": "shards", "crop": {}, "lora": {}}
    record["checkpoint"] = {
        "name": "t",
        "architecture": "qwen3_vl",
        "focal_px": 200.0,
        "style": "marker",
        "grid_style": "marker",
        "wording": {"marker": "tags"},
    }
    for newer in ("bad_share", "skip_steps", "median_m"):
        del record[newer]
    assert config.differs(record) == []


# Those of dense heads have a test of their own (test_dense.py).
SHIPPED = [p for p in sorted(CONFIGS.glob("*.yaml")) if not re.search("dense|depthvlm", p.stem)]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_can_be_read(path):
    kind = GrpoConfig if "grpo" in path.stem else SftConfig
    assert read_config(path, kind).steps > 0
