# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""More vision blocks: the same states and answers, the same files, and the new blocks learn."""

import json
import re
from shutil import copyfile, copytree

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import AutoModelForImageTextToText

from depthlm_ros.checkpoints import TINY, from_folder
from depthlm_ros.errors import InputError
from depthlm_ros.predict import load_predictor
from training.data.collate import Collator
from training.model import Student
from training.run import fresh
from training.tools.grow import grow, grown, main, spread

SHAPE = {"width": 48, "heads": 2, "layers": 4, "mlp": 64}


def model_of(folder):
    model, info = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa", output_loading_info=True
    )
    assert not any(info.values())
    return model


def states(folder, batch):
    """Hidden states of a folder's model on a Collator's batch."""
    with torch.no_grad():
        return Student(model_of(folder), heads=False).states(batch)


@pytest.mark.parametrize(
    "old, new, numbers",
    [
        (4, 8, [[0, 1], [2, 3], [4, 5], [6, 7]]),
        (4, 6, [[0], [1, 2], [3], [4, 5]]),
        (2, 7, [[0, 1, 2], [3, 4, 5, 6]]),
    ],
)
def test_new_blocks_are_spread_evenly(old, new, numbers):
    assert spread(old, new) == numbers


@pytest.mark.parametrize(
    "name, entry, moved",
    [
        ("qwen3_vl", "deepstack_visual_indexes", [3]),
        ("qwen2_5_vl", "fullatt_block_indexes", [3]),
    ],
)
def test_states_are_equal_before_and_after(
    name, entry, moved, base_of, parts_of, row_about, tmp_path
):
    """Block 1 is named by its number and becomes block 3."""
    base, out = base_of(name), tmp_path / "deep"
    batch = Collator(parts_of(name))([row_about(name, {"marker": 1, "coordinates": 2})])
    before = states(base, batch)
    assert grow(base, out, 6) == out
    vision = model_of(out).config.vision_config
    assert vision.depth == 6 and list(getattr(vision, entry)) == moved
    np.testing.assert_allclose(states(out, batch), before, atol=1e-5)


def test_the_embedded_checkpoint_answers_the_same_after_it(tmp_path, shot):
    out = grow(TINY, tmp_path / "deep", 12)
    assert json.loads((out / "config.json").read_text())["vision_config"]["depth"] == 12
    frame, pixels = shot().frame, [(20, 15), (65, 50), (100, 80)]
    one, other = (load_predictor(str(folder), warm_up=False) for folder in (TINY, out))
    for style in ("marker", "dense"):
        before, after = (made.ranges(frame, pixels, style=style) for made in (one, other))
        np.testing.assert_allclose(after.distance_m, before.distance_m, rtol=1e-4)
        np.testing.assert_allclose(after.upper_m, before.upper_m, rtol=1e-4)


def test_everything_but_weights_and_config_is_taken_over_byte_for_byte(tmp_path):
    base, out = tmp_path / "base", tmp_path / "deep"
    copytree(TINY, base)
    copyfile(base / "model.safetensors", base / "heads.safetensors")
    (base / "optimizer.pt").write_bytes(b"of other shapes")
    main([str(base), str(out), "--vision-layers", "9"])
    assert {p.name for p in out.iterdir()} == {p.name for p in base.iterdir()} - {"optimizer.pt"}
    for path in out.iterdir():
        same = path.read_bytes() == (base / path.name).read_bytes()
        assert same == (path.name not in ("config.json", "model.safetensors"))
    assert from_folder(out).wording == from_folder(base).wording


def test_new_blocks_learn(base_of, parts_of, row_about, tmp_path):
    out = grow(base_of("qwen3_vl"), tmp_path / "deep", 3)
    student = Student(model_of(out))
    batch = Collator(parts_of("qwen3_vl"))([row_about("qwen3_vl", {"marker": 1})])
    student(**batch)["loss"].backward()
    new = student.model.model.visual.blocks[2]
    assert new.attn.proj.weight.grad.abs().sum() > 0 and not new.attn.proj.weight.any()
    assert new.mlp.linear_fc2.weight.grad.abs().sum() > 0 and not new.mlp.linear_fc2.weight.any()


def test_weights_in_several_files_stay_in_them(base_of, tmp_path):
    model = model_of(base_of("qwen3_vl"))
    base, out = tmp_path / "base", tmp_path / "deep"
    copytree(base_of("qwen3_vl"), base)
    (base / "model.safetensors").unlink()
    model.save_pretrained(base, max_shard_size="100KB")
    grow(base, out, 4)
    files = sorted(p.name for p in out.glob("*.safetensors"))
    assert files == sorted(p.name for p in base.glob("*.safetensors")) and len(files) > 1
    assert model_of(out).config.vision_config.depth == 4


def test_only_whole_names_of_blocks_are_renamed():
    state = {
        name: torch.ones(2)
        for name in (
            "visual.blocks.1.mlp.linear_fc2.bias",
            "model.visual.blocks.0.norm1.weight",
            "model.visual.merger.norm.weight",
            "model.language_model.layers.1.mlp.down_proj.weight",
        )
    }
    found = grown(state, [[0], [1, 2]])
    assert {name: w.tolist() for name, w in found.items() if "1" in name or "2" in name} == {
        "visual.blocks.1.mlp.linear_fc2.bias": [1, 1],
        "visual.blocks.2.mlp.linear_fc2.bias": [0, 0],
        "model.visual.blocks.0.norm1.weight": [1, 1],
        "model.language_model.layers.1.mlp.down_proj.weight": [1, 1],
    }


@pytest.mark.parametrize(
    "name, layers, named",
    [
        ("llava", 4, "'llava'.*qwen3_vl, qwen2_5_vl"),
        ("qwen3_vl", 2, r"\b2 .*\b2\b"),
    ],
)
def test_what_cannot_grow_is_refused(name, layers, named, base_of, tmp_path):
    with pytest.raises(InputError, match=named):
        grow(base_of(name), tmp_path / "deep", layers)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_kept(tmp_path):
    with pytest.raises(SystemExit, match=re.escape(str(tmp_path))):
        main([str(TINY), str(tmp_path), "--vision-layers", "9"])


def test_a_fresh_model_may_have_more_vision_blocks_than_text_blocks(tmp_path):
    deep = model_of(fresh.build(tmp_path / "deep", **SHAPE, vision_layers=8)).config
    assert (deep.vision_config.depth, deep.text_config.num_hidden_layers) == (8, 4)
    assert list(deep.vision_config.deepstack_visual_indexes) == [3]
    even = model_of(fresh.build(tmp_path / "even", **SHAPE)).config.vision_config
    assert even.depth == 4 and list(even.deepstack_visual_indexes) == [1]
