# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The house: imports run one way, ROS and torch stay in their rooms.

Every module is found by itself and belongs to a layer below; a module without a layer fails, so
that a new one cannot escape.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "depthlm_ros"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in (PACKAGE, ROOT / "training")
    for path in folder.rglob("*.py")
}
# A module imports from lines above its own, and from its own line. A name stands for the module
# and everything below it; the longest name that fits holds.
LAYERS = [
    ["errors", "entries"],
    ["camera", "answer"],
    ["view"],
    ["question", "data.jsonl", "data.files", "data.whole", "calibration", "dense.spec"],
    ["checkpoints", "msgs", "data", "demo"],
    ["engines.engine", "engines.digits", "engines.progress"],
    ["models"],
    ["engines"],
    ["dense", "batcher", "ranges"],
    ["predict", "scan", "regions", "dense.predictor"],
    ["viz", "worker"],
    ["tasks", "evaluation"],
    ["bags", "bench", "msgs.streams"],
    ["ros"],
    ["cli"],
]
HEAVY = ("rclpy", "sensor_msgs", "torch", "transformers", "matplotlib")
WITH_TORCH_OR_ROS = (
    "ros",
    "dense",
    "models",
    "engines.local",
    "engines.reference",
    "engines.remote",
)
LIGHT = (
    "engines.scripted",
    "engines.remote.addresses",
    "engines.remote.served",
    "dense.spec",
)
IMPORT_ALL = f"""
import importlib, json, sys
for name in {HEAVY}:
    sys.modules[name] = None
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted(name for name in sys.modules if name.startswith("depthlm_ros"))))
"""


def imports(path):
    """(module imported, whether at the top of the file) of a file, relative ones resolved."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level or None]
            base = ".".join(package) if node.level else ""
            whole = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                full = f"{whole}.{alias.name}"
                yield (full if full in MODULES else whole), id(node) in top


def inside(name, folders) -> bool:
    """Whether a module is one of these or lies below one."""
    return any(name == folder or name.startswith(folder + ".") for folder in folders)


def own(name) -> str:
    """A module's name without the package's."""
    return name.removeprefix("depthlm_ros").removeprefix(".")


def layer(name) -> int:
    """The line of LAYERS that holds for a module of the package."""
    fits = [
        (len(entry), line)
        for line, entries in enumerate(LAYERS)
        for entry in entries
        if inside(name, [entry])
    ]
    assert fits, f"{name} has no layer: add it to LAYERS"
    return max(fits)[1]


PACKAGED = [name for name in MODULES if own(name) and name.startswith("depthlm_ros.")]


@pytest.mark.parametrize("name", [n for n in PACKAGED if not n.endswith("__main__")])
def test_imports_run_one_way(name):
    mine = own(name)
    for full, _ in imports(MODULES[name]):
        used = own(full)
        if not full.startswith("depthlm_ros.") or used.split(".")[0] == mine.split(".")[0]:
            continue
        assert layer(used) <= layer(mine), f"{name} imports {full}"


def test_everything_but_models_engines_dense_and_ros_is_imported_without_torch_and_ros():
    wanted = [
        name
        for name in MODULES
        if name.startswith("depthlm_ros")
        and (not inside(own(name), WITH_TORCH_OR_ROS) or inside(own(name), LIGHT))
        and not name.endswith("__main__")
    ]
    wanted += ["training.sft", "training.dense", "training.grpo"]  # told --help without a wait
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, json.dumps(wanted)],
        capture_output=True,
        check=False,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert {"depthlm_ros.cli", "depthlm_ros.predict"} <= set(loaded)
    assert not [name for name in loaded if name.startswith("depthlm_ros.ros")]


def test_nothing_in_the_package_imports_training():
    guilty = [
        name
        for name in PACKAGED
        for full, _ in imports(MODULES[name])
        if inside(full, ["training"])
    ]
    assert guilty == []


def test_nothing_needs_the_tools_around_training():
    guilty = [
        name
        for name, path in MODULES.items()
        for full, _ in imports(path)
        if inside(full, ["training.tools"]) and not inside(name, ["training.tools"])
    ]
    assert guilty == []


def test_only_subcommands_import_ros_and_only_inside_functions():
    for name in PACKAGED:
        if inside(own(name), ["ros"]):
            continue
        ros = [top for full, top in imports(MODULES[name]) if inside(own(full), ["ros"])]
        assert not any(ros), f"{name} imports ros at its top"
        assert not ros or inside(own(name), ["cli"]), name


def test_rclpy_is_imported_in_ros_alone():
    guilty = [
        name
        for name, path in MODULES.items()
        for full, _ in imports(path)
        if inside(full, ["rclpy"]) and not inside(own(name), ["ros"])
    ]
    assert guilty == []


def test_nothing_on_the_road_knows_the_command_line():
    for name in PACKAGED:
        if not inside(own(name), ["cli", "ros", "bench", "demo", "__main__"]):
            for full, _ in imports(MODULES[name]):
                assert not inside(full, ["argparse", "depthlm_ros.cli"]), name


def test_no_folder_is_crowded():
    for folder in {path.parent for path in MODULES.values()}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= 14, f"{folder} has {len(modules)} modules"


def test_every_file_says_its_licence_and_what_it_is():
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        first = "# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0"
        assert text.splitlines()[0] == first, name
        assert ast.get_docstring(ast.parse(text)), name


def _where_to_add():
    """The rows of CONTRIBUTING's table: what to add -> the names between backticks."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("## Where do I add ...")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| a")]
    return {what.strip(): re.findall("`([^`]+)`", where) for what, where in rows}


@pytest.mark.parametrize("names", _where_to_add().values(), ids=list(_where_to_add()))
def test_what_the_table_says_to_change_is_there(names):
    places = [ROOT / name for name in names if "/" in name]
    assert places and all(place.exists() for place in places), names
    known = "".join(place.read_text(encoding="utf-8") for place in places if place.is_file())
    parts = [name for name in names if name.isidentifier()]
    assert [name for name in parts if known and not re.search(rf"\b{name}\b", known)] == []
