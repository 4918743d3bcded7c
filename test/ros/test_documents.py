# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What is written about the node's interfaces is what the node has: documents and the policy."""

import re
from dataclasses import fields
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy")
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import Code
from depthlm_ros.predict import AskingPredictor, Status
from depthlm_ros.ros.node import DepthLMNode
from depthlm_ros.ros.settings import Settings, own_parameters

ROOT = Path(__file__).parents[2]
ROW = Checkpoint("fake", "", "none", 250.0, "marker", "marker", {"marker": "tags"})
ROSES = {"/parameter_events", "/rosout", "/clock"}  # every node's, known to every user
BY_TF = {"/tf", "/tf_static"}  # heard where tf2_ros is installed and a request names a frame
BY_BOND = {"/bond"}  # with bondpy, under a lifecycle manager


@pytest.fixture(scope="module")
def node(context):
    made = DepthLMNode(lambda progress: AskingPredictor(ScriptedEngine(), ROW), context=context)
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
    assert allowed - had <= optional | ROSES | BY_TF | BY_BOND


def test_the_policy_allows_what_installed_packages_add():
    assert policy("topic", "subscribe") >= BY_TF | BY_BOND
    assert policy("topic", "publish") >= BY_BOND


def test_the_policy_allows_the_action(node):
    assert {n.split("/_action/")[0] for n in names(node, "service", True)} == policy(
        "action", "execute"
    )


PAGE, README = ROOT / "docs/interfaces.md", ROOT / "README.md"
TOPICS, SERVICES = (PAGE, "## Topics"), (PAGE, "## Services")
IN_README = README, "### Topics and services of the node `depthlm`"


def table(path, heading, first="name"):
    """Cells of the rows of the table of a section whose first column is called so."""
    section = path.read_text().split(f"\n{heading}\n")[1].split("\n#")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if "|" in line[:1]]
    rows = [[cell.strip() for cell in row] for row in rows]
    start = next(i for i, row in enumerate(rows) if row[0] == first) + 2
    columns = len(rows[start - 2])
    return [row for row in rows[start:] if len(row) == columns]


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def written(place):
    """(name, whether it is an input, its other cells) of each name in a table."""
    return [(n, "(in)" in row[0], row[1:]) for row in table(*place) for n in quoted(row[0])]


def short(kind):
    """sensor_msgs.msg._image.Image -> sensor_msgs/Image."""
    return f"{kind.__module__.split('.')[0]}/{kind.__name__}"


def endpoints(node):
    """(name as written, whether it is an input) -> (type, QoS or None) of what the node has."""
    found = {(e.topic_name, False): (e.msg_type, e.qos_profile) for e in node.publishers}
    found |= {(e.topic_name, True): (e.msg_type, e.qos_profile) for e in node.subscriptions}
    found |= {(e.srv_name, False): (e.srv_type, None) for e in node.services}
    parameters = ("parameter", "type_description")
    return {
        (_written_name(name, incoming), incoming): declared
        for (name, incoming), declared in found.items()
        if name not in ROSES and not any(word in name for word in parameters)
    }


def _written_name(name, incoming):
    return name.lstrip("/") if incoming else name.replace("/depthlm/", "~/")


def without_lifecycle(found):
    """Of rclpy, which does not list all that it makes."""
    return {n: kind for n, kind in found.items() if not kind.startswith("lifecycle_msgs/")}


@pytest.mark.parametrize("places", [[TOPICS, SERVICES], [IN_README]], ids=["page", "readme"])
def test_the_tables_name_what_the_node_has_and_its_types(node, places):
    had = {
        (name, incoming): short(kind)
        for (name, incoming), (kind, _) in endpoints(node).items()
        if "detections" not in name  # only where vision_msgs is installed
    }
    written_types = {
        (name, incoming): re.sub("/(msg|srv)/", "/", cells[0].strip("`"))
        for place in places
        for name, incoming, cells in written(place)
        if "detections" not in name and name != "~/scan_grid"  # an action
    }
    assert without_lifecycle(written_types) == without_lifecycle(had)
    assert had.keys() <= written_types.keys() or places == [IN_README]


def test_the_page_tells_the_qos_that_the_node_has(node):
    had = endpoints(node)
    for name, incoming, (_, qos_text, _) in written(TOPICS):
        if (name, incoming) not in had or qos_text == "of rclpy":
            continue
        qos = had[name, incoming][1]
        assert f"keep last {qos.depth}" in qos_text or qos_text.startswith("as `image`"), name
        if not incoming:  # the others follow their publishers
            kept = qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
            assert ("transient local" in qos_text) == kept, name
            assert ("reliable" in qos_text) == (qos.reliability == ReliabilityPolicy.RELIABLE), (
                name
            )


def test_the_page_tells_the_default_of_every_parameter():
    defaults = {}
    for names, default, _ in table(PAGE, "## Parameters"):
        values = [value.strip("`") for value in default.split(", ")]
        named = quoted(names)
        defaults |= dict(zip(named, values * (len(named) // len(values)), strict=True))
    own = {about.metadata["name"]: "" for about in own_parameters("left")}
    shared = {about.metadata["name"]: about.default for about in fields(Settings)}
    assert defaults == {name: _as_written(value) for name, value in {**shared, **own}.items()}


def _as_written(value):
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("first, numbers", [("code", Code), ("status", Status)])
def test_the_page_tells_every_code_and_every_status_with_its_number(first, numbers):
    rows = table(PAGE, "## Services", first=first)
    assert {row[1]: int(row[0]) for row in rows} == {n.name: n.value for n in numbers}


@pytest.mark.parametrize(
    "path", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_every_dotted_parameter_that_a_document_names_is_one(path):
    known = {about.metadata["name"] for about in (*fields(Settings), *own_parameters("left"))}
    groups = "grid|input|query|points|overlay|remote"
    named = re.findall(rf"(?<![/\w])(?:left\.)?(?:{groups})\.(?!md|yaml)[a-z_]+", path.read_text())
    assert set(named) <= known


def test_the_page_of_interfaces_names_the_action(node):
    actions = {n.split("/_action/")[0] for n in names(node, "service", True)}
    assert {n.replace("/depthlm/", "~/") for n in actions} <= set(quoted(PAGE.read_text()))
