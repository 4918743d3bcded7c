# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What is written about the node's interfaces is what the node has: documents and the policy."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy")

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.node import DepthLMNode

ROOT = Path(__file__).parents[2]
ROW = Checkpoint("fake", "", "none", 250.0, "marker", "marker", {"marker": "tags"})
ROSES = {"/parameter_events", "/rosout", "/clock"}  # every node's, known to every user


@pytest.fixture(scope="module")
def node(context):
    made = DepthLMNode(
        lambda progress: AskingPredictor(ScriptedEngine(), ROW), context=context
    )
    yield made
    assert made.close()


def names(node, what, action=False):
    """Names of the topics or services of a running node; those of its action's parts or not."""
    found = getattr(node, f"get_{what}_names_and_types_by_node")("depthlm", "/")
    return {name for name, _ in found if ("/_action/" in name) == action}


def policy(kind, permission):
    """Full names that the policy allows."""
    own = {True: "/depthlm", False: "/"}
    entries = ElementTree.parse(ROOT / "config/depthlm.policy.xml").iter(kind + "s")
    allowed = [e for group in entries if group.get(permission) == "ALLOW" for e in group]
    return {own[e.text.startswith("~")] + e.text.lstrip("~") for e in allowed}


@pytest.mark.parametrize(
    "what, kind, permission",
    [
        ("publisher", "topic", "publish"),
        ("subscriber", "topic", "subscribe"),
        ("service", "service", "reply"),
    ],
)
def test_the_policy_allows_all_that_the_node_does_and_little_else(node, what, kind, permission):
    had, allowed = names(node, what), policy(kind, permission)
    assert had <= allowed
    optional = {n for n in allowed if "detections" in n or "type_description" in n}
    assert allowed - had <= optional | ROSES


def test_the_policy_allows_the_action(node):
    assert {n.split("/_action/")[0] for n in names(node, "service", True)} == policy(
        "action", "execute"
    )


def test_the_page_of_interfaces_names_every_topic_service_and_action_of_the_node(node):
    page = (ROOT / "docs/interfaces.md").read_text()
    written = set(re.findall(r"`([~/a-z_]+)`", page))
    had = names(node, "publisher") | names(node, "subscriber") | names(node, "service")
    had |= {n.split("/_action/")[0] for n in names(node, "service", True)}
    parameters = {n for n in had if "parameter" in n or "type_description" in n}
    shown = {n.replace("/depthlm/", "~/") for n in had - ROSES - parameters}
    assert {n if n in written else n.lstrip("/") for n in shown} <= written
