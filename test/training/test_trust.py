# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The share of trust of a dense head, fitted to kinds of images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from depthlm_ros.checkpoints import TINY
from depthlm_ros.predict import load_predictor
from test.testing.tiny_models import write_checkpoint
from training.data.shards import write_shard
from training.tools import trust


@pytest.fixture
def kinds(shot, tmp_path):
    """(folder of shards of rendered images, file of records of coloured noise)."""
    (tmp_path / "rendered").mkdir()
    write_shard(tmp_path / "rendered" / "train_0.npz", [shot(seed, 96, 64) for seed in range(4)])
    rng, lines = np.random.default_rng(1), []
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (64, 96, 3)).astype(np.uint8)).save(
            tmp_path / f"{number}.png"
        )
        lens = [80.0, 80.0, 47.5, 31.5, 96, 64]
        line = {"image": f"{number}.png", "intrinsics": lens, "kind": "z"}
        lines.append(json.dumps({**line, "pixel_coords": [[5, 5]], "depth": [2.0]}))
    (tmp_path / "noise.jsonl").write_text("\n".join(lines))
    return tmp_path / "rendered", tmp_path / "noise.jsonl"


def test_the_share_tells_both_kinds_and_all_else_stays(kinds, tmp_path, capsys):
    rendered, noise = map(str, kinds)
    out = tmp_path / "out"
    trust.main(["tiny", str(out), "--trusted", rendered, "--hidden", noise])
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["trusted", "hidden"]
    predictor = load_predictor(str(out))
    own = trust.head_of(predictor).trust
    for path, (low, high) in ((rendered, (0.8, 1)), (noise, (0, 0.2))):
        with torch.no_grad():
            share = own(trust.looked_at(predictor, path, 9)).sigmoid()
        assert len(share) == 4 and low < share.min() and share.max() < high
    before, after = (load_file(folder / "model.safetensors") for folder in (TINY, out))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert changed == {"depth_head.trust.weight", "depth_head.trust.bias"}


def test_data_sets_count_alike_whatever_their_size():
    """Two sets on one side that contradict each other: the larger does not outvote the other."""
    few, many, others = torch.ones(2, 1), -torch.ones(200, 1), torch.zeros(5, 1)
    weight, _ = trust.fitted([few, many], [others])
    assert abs(float(weight)) < 0.05


def test_what_has_no_such_head_is_refused(kinds, tmp_path):
    write_checkpoint(tmp_path / "plain", "qwen3_vl")
    rendered, noise = map(str, kinds)
    with pytest.raises(SystemExit, match="no dense head of type encoder"):
        trust.main(
            [
                str(tmp_path / "plain"),
                str(tmp_path / "o"),
                "--trusted",
                rendered,
                "--hidden",
                noise,
            ]
        )
