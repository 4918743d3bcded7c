# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A checkpoint with more vision blocks that gives the same answers, to be trained further.

    python -m training.tools.grow runs/tiny/checkpoint runs/tiny_deep --vision-layers 8

The new blocks are copies of those before them whose outputs begin at zero, so that nothing
changes until they learn; they are spread evenly. What names a block by its number goes on naming
the same one. Tokenizer, processor, depthlm.json and auxiliary heads are taken over byte for byte.
Knows nothing about how a model is trained.
"""

import json
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from depthlm_ros.checkpoints import ROW_FILE
from depthlm_ros.errors import InputError
from training.run.base import derived, find_base
from training.run.commands import errors_told, parser_of
from training.run.run_folder import HEADS

INDEX = "model.safetensors.index.json"
# architecture -> the entry of its vision config that names blocks by number.
NUMBERED = {"qwen3_vl": "deepstack_visual_indexes", "qwen2_5_vl": "fullatt_block_indexes"}
BLOCK = re.compile(r"(?P<before>(?:.*\.)?visual\.blocks\.)(?P<number>\d+)(?P<after>\..*)")
OUTPUTS = (".attn.proj.", ".mlp.linear_fc2.", ".mlp.down_proj.")  # the last of each branch


def grow(base, out, vision_layers) -> Path:
    """Write the deeper checkpoint to `out`. base: a folder, a run's folder, or a hub id.

    InputError for fewer blocks, other architectures, or an `out` that exists.
    """
    base = find_base(base)
    config = AutoConfig.from_pretrained(base)
    _check(base, config, vision_layers)
    places = spread(config.vision_config.depth, vision_layers)
    with derived(base, out) as making:
        _write_config(base, making, config, places, vision_layers)
        _write_weights(base, making, places)
        _move_taps(making, places)
        if (base / HEADS).exists():
            shutil.copyfile(base / HEADS, making / HEADS)
    return Path(out)


def spread(blocks, wanted) -> list:
    """For each old block its new numbers: its own, then those of the copies after it."""
    more = wanted - blocks
    counts = [1 + (i + 1) * more // blocks - i * more // blocks for i in range(blocks)]
    return [list(range(sum(counts[:i]), sum(counts[: i + 1]))) for i in range(blocks)]


def _check(base, config, wanted):
    if config.model_type not in NUMBERED:
        raise InputError(
            f"{base} is a '{config.model_type}' model, and only {', '.join(NUMBERED)} can grow"
        )
    if wanted <= config.vision_config.depth:
        raise InputError(
            f"{base} has {config.vision_config.depth} vision blocks already, asked for {wanted}:"
            " blocks are only added"
        )


def _write_config(base, out, config, places, wanted):
    entry = NUMBERED[config.model_type]
    moved = [places[number][0] for number in getattr(config.vision_config, entry)]
    content = json.loads((base / "config.json").read_text())
    content["vision_config"] |= {"depth": wanted, entry: moved}
    (out / "config.json").write_text(json.dumps(content, indent=2) + "\n")


def _write_weights(base, out, places):
    where, size = {}, 0
    for path in sorted(base.glob("model*.safetensors")):
        state = grown(load_file(path), places)
        save_file(state, out / path.name, metadata={"format": "pt"})
        where |= dict.fromkeys(state, path.name)
        size += sum(weight.nbytes for weight in state.values())
    if (base / INDEX).exists():
        index = {"metadata": {"total_size": size}, "weight_map": where}
        (out / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _move_taps(out, places):
    """A dense head goes on looking behind the same blocks."""
    path = out / ROW_FILE
    entry = json.loads(path.read_text()) if path.exists() else {}
    for tap in (entry.get("head") or {}).get("taps", ()):
        if tap["source"] == "vision":
            tap["layer"] = places[tap["layer"]][0]
    if entry.get("head"):
        path.write_text(json.dumps(entry, indent=2) + "\n")


def grown(state, places) -> dict:
    """The weights by their new names, and those of the new blocks."""
    found = {}
    for name, weight in state.items():
        block = BLOCK.fullmatch(name)
        if not block:
            found[name] = weight
            continue
        own, *copies = places[int(block["number"])]
        silent = any(part in block["after"] for part in OUTPUTS)
        found[f"{block['before']}{own}{block['after']}"] = weight
        for number in copies:
            copy = torch.zeros_like(weight) if silent else weight.clone()
            found[f"{block['before']}{number}{block['after']}"] = copy
    return found


def main(arguments=None) -> None:
    parser = parser_of("training.tools.grow", __doc__)
    parser.add_argument("base", help="a checkpoint folder, a run's folder, or a hub id")
    parser.add_argument("out", help="the new folder")
    parser.add_argument("--vision-layers", type=int, required=True, help="blocks it shall have")
    given = parser.parse_args(arguments)
    with errors_told("training.tools.grow"):
        print(grow(given.base, given.out, given.vision_layers))


if __name__ == "__main__":
    main()
