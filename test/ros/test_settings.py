# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Parameters become one frozen object, or one message with all that is wrong."""

import dataclasses

import pytest

rclpy = pytest.importorskip("rclpy")
from rclpy.parameter import Parameter

from depthlm_ros.errors import InputError
from depthlm_ros.ros.parameters import Parameters, Settings


@pytest.fixture(scope="module")
def context():
    made = rclpy.Context()
    rclpy.init(context=made)
    yield made
    rclpy.shutdown(context=made)


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


def test_all_problems_are_reported_at_once(declared):
    with pytest.raises(InputError) as caught:
        declared(engine="warp", grid__rate=500, grid__rows="many", input__rectified="x", row=3)
    said = str(caught.value)
    assert "parameter engine is 'warp', allowed: local, reference, scripted" in said
    for name in ("grid.rate", "grid.rows", "input.rectified", "row"):
        assert f"parameter {name}" in said


@pytest.mark.parametrize(
    "values, problem",
    [
        ({"grid_rate": float("nan")}, "grid.rate is nan, allowed: 0 to 60"),
        ({"grid_columns": 0}, "grid.columns is 0, allowed: 1 to 4096"),
        ({"grid_columns": 1.5}, "grid.columns is 1.5, it must be a whole number"),
        ({"input_reliability": "Auto"}, "is 'Auto', allowed: auto, reliable, best_effort"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_what_is_allowed(values, problem):
    with pytest.raises(InputError, match=problem):
        Settings(**values)


def test_every_parameter_is_described_and_numbers_have_ranges(declared):
    _, node, _ = declared()
    for about in dataclasses.fields(Settings):
        descriptor = node.describe_parameter(about.metadata["name"])
        assert descriptor.read_only == (about.name == "autostart")
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
    assert "parameter engine is 'warp'" in said
    assert "parameter left.input.compressed is 'yes', it must be true or false" in said
    assert "parameter right.input.pairing is 'nearest', allowed: latest, exact" in said


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
    assert "left.input.pairing is 'nearest'" in refused.reason


def test_what_a_camera_has_of_its_own_is_described_and_locked_like_what_all_have(declared):
    _, node, parameters = declared(cameras=["left", "right"])
    descriptor = node.describe_parameter("left.input.rectified")
    assert descriptor.description.endswith("else K and D; empty: as input.rectified")
    parameters.locked = "the camera is heard"
    refused = node.set_parameters([Parameter("left.input.rectified", value=True)])[0]
    assert "read-only while the node is configured: the camera is heard" in refused.reason


def set_one(node, name, value):
    result = node.set_parameters([Parameter(name, value=value)])[0]
    assert result.successful, result.reason
