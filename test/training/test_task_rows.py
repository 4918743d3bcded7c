# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tasks as training.sft learns them: two images in one sequence, and all tasks in one run."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from depthlm_ros.checkpoints import from_folder
from depthlm_ros.data.pairs import Pairs
from depthlm_ros.errors import InputError
from depthlm_ros.tasks import DEPTHLM_TASKS, TASKS
from training import sft
from training.config import Stage, read_config
from training.data.collate import Collator
from training.data.rows import stage_rows, task_row

SIX = [task.name for task in DEPTHLM_TASKS]
STAGE = Stage("s", 1, 1.0, tasks=["moved"], weights={"text": 1.0})
SHAPE = {"width": 48, "heads": 2, "layers": 2, "mlp": 64}


@pytest.fixture
def pairs(tmp_path):
    """One pair of images of different sizes."""
    rng = np.random.default_rng(0)
    sizes = ((130, 100), (170, 90))
    for name, (width, height) in zip("ab", sizes, strict=True):
        pixels = rng.integers(0, 255, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    pose = np.eye(4)
    pose[:3, 3] = 0.3, 0.0, 0.4
    line = {
        "images": ["a.png", "b.png"],
        "intrinsics": [[110, 110, w / 2, h / 2, w, h] for w, h in sizes],
        "second_from_first": pose.tolist(),
        "matches": [[20, 30, 40, 50]],
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(line))
    return tmp_path / "p.jsonl"


def pair_row(pairs, parts, task="translation"):
    item = TASKS[task].item(Pairs(pairs)[0], parts.checkpoint, np.random.default_rng(0))
    return task_row(item, STAGE)


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("task", ["translation", "orientation"])
def test_two_images_are_learnt_as_transformers_reads_them(pairs, parts_of, student_of, name, task):
    """Its own positions, its own loss over the same answer."""
    parts, student = parts_of(name), student_of(name)
    row = pair_row(pairs, parts, task)
    ours = student(**Collator(parts)([row]))["loss"]
    seen = [parts.vision.prepare([image]) for image in (row.image, *row.more)]
    assert seen[0].grid != seen[1].grid
    (asked,) = row.asked
    ids, grids = [], [parts.vision.token_ids(one.grid) for one in seen]
    for token in parts.chat.ids(asked.question.text, 2):
        ids += grids.pop(0) if token == parts.vision.image_id else [token]
    answer = [*parts.chat.encode(asked.answer), parts.tokenizer.eos_token_id]
    whole = torch.tensor([ids + answer])
    theirs = student.model(
        input_ids=whole,
        attention_mask=torch.ones_like(whole),
        mm_token_type_ids=(whole == parts.vision.image_id).int(),
        **parts.vision.joined(seen),
    ).logits[0, len(ids) - 1 : -1]
    expected = torch.nn.functional.cross_entropy(theirs, torch.tensor(answer), reduction="sum")
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    swapped = replace(row, image=row.more[0], more=(row.image,))
    assert abs(student(**Collator(parts)([swapped]))["loss"].item() - ours.item()) > 1e-4


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "llava"])
def test_rows_of_one_and_two_images_share_a_batch(pairs, parts_of, row_about, student_of, name):
    parts, student = parts_of(name), student_of(name)
    single = replace(row_about(name, {"coordinates": 2}), weights=STAGE.weights)
    rows = [pair_row(pairs, parts), single, pair_row(pairs, parts)]
    together = student(**Collator(parts)(rows))["loss"].item()
    alone = [student(**Collator(parts)([row]))["loss"].item() for row in rows]
    assert together == pytest.approx(np.mean(alone), rel=1e-5)


def test_a_run_learns_all_six_tasks_and_its_folder_loads(pairs, shards, tmp_path):
    config = read_config("training/configs/tiny.yaml", out=str(tmp_path / "run"))
    data = [{"shards": str(shards)}, {"pairs": str(pairs)}]
    stages = [Stage("tasks", 3, 1e-3, tasks=SIX, style="coordinates", weights={"text": 1.0})]
    config = replace(
        config, data=data, stages=stages, batch=4, workers=0, shape=SHAPE, heldout={}, vary=False
    )
    rows = stage_rows(config, config.entry(""))
    assert {len(rows[i].more) for i in range(12)} == {0, 1}
    folder = sft.train(config)
    assert from_folder(folder).name == "tiny"
    content = json.loads((tmp_path / "run/manifest.json").read_text())
    assert [one["file"].rpartition(".")[2] for one in content["data"]] == ["npz", "jsonl"]


def test_crops_are_taken_before_the_question(shards, tmp_path):
    config = read_config("training/configs/tiny.yaml", data=str(shards))
    stage = Stage("tasks", 3, 1e-3, tasks=["axis"], style="coordinates")
    crop = {"width": [70, 70], "height": [60, 60]}
    cut = replace(config, stages=[stage], batch=2, crop=crop)
    row = stage_rows(cut, replace(config.entry(""), focal_px=110.0), 10)[0]
    assert row.image.shape == (60, 70, 3)


def test_a_stage_that_asks_about_pixels_has_no_use_for_pairs(pairs):
    data = [{"pairs": str(pairs)}]
    config = read_config("training/configs/tiny_markers.yaml", data=data)
    with pytest.raises(InputError, match=r"\bpairs\b.*\btasks\b"):
        stage_rows(config, config.entry(""))
