# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The house: imports run one way, ROS and torch stay in their rooms."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "depthlm_ros"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    ): path
    for path in PACKAGE.rglob("*.py")
}
# What a module of the core may import of the package, directly.
CORE = {
    "errors": set(),
    "camera": {"errors"},
    "answer": set(),
    "resize": set(),
    "view": {"camera", "errors", "resize"},
    "wordings": set(),
    "question": {"answer", "errors", "view", "wordings"},
    "calibration": {"errors", "metrics"},
    "checkpoints": {"calibration", "errors", "files", "question", "view", "wordings"},
    "batcher": {"engines", "errors"},
    "ranges": {"engines"},
    "opened": {"view"},
    "predict": {"batcher", "camera", "checkpoints", "engines", "opened", "ranges", "view"},
    "scan": {"errors", "ranges"},
    "decode": {"errors", "files"},
    "bags/recording": {"errors"},
    "bags/messages": {"messages", "pictures", "scan"},
    "bags/parts": {"bags", "errors"},
    "files": {"camera", "errors"},
    "messages": {"camera", "decode", "errors", "view"},
    "metrics": set(),
    "pictures": {"camera"},
    "clouds": {"errors", "pictures"},
    "lines": {"errors"},
    "regions": {"errors", "ranges"},
    "records": {"camera", "errors", "files", "lines", "view"},
    "pairs": {"errors", "files", "records", "view"},
    "tasks/words": {"wordings"},
    "tasks/poses": set(),
    "tasks/item": {"answer", "errors", "metrics", "question", "view"},
    "tasks/points": {"answer", "errors", "question", "tasks"},
    "tasks/pairs": {"answer", "errors", "question", "tasks"},
    "tasks/evaluation": {"errors", "metrics", "records", "tasks"},
    "evaluate": {"ranges"},
    "kept": {"errors", "evaluate"},
    "worst": {"errors", "pictures"},
    "uncertainty": {"metrics"},
    "published": set(),
    "report": {"evaluate", "metrics", "ranges", "published", "records", "uncertainty"},
}
WITH_TORCH_OR_ROS = ("depthlm_ros.ros", "depthlm_ros.dense", "depthlm_ros.engines.")
WITHOUT_TORCH = ("depthlm_ros.engines.scripted",)
IMPORT_ALL = """
import importlib, json, sys
for name in ("rclpy", "sensor_msgs", "torch", "transformers", "matplotlib"):
    sys.modules[name] = None
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted(name for name in sys.modules if name.startswith("depthlm_ros"))))
"""


def imports(path):
    """(name imported, whether at the top of the module) of a file, relative ones resolved."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(PACKAGE.parent).parts[: -node.level or None]
            base = ".".join(package) if node.level else ""
            whole = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                yield f"{whole}.{alias.name}", id(node) in top


def test_everything_but_engines_dense_and_ros_is_imported_without_torch_and_ros():
    wanted = [
        name
        for name in MODULES
        if not name.startswith(WITH_TORCH_OR_ROS) and not name.endswith("__main__")
    ]
    wanted += WITHOUT_TORCH
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, json.dumps(wanted)],
        capture_output=True,
        check=False,
        text=True,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert {"depthlm_ros.cli", "depthlm_ros.predict", *WITHOUT_TORCH} <= set(loaded)
    assert not [name for name in loaded if name.startswith("depthlm_ros.ros")]


@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_one_way(name):
    used = {
        full.split(".")[1]
        for full, _ in imports(PACKAGE / f"{name}.py")
        if full.startswith("depthlm_ros.")
    }
    assert used <= CORE[name]


def test_nothing_in_the_package_imports_training():
    guilty = [
        name
        for name, path in MODULES.items()
        for full, _ in imports(path)
        if full.split(".")[0] == "training"
    ]
    assert guilty == []


def test_only_subcommands_import_ros_and_only_inside_functions():
    for name, path in MODULES.items():
        if name.startswith("depthlm_ros.ros"):
            continue
        ros = [top for full, top in imports(path) if full.startswith("depthlm_ros.ros")]
        assert not any(ros), f"{name} imports ros at its top"
        assert not ros or name.startswith(("depthlm_ros.cli", "depthlm_ros.commands")), name


def test_rclpy_is_imported_in_ros_alone():
    guilty = [
        name
        for name, path in MODULES.items()
        for full, _ in imports(path)
        if full.split(".")[0] == "rclpy" and not name.startswith("depthlm_ros.ros")
    ]
    assert guilty == []


def test_engines_know_no_jobs_no_ranges_and_no_ros():
    for name, path in MODULES.items():
        if name.startswith("depthlm_ros.engines"):
            for full, _ in imports(path):
                forbidden = ("batcher", "predict", "scan", "ros", "records", "evaluate")
                assert not full.startswith(tuple(f"depthlm_ros.{f}" for f in forbidden)), name


def test_every_file_says_its_licence_and_what_it_is():
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        first = "# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0"
        assert text.splitlines()[0] == first, name
        assert ast.get_docstring(ast.parse(text)), name
