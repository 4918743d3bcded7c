# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Where a run starts from: a new model, a folder, another run, or a hub id, made one folder.

The folder `base` of a run is complete: the base's files byte for byte (weights as hard links where
the disk allows, so that a run outlives its base, and can be moved with or without it), a chat
template if the base has none, and the changes to the image processor that the config asks for.
Everything after this reads it like any other checkpoint.
"""

import json
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from depthlm_ros.checkpoints import ROW_FILE, TINY, check_folder
from depthlm_ros.errors import CheckpointError, InputError, first_line
from training.run.run_folder import HEADS, newest_complete, readable

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
TEMPLATES = Path(__file__).parents[1] / "templates"
# What a checkpoint folder has besides weights and config.json; copied byte for byte.
PROCESSOR_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)


def ready_base(config, folder, keep=False) -> Path:
    """The folder that the model, its tokenizer and its processor are loaded from.

    keep: leave it as it is, for a run that goes on.
    """
    folder = Path(folder)
    if keep:
        for link in (path for path in folder.glob("*.safetensors") if not path.exists()):
            raise CheckpointError(
                f"{link} links to {os.readlink(link)}, which is not there any more: the run cannot"
                " go on without its base, put it back"
            )
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    making = folder.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    if config.base == "fresh":
        from training.run import fresh

        fresh.build(making, **asdict(config.shape))
    else:
        _copied(find_base(config.base), making)
    _give_template(making)
    _change_processor(making, config.processor)
    return making.rename(folder)


def _copied(source, folder) -> None:
    folder.mkdir(parents=True)
    for path in source.iterdir():
        if path.name in (*PROCESSOR_FILES, "config.json", "model.safetensors.index.json", HEADS):
            shutil.copyfile(path, folder / path.name)
        elif path.name.startswith("model") and path.suffix == ".safetensors":
            _link(path.resolve(), folder / path.name)


def _link(path, new) -> None:
    try:
        os.link(path, new)
    except OSError:  # another disk, or one that knows no hard links
        new.symlink_to(path)


@contextmanager
def derived(base, out):
    """Yields a folder with what a checkpoint folder has besides its config and weights; it becomes
    `out` once the block has ended well. InputError where `out` exists."""
    out = Path(out)
    if out.exists():
        raise InputError(f"{out} exists: give the name of a new folder")
    making = out.with_name(f"{out.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for name in (*PROCESSOR_FILES, ROW_FILE, "README.md"):
        if (base / name).exists():
            shutil.copyfile(base / name, making / name)
    try:
        yield making
        readable(making)
        making.rename(out)
    finally:
        shutil.rmtree(making, ignore_errors=True)  # of a block that has failed


def find_base(name) -> Path:
    """The complete folder behind a config's `base`; "tiny": the embedded checkpoint. Raises
    CheckpointError."""
    if name == "tiny":
        return TINY
    path = Path(name).expanduser()
    if path.is_file():
        raise CheckpointError(
            f"base '{name}' is a file; allowed: the folder of a model, or a hub id"
        )
    if not path.is_dir():
        return Path(_downloaded(name))
    found, skipped = newest_complete(path)
    if found is None and skipped:
        raise CheckpointError(f"{path} holds no complete checkpoint: {skipped[0]}")
    check_folder(found or path)
    return found or path


def _downloaded(name):
    from huggingface_hub import snapshot_download

    if not HUB_ID.fullmatch(name):
        raise CheckpointError(
            f"there is no folder '{name}' to start from, and it is no hub id (OWNER/NAME) either"
        )
    try:
        wanted = ["*.json", "*.jinja", "*.txt", "*.safetensors"]
        return snapshot_download(name, allow_patterns=wanted)
    except Exception as error:  # of the network, of the hub, of the name
        raise CheckpointError(
            f"base '{name}' is neither a local folder nor a hub repository that can be read"
            f" (hub: {first_line(error)})"
        ) from error


def _give_template(folder) -> None:
    """The layout of the architecture where the tokenizer has none."""
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    files = ("chat_template.jinja", "chat_template.json")
    if "chat_template" in settings or any((folder / name).exists() for name in files):
        return
    architecture = json.loads((folder / "config.json").read_text())["model_type"]
    template = TEMPLATES / f"{architecture}.jinja"
    if template.exists():
        shutil.copyfile(template, folder / "chat_template.jinja")


def _change_processor(folder, changes) -> None:
    if changes:
        path = folder / "preprocessor_config.json"
        settings = json.loads(path.read_text())
        path.write_text(json.dumps({**settings, **changes}, indent=2) + "\n")
