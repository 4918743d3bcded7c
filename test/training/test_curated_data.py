# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Curated folders as the data of a run: what is missing is named, what is there is learnt from."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from testing.configs import shortened

pytest.importorskip("torch")

from testing.toy_set import Toy, write_toys

from depthlm_ros.data.records import Records, write_records
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.protocol import PROTOCOLS
from training import dense, preview, sft
from training.config import ConfigError, DenseConfig, SftConfig, read_config
from training.curate import __main__ as curate
from training.curate import look, sets
from training.data.labels import check_data
from training.data.sources import opened


@pytest.fixture
def curated(tmp_path, monkeypatch):
    """A folder of 8 curated images."""
    monkeypatch.setitem(sets.SETS, "toy", Toy)
    root = write_toys(tmp_path / "root", ["z_map_pinhole"] * 4 + ["distance_points_barrel"] * 4)
    out = tmp_path / "curated" / "toy" / "train"
    curate.main(["toy", "--root", str(root), "--out", str(out), "--workers", "1", "--depth"])
    return out


def test_a_dry_run_names_all_sets_that_are_missing_with_their_commands(tmp_path):
    config = "training/configs/depthlm_3b.yaml"
    with pytest.raises(SystemExit) as end:
        sft.main([config, "--dry-run", "--out", str(tmp_path / "run")])
    message = str(end.value)
    assert "8 of 8" in message  # with what is held out
    for name, split in (
        ("nuscenes", "train"),
        ("waymo", "training"),
        ("hm3d", "train"),
        ("nuscenes", "val"),
    ):
        folder = f"curated/{name}/{split}"
        command = f"python -m training.curate {name} --root ROOT --split {split} --out {folder}"
        assert command in message


def told_commands(text):
    """The arguments of each command of training.curate in a text, parsed as the command does."""
    sets_parser = curate._parser(sets.SETS)
    lines = [line.partition("python -m training.curate ")[2] for line in text.splitlines()]
    return [sets_parser.parse_args(line.split()) for line in lines if line]


@pytest.mark.parametrize(
    "recipe, kind, config",
    [
        (sft, SftConfig, "depthlm_3b"),
        (sft, SftConfig, "depthlm_7b_tasks"),
        (dense, DenseConfig, "depthvlm_4b_stage1"),
    ],
)
def test_the_commands_of_missing_sets_can_be_given(recipe, kind, config, tmp_path):
    path = f"training/configs/{config}.yaml"
    with pytest.raises(SystemExit) as end:
        recipe.main([path, "--dry-run", "--out", str(tmp_path / "run")])
    given = told_commands(str(end.value))
    folders = [entry.curated for entry in read_config(path, kind).data if entry.curated]
    folders += ["curated/nuscenes/val"]  # held out
    assert [str(one.out) for one in given] == folders
    assert [f"curated/{one.set}/{one.split}" for one in given] == folders
    assert all(one.depth == (recipe is dense) for one in given[:-1])


def test_the_command_of_a_missing_recording_is_bag(tmp_path):
    for folder, split in (("own_robot/heldout", "heldout"), ("kitchen_1", "all")):
        data = [{"curated": f"curated/{folder}"}]
        with pytest.raises(InputError) as error:
            opened(read_config("training/configs/own_robot.yaml", data=data).data)
        (given,) = told_commands(str(error.value))
        assert (given.set, given.split, str(given.out)) == ("bag", split, f"curated/{folder}")


def test_what_is_held_out_is_named_with_its_command_where_it_is_missing(curated, tmp_path):
    folder = f"{tmp_path}/curated/own_robot/heldout"
    change = {"data": [{"curated": str(curated)}], "heldout": {"records": f"{folder}/*.jsonl"}}
    config = read_config("training/configs/own_robot.yaml", **change)
    with pytest.raises(InputError, match="1 of 2") as error:
        check_data(config)
    (given,) = told_commands(str(error.value))
    assert (given.set, given.split, str(given.out)) == ("bag", "heldout", folder)
    change["heldout"]["records"] = f"{tmp_path}/elsewhere/*.jsonl"
    with pytest.raises(InputError, match=r"no .*elsewhere/\*.jsonl"):  # whoever wrote these
        check_data(read_config("training/configs/own_robot.yaml", **change))


@pytest.mark.parametrize(("name", "sets"), [("depthlm", 8), ("depthvlm", 9)])
def test_the_protocols_sets_are_those_that_can_be_curated(name, sets):
    protocol = PROTOCOLS[name]
    text = "\n".join(protocol.command(part, Path("there")) for part in protocol.parts)
    given = told_commands(text)
    assert len(given) == sets
    assert all(one.out == Path("there") / one.set / one.split for one in given)


def test_a_folder_that_is_not_curated_to_its_end_is_missing(curated):
    entry = read_config("training/configs/tiny.yaml", data=[{"curated": str(curated)}]).data
    assert len(opened(entry)[0].items) == 8
    (curated / "manifest.json").unlink()
    with pytest.raises(ValueError, match=f"curate toy --root ROOT --split train --out {curated}"):
        opened(entry)


def test_an_entry_is_curated_or_something_else():
    with pytest.raises(ConfigError, match="curated"):
        read_config("training/configs/tiny.yaml", data=[{"curated": "a", "records": "b.jsonl"}])


def test_the_preview_shows_labels_kinds_and_distances_of_a_folder(curated, tmp_path, capsys):
    preview.main([str(curated), "--out", str(tmp_path / "look"), "--count", "3"])
    said = capsys.readouterr().out
    assert re.search(r"\b8 .*\b8 .*\b3 ", said.splitlines()[0])
    assert re.search(r"\btoy, z: 4\b", said) and re.search(r"\btoy, distance: 4\b", said)
    assert re.search(r": 8$", said, re.MULTILINE) and re.search(r"\b800\b", said) and "#" in said
    with Image.open(tmp_path / "look" / "labels.jpg") as sheet:
        assert sheet.width == 2 * 2 * preview.WIDTH
    preview.main([str(curated / "00000.jsonl"), "--out", str(tmp_path / "look")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=re.escape(f"{tmp_path}/empty")):
        preview.main([str(tmp_path / "empty"), "--out", str(tmp_path / "look")])
    for above in (tmp_path / "curated", tmp_path / "curated" / "toy"):
        with pytest.raises(SystemExit, match=re.escape(str(curated))):
            preview.main([str(above), "--out", str(tmp_path / "look")])


def test_the_preview_shows_depth_images_that_stand_without_labels(curated, tmp_path, capsys):
    labelled = [record for record in Records(curated / "00000.jsonl") if record.kind == "z"]
    bare = [replace(one, pixels=np.empty((0, 2)), label_m=np.empty(0)) for one in labelled]
    write_records(tmp_path / "bare.jsonl", bare)
    preview.main([str(tmp_path / "bare.jsonl"), "--out", str(tmp_path / "look"), "--count", "1"])
    said = capsys.readouterr().out
    known = np.concatenate([one.depth_map()[np.isfinite(one.depth_map())] for one in labelled])
    assert "#" in said and re.search(r"\b0 labels\b.*\b400\b", said)
    (middle,) = re.findall(r"median ([\d.]+) m", said)
    assert float(middle) == pytest.approx(np.median(known), rel=0.02)
    with Image.open(tmp_path / "look" / "labels.jpg") as sheet:
        shown = np.asarray(sheet.crop((0, 0, look.WIDTH, 300)), int)
    with Image.open(labelled[0].image) as image:
        plain = np.asarray(image.resize((look.WIDTH, 360)), int)[:300]
    assert (np.abs(shown - plain).max(-1) > 60).mean() > 0.05  # places are drawn


def test_a_folder_may_be_called_like_a_pattern(curated, tmp_path):
    folder = curated.rename(tmp_path / "rooms [1]")
    entry = read_config("training/configs/tiny.yaml", data=[{"curated": str(folder)}]).data
    assert len(opened(entry)[0].items) == 8
    preview.main([str(folder), "--out", str(tmp_path / "look")])
    assert (tmp_path / "look" / "labels.jpg").exists()


def test_the_preview_ends_quietly_where_nobody_reads_it(curated, tmp_path):
    line = [
        sys.executable,
        "-m",
        "training.preview",
        str(curated),
        "--out",
        str(tmp_path / "look"),
    ]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.close()
        assert b"Traceback" not in run.stderr.read()


@pytest.mark.slow
def test_the_embedded_checkpoint_goes_on_learning_from_a_curated_folder(curated, tmp_path, capsys):
    """own_robot.yaml, as docs/own_robot.md has it, two steps long."""
    config = read_config(
        "training/configs/own_robot.yaml",
        data=[{"curated": str(curated)}],
        out=str(tmp_path / "run"),
        heldout={"records": f"{curated}/*.jsonl", "images": 2, "pixels": 2},
        batch=2,
        workers=0,
    )
    folder = sft.train(shortened(config, 2))
    assert json.loads((folder / "depthlm.json").read_text())["name"] == "own_robot"
    assert "step 2: held-out" in capsys.readouterr().out


PAGE = (Path(__file__).parents[2] / "docs/data.md").read_text()


def test_the_page_tells_the_splits_and_the_range_of_every_set():
    rows = re.findall(
        r"^\| `(\w+)` \| ([\w, ]+) \| [^|]+ \| ([\d.]+) to ([\d.]+) m \|", PAGE, re.MULTILINE
    )
    told = {name: (splits.split(", "), (float(a), float(b))) for name, splits, a, b in rows}
    kinds = {name: kind for name, kind in sets.SETS.items() if kind is not Toy}
    assert {n: list(kind.splits) for n, kind in kinds.items()} == {
        n: s for n, (s, _) in told.items()
    }
    ranges = {n: kind.range_m for n, kind in kinds.items() if hasattr(kind, "range_m")}
    assert len(ranges) > 6 and ranges.items() <= {n: r for n, (_, r) in told.items()}.items()


def test_the_page_tells_the_sets_of_every_protocol():
    (cells,) = re.findall(r"^\| sets \| ([^|]+) \| ([^|;]+); [^|]+ \|$", PAGE, re.MULTILINE)
    columns = re.findall(r"^\| \| `(\w+)` \| `(\w+)` \|$", PAGE, re.MULTILINE)[0]
    told = {name: cell.split(", ") for name, cell in zip(columns, cells, strict=True)}
    had = {n: [f"{p.name}/{p.split}" for p in one.parts] for n, one in PROTOCOLS.items()}
    assert told == had
