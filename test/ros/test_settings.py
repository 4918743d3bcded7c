# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Parameters become one frozen object, or one message with all that is wrong."""

import dataclasses
import re

import pytest

rclpy = pytest.importorskip("rclpy")
from rclpy.parameter import Parameter

from depthlm_ros.errors import InputError
from depthlm_ros.ros.parameters import Parameters
from depthlm_ros.ros.settings import Settings


@pytest.fixture
def declared(context):
    """Settings of a node that was given these parameters, the node, and its Parameters."""
    nodes = []

    def declare_with(**values):
        overrides = [Parameter(name.replace("__", "."), value=v) for name, v in values.items()]
        node = rclpy.create_node(
            "settings", context=context, parameter_overrides=overrides, enable_rosout=False
        )
        nodes.append(node)
        parameters = Parameters(node)
        return parameters.checked(), node, parameters

    yield declare_with
    for node in nodes:
        node.destroy_node()


def test_settings_are_frozen_and_have_the_documented_defaults():
    settings = Settings()
    assert (settings.checkpoint, settings.engine, settings.grid_columns) == ("tiny", "local", 32)
    assert (settings.grid_rows, settings.input_reliability) == (24, "auto")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.engine = "reference"


def test_parameters_override_the_defaults(declared):
    settings, *_ = declared(engine="scripted", grid__rate=4.5, input__rectified=True)
    assert (settings.engine, settings.grid_rate, settings.input_rectified) == (
        "scripted",
        4.5,
        True,
    )


def test_a_whole_number_is_a_rate_and_a_whole_float_is_a_count(declared):
    settings, *_ = declared(grid__rate=2, grid__columns=16.0)
    assert (settings.grid_rate, settings.grid_columns) == (2.0, 16)
    assert isinstance(settings.grid_rate, float) and isinstance(settings.grid_columns, int)


def test_a_list_without_entries_is_one_on_the_command_line_and_in_a_file(context, tmp_path):
    """rcl passes it on as a parameter that is not set."""
    (tmp_path / "empty.yaml").write_text("/**: {ros__parameters: {remote: {urls: []}}}")
    for words in (["-p", "remote.urls:=[]"], ["--params-file", str(tmp_path / "empty.yaml")]):
        node = rclpy.create_node("empty", context=context, cli_args=["--ros-args", *words])
        assert Parameters(node).checked().remote_urls == ()
        assert list(node.get_parameter("remote.urls").value) == []
        node.destroy_node()


def test_all_problems_are_reported_at_once(declared):
    with pytest.raises(InputError) as caught:
        declared(engine="warp", grid__rate=500, grid__rows="many", input__rectified="x", row=3)
    said = str(caught.value)
    assert re.search(r"\bengine\b.*'warp'.*\blocal, reference, remote, scripted\b", said)
    for name in ("grid.rate", "grid.rows", "input.rectified", " row "):
        assert name in said


@pytest.mark.parametrize(
    "values, named",
    [
        ({"grid_rate": float("nan")}, "grid.rate .*nan.* 0 to 60"),
        ({"grid_columns": 0}, "grid.columns .*0.* 1 to 4096"),
        ({"grid_columns": 1.5}, "grid.columns .*1.5"),
        ({"input_reliability": "Auto"}, "'Auto'.* auto, reliable, best_effort"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_what_is_allowed(values, named):
    with pytest.raises(InputError, match=named):
        Settings(**values)


def test_every_parameter_is_described_and_numbers_have_ranges(declared):
    _, node, _ = declared()
    for about in dataclasses.fields(Settings):
        descriptor = node.describe_parameter(about.metadata["name"])
        assert (
            descriptor.dynamic_typing and not descriptor.read_only
        )  # so that a dump can be loaded
        assert len(descriptor.description) > 10
        assert bool(descriptor.floating_point_range) == (about.type in (int, float))
    rate = node.describe_parameter("grid.rate")
    assert (rate.integer_range[0].to_value, rate.floating_point_range[0].to_value) == (60, 60.0)


def test_a_camera_has_of_its_own_what_is_set_for_it_and_the_rest_as_all(declared):
    _, _, parameters = declared(
        cameras=["left", "right"],
        input__rectified=True,
        input__pairing="exact",
        right__input__rectified=False,
        right__input__reliability="reliable",
    )
    left, right = (parameters.of_camera(name) for name in ("left", "right"))
    assert (left.input_rectified, left.input_pairing, left.input_reliability) == (
        *(True, "exact"),
        "auto",
    )
    assert (right.input_rectified, right.input_pairing, right.input_reliability) == (
        *(False, "exact"),
        "reliable",
    )


def test_what_is_wrong_with_one_camera_is_told_by_its_own_name_beside_all_else(declared):
    with pytest.raises(InputError) as caught:
        declared(
            engine="warp",
            cameras=["left", "right"],
            left__input__compressed="yes",
            right__input__pairing="nearest",
        )
    said = str(caught.value)
    assert re.search(r"\bengine\b.*'warp'", said)
    assert re.search(r"\bleft\.input\.compressed\b.*'yes'.*\btrue\b.*\bfalse\b", said)
    assert re.search(r"\bright\.input\.pairing\b.*'nearest'.*\blatest, exact\b", said)


def test_cameras_have_parameters_as_soon_and_as_long_as_they_are_named(declared):
    _, node, parameters = declared()
    assert node.has_parameter("camera.input.rectified")
    set_one(node, "cameras", ["left", "right"])
    assert not node.has_parameter("camera.input.rectified")
    set_one(node, "left.input.rectified", True)
    set_one(node, "right.input.rectified", True)
    set_one(node, "right.input.rectified", "")  # as all again
    assert parameters.checked().cameras == ("left", "right")
    assert [parameters.of_camera(c).input_rectified for c in ("left", "right")] == [True, False]
    refused = node.set_parameters([Parameter("left.input.pairing", value="nearest")])[0]
    assert re.search(r"\bleft\.input\.pairing\b.*'nearest'", refused.reason)


def test_what_a_camera_has_of_its_own_is_described_and_locked_like_what_all_have(declared):
    _, node, parameters = declared(cameras=["left", "right"])
    descriptor = node.describe_parameter("left.input.rectified")
    assert descriptor.description.endswith("input.rectified")
    parameters.locked = "the camera is heard"
    refused = node.set_parameters([Parameter("left.input.rectified", value=True)])[0]
    assert not refused.successful and parameters.locked in refused.reason


@pytest.mark.parametrize("given, means", [(True, "on"), (False, "off"), ("auto", "auto")])
def test_what_yaml_makes_of_on_and_off_is_what_was_typed(declared, given, means):
    settings, node, parameters = declared(check=given)
    assert settings.check == node.get_parameter("check").value == means
    set_one(node, "check", not given)
    assert parameters.checked().check == node.get_parameter("check").value
    assert parameters.now.check == ("off" if given else "on")
    refused = node.set_parameters([Parameter("check", value="perhaps")])[0]
    assert not refused.successful


@pytest.mark.parametrize("word", ["gpu0", "CPU", "cuda:", "cuda:x", "cuda1", ""])
def test_a_device_that_cannot_be_is_refused_before_anything_is_loaded(declared, word):
    with pytest.raises(InputError, match=r"\bdevice\b"):
        declared(device=word)


def test_one_by_one_and_together_everything_is_told_at_once(declared):
    with pytest.raises(InputError) as caught:
        declared(engine="warp", grid__columns=4096, grid__rows=4096, cameras=["a", "a", "9"])
    said = str(caught.value)
    for part in (
        "engine",
        "grid.columns x grid.rows",
        "['9']",
        "['a']",
    ):
        assert part in said, part


def test_a_value_of_a_thousand_characters_is_not_repeated(declared):
    with pytest.raises(InputError) as caught:
        declared(engine="w" * 5000, cameras=["c" * 5000])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("values", [[1, 2], [1.5], [True]], ids=str)
def test_lists_of_what_is_no_text_are_refused_at_the_start_and_when_they_are_set(declared, values):
    with pytest.raises(InputError, match=rf"cameras is {re.escape(str(values))}, .*texts"):
        declared(cameras=values)
    _, node, _ = declared()
    for name in ("cameras", "grid.columns"):
        (result,) = node.set_parameters([Parameter(name, value=values)])
        assert not result.successful
        assert f"{name} is {values}, it must be" in result.reason


def test_a_parameter_that_does_not_exist_is_told_with_its_nearest_neighbour(declared):
    *_, parameters = declared(
        cameras=["left", "right"],
        grid__colums=8,
        lfet__input__rectified=True,
        zebra=1,
        left__input__pairing="exact",
        qos_overrides__x="y",
    )
    problems = list(parameters.unknown())
    assert len(problems) == 3
    assert "grid.colums" in problems[0] and "grid.columns" in problems[0]
    assert "lfet.input.rectified" in problems[1] and "left.input.rectified" in problems[1]
    assert "zebra" in problems[2]


def test_the_own_dump_of_a_node_can_be_loaded_while_it_is_configured(declared):
    given = {"grid__rate": 2, "grid__columns": 16.0, "query__timeout": 5, "check": True}
    _, node, parameters = declared(cameras=["left", "right"], left__input__rectified=True, **given)
    parameters.locked = "the camera is heard"
    before = parameters.now
    of_rclpy = {"use_sim_time", "start_type_description_service"}  # the latter is read-only
    names = [n for n in node.list_parameters([], 0).names if n not in of_rclpy]
    dump = node.get_parameters(names)
    types = {p.name: p.type_.name for p in dump}
    assert (types["grid.rate"], types["grid.columns"], types["check"]) == (
        *("DOUBLE", "INTEGER"),
        "STRING",
    )
    assert {"autostart", "cameras", "left.input.rectified"} <= set(names)
    results = node.set_parameters(dump)
    assert [r.reason for r in results if not r.successful] == []
    assert parameters.now == before
    again = declared(**{p.name.replace(".", "__"): p.value for p in dump})[0]
    assert again == before


def test_whole_numbers_that_are_set_keep_the_type_of_their_parameter(declared):
    _, node, _ = declared()
    set_one(node, "grid.rate", 3)
    set_one(node, "grid.columns", 8.0)
    values = [node.get_parameter(name).value for name in ("grid.rate", "grid.columns")]
    assert values == [3.0, 8] and [type(v) for v in values] == [float, int]


def test_the_parameter_of_the_start_is_not_changed_later(declared):
    _, node, _ = declared()
    set_one(node, "autostart", True)
    assert not node.set_parameters([Parameter("autostart", value=False)])[0].successful
    assert node.get_parameter("autostart").value is True


def set_one(node, name, value):
    result = node.set_parameters([Parameter(name, value=value)])[0]
    assert result.successful, result.reason


def test_one_and_zero_are_neither_true_nor_false(declared):
    _, node, _ = declared(grid__columns=1)
    for name, value in (("autostart", 1), ("input.rectified", 0), ("grid.columns", True)):
        assert not node.set_parameters([Parameter(name, value=value)])[0].successful
        assert type(node.get_parameter(name).value) is not type(value)
    with pytest.raises(InputError, match=r"input\.rectified"):
        declared(input__rectified=0)


def test_false_in_the_place_of_a_zero_that_was_given_is_taken(context):
    node = rclpy.create_node(
        "settings",
        context=context,
        parameter_overrides=[Parameter("input.rectified", value=0)],
        enable_rosout=False,
    )
    parameters = Parameters(node)
    assert node.set_parameters([Parameter("input.rectified", value=False)])[0].successful
    assert parameters.checked().input_rectified is False
    node.destroy_node()
