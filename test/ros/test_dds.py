# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Graphs of one's own, the shared-memory profile, and processes that are always stopped."""

import os
import time
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy")
from depthlm_ros.ros import dds
from depthlm_ros.ros.tools.child import Child


def test_two_graphs_at_a_time_have_different_domains_on_this_machine_only():
    with dds.private_graph() as one, dds.private_graph() as other:
        assert one["ROS_DOMAIN_ID"] != other["ROS_DOMAIN_ID"]
        assert int(one["ROS_DOMAIN_ID"]) in dds.DOMAINS
        assert one["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
        freed = one["ROS_DOMAIN_ID"]
    with dds.private_graph() as again:
        assert again["ROS_DOMAIN_ID"] == freed


NAMES = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"


def test_what_the_user_has_chosen_is_left_alone(tmp_path, monkeypatch):
    chosen = dict.fromkeys(NAMES, str(dds.PROFILE))
    assert dds.profile_environment({}) == chosen
    assert dds.profile_environment({"RMW_IMPLEMENTATION": "rmw_fastrtps_dynamic_cpp"}) == chosen
    for name, value in (
        (NAMES[0], "mine.xml"),
        (NAMES[1], "mine.xml"),
        ("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4"),
        ("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp"),
        ("RMW_IMPLEMENTATION", "rmw_zenoh_cpp"),
    ):
        assert dds.profile_environment({name: value}) == {}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DEFAULT_FASTRTPS_PROFILES.xml").write_text("<profiles/>")
    assert dds.profile_environment({}) == {}


def shared_memory(pid):
    """Bytes of the largest segment of Fast DDS that a process has mapped."""
    sizes = [0]
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            if "/fastrtps_" in line or "/fastdds_" in line:
                begin, end = (int(part, 16) for part in line.split()[0].split("-"))
                sizes.append(end - begin)
    return max(sizes)


@pytest.mark.parametrize(
    "module", ["depthlm_ros.ros.tools.bench_node", "depthlm_ros.ros.tools.demo_camera"]
)
def test_node_and_camera_have_it_though_nobody_has_set_it(graph, tmp_path, monkeypatch, module):
    for name in NAMES:
        monkeypatch.delenv(name)
    with dds.private_graph() as alone:  # it maps the segments of its peers too
        apart = {"ROS_DOMAIN_ID": alone["ROS_DOMAIN_ID"]}
        with Child(module, environment=apart, log=tmp_path / "log") as child:
            assert segment_of(child) >= 16 * 2**20, child.output()


def segment_of(child):
    """Bytes of the shared memory of a process that has no peers, once it has any."""
    end = time.monotonic() + 60
    while not shared_memory(child.pid) and child.status is None and time.monotonic() < end:
        time.sleep(0.05)
    return shared_memory(child.pid)


def test_the_profile_gives_sixteen_mib_of_shared_memory():
    tree = ElementTree.parse(dds.PROFILE)
    (size,) = [e for e in tree.iter() if e.tag.endswith("}segment_size")]
    assert int(size.text) == 16 * 2**20


def test_the_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("KEPT", "before")
    monkeypatch.delenv("ADDED", raising=False)
    with dds.environment({"KEPT": "inside", "ADDED": "inside"}):
        assert (os.environ["KEPT"], os.environ["ADDED"]) == ("inside", "inside")
    assert os.environ["KEPT"] == "before" and "ADDED" not in os.environ


def test_a_child_that_ignores_sigint_is_killed(tmp_path, monkeypatch):
    (tmp_path / "stubborn.py").write_text(
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = Child("stubborn", log=tmp_path / "log")
    while "deaf" not in child.output() and child.status is None:
        time.sleep(0.01)
    assert child.stop(timeout=0.3) == -9
