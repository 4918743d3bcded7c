# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm eval --protocol over folders as training.curate writes them."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.camera import Camera
from depthlm_ros.data.records import Record, Records, write_records
from depthlm_ros.evaluation.protocol import PROTOCOLS, images, samples

FAKE = ["--engine", "scripted", "--checkpoint", "facebook/VLM3-depth"]  # answers 2 m everywhere
CAMERA = Camera(64, 48, 40, 40, 31.5, 23.5)
PARTS = {part.name: part for part in PROTOCOLS["depthlm"].parts}


def curate(root, name, images, metres, scenes=1, published=""):
    """A folder of curated records whose labels are `metres`, of ten pixels an image."""
    folder = root / name / PARTS[name].split
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "a.png")
    pixels = np.stack([np.arange(20, 30), np.full(10, 20)], 1)
    records = [
        Record(
            image=folder / "a.png",
            camera=CAMERA,
            pixels=pixels,
            label_m=np.full(10, metres),
            kind="distance",
            where=str(i),
            source=name,
            scene=f"scene {i % scenes:02d}",
        )
        for i in range(images)
    ]
    write_records(folder / "00000.jsonl", records)
    (folder / "manifest.json").write_text(json.dumps({"arguments": {"as_published": published}}))
    return folder


@pytest.fixture
def root(tmp_path):
    curate(tmp_path / "curated", "ibims", 3, 2.1)
    curate(tmp_path / "curated", "nuscenes", 40, 9.0, scenes=20, published="depthlm")
    unfinished = curate(tmp_path / "curated", "ddad", 3, 2.1)
    (unfinished / "manifest.json").unlink()
    return tmp_path / "curated"


def test_one_table_has_ours_the_published_rows_and_what_is_missing(run, root, tmp_path):
    report = tmp_path / "report.json"
    command = ["eval", root, "--protocol", "depthlm", "--limit", 20, "--json", report, *FAKE]
    code, out, _ = run(*command)
    lines = out.splitlines()
    cells = {
        line.rpartition(")")[0] + ")": line.split() for line in lines if "published: " in line
    }
    assert code == 0
    assert lines[0].split()[1:] == [*(p.title for p in PARTS.values()), "mean", "of", "8"]
    assert lines[1].split()[-9:] == ["-", "-", "0.000", "-", "-", "-", "1.000", "-", "-"]
    assert cells["DepthLM 7B (published: depthlm)"][-9:-1] == [
        *("0.833", "0.747", "0.865", "0.718", "0.850", "0.859", "0.920", "0.915")
    ]
    assert cells["VLM3 4B (published: vlm3)"][-1] == "0.904"
    assert "python -m training.curate ddad --root ROOT --split val" in out
    assert re.search(r"\bnuSc \(20 .* depthlm\)", out) and re.search(
        r"\biBims \(20 .* ours\)", out
    )
    content = json.loads(report.read_text())["sets"]
    assert content.keys() == {"ibims1", "nuscenes"}
    assert content["ibims1"]["right"]["pooled"]["points"] == 20
    assert not list(tmp_path.glob("*.answers.jsonl"))


def test_a_run_over_several_sets_goes_on_where_it_ended(run, root, tmp_path):
    report = tmp_path / "report.json"
    command = ["eval", root, "--protocol", "depthlm", "--limit", 20, "--json", report, *FAKE]
    image = root / "ibims" / "test" / "a.png"  # the second of the two sets
    whole = image.read_bytes()
    answers = tmp_path / "report.json.nuscenes.answers.jsonl"
    image.unlink()
    assert run(*command)[0] == 2 and not answers.exists()  # told before anything is asked
    image.write_bytes(b"cut off")
    assert run(*command)[0] == 2 and not report.exists()
    before = answers.read_bytes()
    assert before.count(b"\n") == 21
    code, _, err = run(*[21 if word == 20 else word for word in command])
    assert code == 2 and "samples" in err  # other samples, other answers
    image.write_bytes(whole)
    (root / "nuscenes" / "val" / "a.png").write_bytes(b"not read again")
    assert run(*command)[0] == 0 and report.exists() and not answers.exists()


def test_samples_are_a_pixel_of_every_image_in_turn_of_ten_scenes(root):
    records = Records(f"{root}/nuscenes/val/*.jsonl")
    chosen = list(samples(records, PARTS["nuscenes"], 50))
    assert len(chosen) == 20 and len({record.scene for record in chosen}) == 10
    assert sorted(len(record) for record in chosen) == [2] * 10 + [3] * 10
    assert all(len(np.unique(record.pixels, axis=0)) == len(record) for record in chosen)
    again = list(samples(records, PARTS["nuscenes"], 50))
    assert all((a.pixels == b.pixels).all() for a, b in zip(chosen, again, strict=True))


def test_images_are_spread_evenly_and_numbered_as_the_release_shuffles_them(root):
    records = Records(f"{root}/nuscenes/val/*.jsonl")
    chosen = list(images(records, PARTS["ddad"], 10))
    numbers = [int(record.where.rpartition(":")[2]) - 1 for record in chosen]
    assert numbers == [28, 12, 8, 32, 20, 24, 36, 16, 0, 4]
    assert not any(len(record) for record in chosen)
    assert len(list(images(records, PARTS["ddad"], 1000))) == 40


def test_a_folder_may_be_called_like_a_pattern(run, tmp_path):
    curate(tmp_path / "a [b]", "ibims", 3, 2.1)
    code, out, _ = run(
        *("eval", tmp_path / "a [b]", "--protocol", "depthlm", "--limit", 20, *FAKE)
    )
    assert code == 0 and re.search(r"\biBims \(20 ", out)


def test_a_folder_without_any_set_names_all_commands(run, tmp_path):
    for folder in (tmp_path, tmp_path / "curated"):  # which may not be there yet
        for protocol, sets in (("depthlm", 8), ("depthvlm", 9)):
            code, _, err = run("eval", folder, "--protocol", protocol, *FAKE)
            assert code == 2 and err.count("python -m training.curate") == sets
