# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Checkpoints as transformers 4.45 to 5.24 wrote them: each answers as the same one of today."""

import json
import shutil
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.errors import CheckpointError
from depthlm_ros.models import loading

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# architecture -> how names of weights begin from 4.52 on, and how they began before; version 5
# writes the older ones again.
PREFIXES = {
    "qwen2_5_vl": {"model.visual.": "visual.", "model.language_model.": "model."},
    "qwen3_vl": {},
    "llava": {
        "model.language_model.": "language_model.model.",
        "lm_head.": "language_model.lm_head.",
        "model.vision_tower.": "vision_tower.",
        "model.multi_modal_projector.": "multi_modal_projector.",
    },
}


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def renamed(name, prefixes):
    for now, then in prefixes.items():
        if name.startswith(now):
            return then + name.removeprefix(now)
    return name


def rename_weights(folder, architecture, newer):
    """Give all weights their newer names, or their older ones."""
    to_older = PREFIXES[architecture]
    to_newer = {older: now for now, older in to_older.items()}
    weights = load_file(folder / WEIGHTS)
    found = {}
    for name, weight in weights.items():
        is_newer = name.startswith(tuple(to_older)) and not name.startswith("lm_head.")
        now = name if is_newer else renamed(name, to_newer)
        found[now if newer else renamed(now, to_older)] = weight
    save_file(found, folder / WEIGHTS, {"format": "pt"})
    return found


def flatten_qwen(config):
    """4.45 to 4.51: the language model's entries at the top, rope_scaling with a type."""
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    text.pop("model_type", None)
    config |= text
    config["rope_theta"] = rope["rope_theta"]
    config["rope_scaling"] = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    config["torch_dtype"] = config.pop("dtype", "float32")
    config["model_type"] = "qwen2_5_vl"
    config["transformers_version"] = "4.49.0"


def scale_qwen(config):
    """4.52 to 4.57: rope_scaling and rope_theta in the language model's part."""
    text = config["text_config"]
    rope = text.pop("rope_parameters")
    text["rope_theta"] = rope.pop("rope_theta")
    text["rope_scaling"] = rope
    config["transformers_version"] = "4.57.1"


def flatten_llava(config):
    """4.51: no rope_parameters, image_token_index instead of image_token_id."""
    for part in ("text_config", "vision_config"):
        rope = config[part].pop("rope_parameters", None)
        if rope:
            config[part]["rope_theta"] = rope["rope_theta"]
    config["image_token_index"] = config.pop("image_token_id", config.get("image_token_index"))
    config["transformers_version"] = "4.51.3"


def nest_processor(folder):
    """5.x: the image processor inside processor_config.json, and no file of its own."""
    path = folder / "preprocessor_config.json"
    nested = {"image_processor": json.loads(path.read_text())}
    (folder / "processor_config.json").write_text(json.dumps(nested))
    path.unlink()


def name_pixels(folder):
    """4.45: bounds by name, no size."""

    def change(config):
        size = config.pop("size")
        config["min_pixels"], config["max_pixels"] = size["shortest_edge"], size["longest_edge"]

    edit(folder / "preprocessor_config.json", change)


def shard(folder):
    weights = load_file(folder / WEIGHTS)
    where, names = {}, sorted(weights)
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, folder / file, {"format": "pt"})
        where |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    (folder / WEIGHTS).unlink()


def qwen_of_4_49(folder):
    found = rename_weights(folder, "qwen2_5_vl", newer=False)
    assert {"visual", "model"} <= {name.split(".")[0] for name in found}
    assert not any(name.startswith("model.language_model.") for name in found)
    edit(folder / "config.json", flatten_qwen)
    name_pixels(folder)


def qwen_of_4_55(folder):
    found = rename_weights(folder, "qwen2_5_vl", newer=True)
    assert "model.language_model.norm.weight" in found
    edit(folder / "config.json", scale_qwen)


def pixtral_of_4_51(folder):
    found = rename_weights(folder, "llava", newer=False)
    assert "language_model.model.norm.weight" in found
    edit(folder / "config.json", flatten_llava)


def pixtral_of_4_55(folder):
    found = rename_weights(folder, "llava", newer=True)
    assert "model.language_model.norm.weight" in found and "lm_head.weight" in found


def qwen3_of_4_57(folder):
    edit(folder / "config.json", scale_qwen)


LAYOUTS = {
    "4.49 Qwen2.5-VL": ("qwen2_5_vl", [qwen_of_4_49]),
    "4.49 Qwen2.5-VL, sharded": ("qwen2_5_vl", [qwen_of_4_49, shard]),
    "4.55 Qwen2.5-VL": ("qwen2_5_vl", [qwen_of_4_55]),
    "4.51 Pixtral": ("llava", [pixtral_of_4_51]),
    "4.51 Pixtral, sharded": ("llava", [pixtral_of_4_51, shard]),
    "4.55 Pixtral": ("llava", [pixtral_of_4_55]),
    "4.57 Qwen3-VL": ("qwen3_vl", [qwen3_of_4_57]),
    "4.57 Qwen3-VL, sharded": ("qwen3_vl", [qwen3_of_4_57, shard]),
    "5.x Qwen3-VL, nested processor": ("qwen3_vl", [nest_processor]),
    "5.x Pixtral, nested processor": ("llava", [nest_processor]),
}


def answers(checkpoint, view):
    """All that two replies hold, as text, in which NaN equals NaN."""
    engine = LocalEngine(checkpoint, "cpu", check="off")
    style = checkpoint.asker("marker")
    scene = engine.open([view], style)
    pixels = (20, 20), (40, 30)
    return repr(engine.step([(scene, style.question(view, pixel)) for pixel in pixels]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_old_layout_answers_as_that_of_today(copy_of, checkpoints, view_of, layout):
    architecture, changes = LAYOUTS[layout]
    folder, checkpoint = copy_of(architecture)
    for change in changes:
        change(folder)
    assert answers(checkpoint, view_of(0)) == answers(checkpoints(architecture), view_of(0))


def test_a_head_that_shares_the_embeddings_needs_no_weights_of_its_own(copy_of, view_of):
    """Qwen2.5-VL 3B and Qwen3-VL 4B as they are released."""
    folder, checkpoint = copy_of("qwen2_5_vl")
    weights = rename_weights(folder, "qwen2_5_vl", newer=True)
    embeddings = weights["model.language_model.embed_tokens.weight"]
    head = shutil.copytree(folder, folder.with_name("with a head"))
    save_file({**weights, "lm_head.weight": embeddings.clone()}, head / WEIGHTS, {"format": "pt"})
    del weights["lm_head.weight"]
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    flag = {"tie_word_embeddings": True}
    edit(
        folder / "config.json",
        lambda content: (content.update(flag), content["text_config"].update(flag)),
    )
    expected = answers(replace(checkpoint, model=str(head)), view_of(0))
    assert answers(checkpoint, view_of(0)) == expected


@pytest.mark.parametrize("name", ["base_model.model.lora_A.weight", "model.visual.extra.weight"])
def test_weights_that_nothing_takes_are_refused(copy_of, name):
    folder, checkpoint = copy_of("qwen3_vl")
    weights = load_file(folder / WEIGHTS)
    save_file({**weights, name: torch.zeros(2)}, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(CheckpointError) as caught:
        loading.load(checkpoint, "cpu")
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_what_old_versions_wrote_and_every_version_computes_is_no_trouble(copy_of):
    folder, checkpoint = copy_of("qwen3_vl")
    weights = load_file(folder / WEIGHTS)
    name = "model.language_model.rotary_emb.inv_freq"
    save_file({**weights, name: torch.zeros(2)}, folder / WEIGHTS, {"format": "pt"})
    assert loading.load(checkpoint, "cpu").parameters
