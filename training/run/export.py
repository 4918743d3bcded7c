# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What learns as a checkpoint folder that the node loads without another step.

Weights, the base's processor and tokenizer files byte for byte, depthlm.json; a model card with
the one that is shipped. Adapters are merged by peft's own product, so that no reader needs peft.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from depthlm_ros.checkpoints import HEAD_PREFIX
from depthlm_ros.errors import CheckpointError
from training.run.base import PROCESSOR_FILES
from training.run.run_folder import HEADS, readable, replace_folder

ADAPTER = "adapter.safetensors"  # not peft's name: the weights beside it hold it already


def write_student(student, folder: Path, state: dict, base: Path) -> None:
    """Weights in the dtype of training, with heads and adapter for a resumption.

    state: the student's gathered state_dict, where it is sharded, else its own.
    """
    model = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    write_model(student.model, merged_state(student.model, model), folder, base)
    heads = {k: v.contiguous() for k, v in state.items() if k.startswith("heads.")}
    adapter = {k: v.contiguous() for k, v in model.items() if "lora_" in k}
    for name, content in ((HEADS, heads), (ADAPTER, adapter)):
        if content:
            save_file(content, folder / name)


def write_model(model, state: dict, folder: Path, base: Path) -> None:
    """Weights and config of a model, and the processor and tokenizer files of its base."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, state_dict=state)
    _copy_processor(base, folder)


def merged_state(model, state: dict) -> dict:
    """The state of a model with adapters as the plain one's; a plain one's as it is.

    Not peft's merge_and_unload, which would round the model that goes on learning.
    """
    merged = {}
    for name, weight in state.items():
        layer, base, kind = name.rpartition(".base_layer.")
        if base and kind == "weight":
            change = model.get_submodule(layer).get_delta_weight("default")
            merged[f"{layer}.weight"] = weight.float() + change.detach()
        elif "lora_" not in name:
            merged[name.replace(".base_layer.", ".")] = weight
    return merged


def read_extras(student, folder: Path) -> None:
    """Heads and adapter of a checkpoint folder, where it has them; the weights are loaded."""
    for name in (HEADS, ADAPTER):
        path = Path(folder) / name
        if path.exists():
            prefix = "" if name == HEADS else "model."
            _load(student, {prefix + k: v for k, v in load_file(path).items()}, path)


def _load(student, state, path) -> None:
    own = student.state_dict()
    wrong = [k for k, v in state.items() if k not in own or own[k].shape != v.shape]
    if wrong and any(k.startswith("heads.") for k in wrong) and not student.heads:
        return  # a text-only run goes on from one with heads
    if wrong:
        raise CheckpointError(f"{path} is of another model: {wrong[0]} does not fit")
    student.load_state_dict(state, strict=False)


def ship(step: Path, base: Path, config, card: str, out: Path) -> Path:
    """`out`: the checkpoint of a step at 16 bit, without what only a resumption needs. A dense
    head stays in float32 unless an image encoder makes it large."""
    making = Path(out).with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    head = getattr(config, "head", None)
    whole = () if head and head.type == "encoder" else (HEAD_PREFIX,)
    for path in sorted(Path(step).glob("model*.safetensors")):
        tensors = load_file(path).items()
        state = {k: _cast(v, None if k.startswith(whole) else config.dtype) for k, v in tensors}
        save_file(state, making / path.name, metadata={"format": "pt"})
    for path in Path(step).glob("model*.index.json"):
        shutil.copyfile(path, making / path.name)
    described = json.loads((Path(step) / "config.json").read_text())
    (making / "config.json").write_text(json.dumps({**described, "dtype": config.dtype}, indent=2))
    _copy_processor(base, making)
    config.entry(out).write(making)
    (making / "README.md").write_text(card)
    readable(making)
    replace_folder(making, out)
    return Path(out)


def _cast(tensor, dtype):
    whole = dtype is None or not tensor.is_floating_point()
    cast = tensor if whole else tensor.to(getattr(torch, dtype))
    if not cast.isfinite().all():
        raise CheckpointError(
            f"a weight of {tensor.abs().max():g} does not fit dtype: {dtype}; take bfloat16"
        )
    return cast


def _copy_processor(base, folder) -> None:
    for name in PROCESSOR_FILES:
        if (Path(base) / name).exists():
            shutil.copyfile(Path(base) / name, folder / name)
