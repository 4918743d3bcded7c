# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Parameters become one frozen object, or one message with all that is wrong."""

import dataclasses

import pytest

rclpy = pytest.importorskip("rclpy")
from rclpy.parameter import Parameter

from depthlm_ros.errors import InputError
from depthlm_ros.ros.parameters import Parameters
from depthlm_ros.ros.settings import Settings


@pytest.fixture(scope="module")
def context():
    made = rclpy.Context()
    rclpy.init(context=made)
    yield made
    rclpy.shutdown(context=made)


@pytest.fixture
def declared(context):
    """Settings of a node that was given these parameters, and the node."""
    nodes = []

    def declare_with(**values):
        overrides = [Parameter(name.replace("__", "."), value=v) for name, v in values.items()]
        node = rclpy.create_node(
            "settings", context=context, parameter_overrides=overrides, enable_rosout=False
        )
        nodes.append(node)
        return Parameters(node).checked(), node

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
    settings, _ = declared(engine="scripted", grid__rate=4.5, input__rectified=True)
    assert (settings.engine, settings.grid_rate, settings.input_rectified) == (
        "scripted",
        4.5,
        True,
    )


def test_a_whole_number_is_a_rate_and_a_whole_float_is_a_count(declared):
    settings, _ = declared(grid__rate=2, grid__columns=16.0)
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
    _, node = declared()
    for about in dataclasses.fields(Settings):
        descriptor = node.describe_parameter(about.metadata["name"])
        assert descriptor.read_only == (about.name == "autostart")
        assert len(descriptor.description) > 10
        assert bool(descriptor.floating_point_range) == (about.type in (int, float))
    rate = node.describe_parameter("grid.rate")
    assert (rate.integer_range[0].to_value, rate.floating_point_range[0].to_value) == (60, 60.0)
