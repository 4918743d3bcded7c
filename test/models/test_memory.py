# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Free memory, where a limit of the kernel's would end the process without an error."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from depthlm_ros.errors import OutOfMemory
from depthlm_ros.models import memory
from depthlm_ros.models.memory import free_bytes

CPU = SimpleNamespace(type="cpu")
GIB = 2**30


@pytest.fixture
def machine(tmp_path):
    """(/proc/self/cgroup, {folder: {file: content}}) -> a root with 8 GiB available."""

    def made(own, groups):
        files = {f"sys/fs/cgroup/{g}/{n}": c for g, of in groups.items() for n, c in of.items()}
        files["proc/meminfo"] = "MemTotal: 99999999 kB\nMemAvailable:    8388608 kB\n"
        files["proc/self/cgroup"] = own
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(str(content))
        return tmp_path

    return made


def unified(limit, used, droppable=0):
    stat = f"anon 1\ninactive_file {droppable}\n"
    return {"memory.max": limit, "memory.current": used, "memory.stat": stat}


def legacy(limit, used, droppable=0):
    stat = f"inactive_file 7\ntotal_inactive_file {droppable}\n"
    return {
        "memory.limit_in_bytes": limit,
        "memory.usage_in_bytes": used,
        "memory.stat": stat,
    }


def test_without_a_limit_it_is_what_the_kernel_says(machine):
    assert free_bytes(CPU, machine("0::/a", {"a": unified("max", GIB)})) == 8 * GIB


def test_a_machine_without_control_groups_has_what_the_kernel_says(machine):
    root = machine("", {})
    (root / "proc/self/cgroup").unlink()
    assert free_bytes(CPU, root) == 8 * GIB


def test_the_limit_less_what_is_used_holds_and_cached_files_are_not_used(machine):
    """A model that was just read fills the group's memory with pages that the kernel drops."""
    root = machine("0::/a", {"a": unified(4 * GIB, 3 * GIB, 2 * GIB)})
    assert free_bytes(CPU, root) == 3 * GIB


def test_the_limit_of_a_group_above_holds_too(machine):
    groups = {"a/b/c": unified("max", 0), "a": unified(2 * GIB, GIB), "": unified("max", 0)}
    assert free_bytes(CPU, machine("0::/a/b/c", groups)) == GIB


def test_a_container_that_sees_its_group_at_the_top_is_limited(machine):
    """Its path in /proc may be the host's, which does not exist here."""
    root = machine("0::/docker/1234", {"": unified(2 * GIB, GIB // 2)})
    assert free_bytes(CPU, root) == 1.5 * GIB


def test_the_older_control_groups_are_read(machine):
    own = "5:cpu:/x\n4:memory:/a/b\n1:name=systemd:/\n0::/\n"
    groups = {"memory/a": legacy(3 * GIB, 2 * GIB, GIB), "memory/a/b": legacy(2**63 - 4096, 5)}
    assert free_bytes(CPU, machine(own, groups)) == 2 * GIB


def test_a_group_beyond_its_limit_has_nothing_left(machine):
    assert free_bytes(CPU, machine("0::/a", {"a": unified(GIB, 2 * GIB)})) == 0


@pytest.mark.parametrize(("integrated", "free"), [(0, 3 * GIB), (1, 8 * GIB)])
def test_a_gpu_in_the_processors_memory_has_what_files_would_give_back(
    machine, monkeypatch, integrated, free
):
    """Its driver counts cached files as used, also those of the weights that were just read."""
    cuda = pytest.importorskip("torch").cuda
    properties = SimpleNamespace(is_integrated=integrated)
    monkeypatch.setattr(cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(cuda, "mem_get_info", lambda device: (3 * GIB, 16 * GIB))
    gpu = SimpleNamespace(type="cuda")
    monkeypatch.setattr(cuda, "memory_reserved", lambda device: GIB)
    monkeypatch.setattr(cuda, "memory_allocated", lambda device: GIB // 2)
    assert free_bytes(gpu, machine("", {})) == free + GIB // 2


@pytest.mark.parametrize(("integrated", "refused"), [(0, False), (1, True)])
def test_a_gpu_in_the_processors_memory_is_not_filled_until_the_process_is_killed(
    monkeypatch, integrated, refused
):
    cuda = pytest.importorskip("torch").cuda
    properties = SimpleNamespace(is_integrated=integrated)
    monkeypatch.setattr(cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(memory, "free_bytes", lambda device: GIB)
    with pytest.raises(OutOfMemory, match="a step") if refused else nullcontext():
        memory.check_fits("a step", 2 * GIB, SimpleNamespace(type="cuda"))


def test_free_memory_of_this_machine_is_plausible():
    assert 1e6 < free_bytes(CPU) < 1e14
