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


def test_a_profile_of_the_user_is_left_alone():
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        assert dds.profile_environment({name: "mine.xml"}) == {}
        assert dds.profile_environment({})[name] == str(dds.PROFILE)


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
