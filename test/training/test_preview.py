# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the preview shows is what a run trains on."""

import re

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from depthlm_ros.viz.overlay import distance_colours, distance_limits
from training import preview
from training.config import DenseConfig, read_config
from training.data.rows import stage_rows

TINY = "training/configs/tiny.yaml"


def test_the_preview_shows_images_labels_and_trained_tokens(shards, tmp_path, capsys):
    preview.main([TINY, "--data", str(shards), "--count", "2", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    config = read_config(TINY, data=str(shards))
    row = stage_rows(config, config.entry(""))[600 * 32]
    assert re.search(rf"\b{600 * 32}\b.*\bask\b.*{re.escape(row.example.name)}", said)
    for asked in row.asked:
        u, v = asked.question.pixel
        assert f"{asked.style.name} at ({u}, {v}), {asked.metres:.2f} m:" in said
        assert f"trained: {asked.answer + '<|im_end|>'!r}" in said
    sheet = np.asarray(Image.open(tmp_path / "rows.png"))
    assert sheet.shape[1] == 3 * 480 and (sheet == (255, 255, 0)).all(-1).sum() > 500


def test_it_shows_the_prompt_too_where_that_is_trained(parts_of, row_about):
    collator = preview.Collator(parts_of("qwen2_5_vl"), loss_on="all")
    row = row_about("qwen2_5_vl", {"coordinates": 1})
    said = preview.trained(collator, collator([row]))
    assert "You are a helpful assistant." in said[0] and "<|image_pad|>" not in "".join(said)
    assert row.asked[0].question.text in said[1] and row.asked[0].answer in said[1]


def test_a_dense_config_shows_the_true_map_beside_each_image(shards, tmp_path):
    config = "training/configs/tiny_dense.yaml"
    preview.main([config, "--data", str(shards), "--count", "2", "--out", str(tmp_path)])
    config = read_config(config, DenseConfig, data=str(shards))
    row = stage_rows(config, config.entry(config.base), 32)[0]
    metres = preview.true_map(row, "distance")
    assert metres.shape == row.image.shape[:2] and np.isfinite(metres).all()
    said = (tmp_path / "rows.txt").read_text()
    assert f"map of kind distance: 100% known, 5 % below {np.quantile(metres, 0.05):.2f} m" in said
    sheet = np.asarray(Image.open(tmp_path / "rows.png"))
    assert sheet.shape[1] == 4 * 480
    height = round(480 * metres.shape[0] / metres.shape[1])
    at = (height // 2, 480 + 240)  # the middle of the first map
    expected = distance_colours(metres, distance_limits(metres))
    middle = expected[metres.shape[0] // 2, metres.shape[1] // 2].astype(int)
    assert np.abs(sheet[at] - middle).max() < 30


@pytest.mark.parametrize("count", ["0", "-1", "six"])
def test_a_count_below_one_is_refused(tmp_path, count):
    with pytest.raises(SystemExit) as ended:
        preview.main([TINY, "--count", count, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2 and not (tmp_path / "out").exists()


def test_a_map_without_a_known_pixel_is_described_as_that():
    assert preview.described_map(np.full((2, 3), np.nan)) == "no pixel known"
    description = preview.described_map(np.array([[2.0, np.nan], [2.0, 2.0]]))
    assert description.startswith("75% known") and description.count("2.00 m") == 3


def test_a_base_that_is_not_there_is_one_sentence(shards):
    with pytest.raises(SystemExit, match="training.preview: "):
        preview.main([TINY, "--data", str(shards / "none")])


@pytest.mark.parametrize("count", ["0", "-3", "some"])
def test_a_count_that_shows_nothing_is_refused(count, tmp_path):
    with pytest.raises(SystemExit) as end:
        preview.main([str(tmp_path), f"--count={count}", "--out", str(tmp_path / "out")])
    assert end.value.code == 2 and not (tmp_path / "out").exists()
