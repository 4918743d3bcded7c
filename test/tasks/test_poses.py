# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Angles of poses against OpenCV's rotations and the published sample."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthlm_ros.tasks.poses import (
    angle_between,
    from_yaw_pitch_roll,
    recall_to,
    rotation_angle,
    yaw_pitch_roll,
)

ANGLE = st.floats(-179, 179)
VECTOR = st.tuples(*[st.floats(-5, 5)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3)


def by_opencv(yaw, pitch, roll):
    turns = np.radians([[0, yaw, 0], [pitch, 0, 0], [0, 0, roll]])
    about_y, about_x, about_z = (cv2.Rodrigues(turn)[0] for turn in turns)
    return about_y @ about_x @ about_z


@given(yaw=ANGLE, pitch=st.floats(-89, 89), roll=ANGLE)
def test_angles_make_opencvs_rotation_and_are_read_from_it(yaw, pitch, roll):
    rotation = by_opencv(yaw, pitch, roll)
    np.testing.assert_allclose(from_yaw_pitch_roll(yaw, pitch, roll), rotation, atol=1e-12)
    np.testing.assert_allclose(yaw_pitch_roll(rotation), (yaw, pitch, roll), atol=1e-6)


@pytest.mark.parametrize("pitch", [90, -90])
@given(yaw=ANGLE, roll=ANGLE)
def test_straight_up_or_down_the_angles_still_make_the_rotation(pitch, yaw, roll):
    rotation = by_opencv(yaw, pitch, roll)
    np.testing.assert_allclose(from_yaw_pitch_roll(*yaw_pitch_roll(rotation)), rotation, atol=1e-6)


@given(axis=VECTOR, angle=st.floats(0, 180))
def test_the_angle_is_that_of_the_turn_about_one_axis(axis, angle):
    rotation = cv2.Rodrigues(np.radians(angle) * np.array(axis) / np.linalg.norm(axis))[0]
    assert rotation_angle(rotation) == pytest.approx(angle, abs=1e-5)


def test_the_published_sample_agrees_with_itself():
    """VLM3's sample_data/pose_labels.json states all four of these."""
    rotation = from_yaw_pitch_roll(89.60077227075526, 2.598684372865458, 6.072327841623985)
    assert rotation_angle(rotation) == pytest.approx(89.6547345694857, abs=1e-5)


def test_positive_angles_turn_right_up_and_bank_right():
    forward, right = np.array([0, 0, 1]), np.array([1, 0, 0])
    assert (from_yaw_pitch_roll(10, 0, 0) @ forward)[0] > 0.1
    assert (from_yaw_pitch_roll(0, 10, 0) @ forward)[1] < -0.1  # y points down
    assert (from_yaw_pitch_roll(0, 0, 10) @ right)[1] > 0.1


@given(first=VECTOR, second=VECTOR)
def test_the_angle_between_vectors_obeys_the_cosine(first, second):
    angle = angle_between(first, second)
    norms = np.linalg.norm(first) * np.linalg.norm(second)
    assert np.cos(np.radians(angle)) == pytest.approx(np.dot(first, second) / norms, abs=1e-9)
    assert 0 <= angle <= 180


def test_a_vector_without_length_has_no_direction():
    assert np.isnan(angle_between((0, 0, 0), (1, 0, 0)))


def test_the_area_under_the_recall_is_its_mean_over_thresholds():
    errors = np.array([0.0, 3.0, 12.5, 29.9, 31.0, np.nan])
    thresholds = np.linspace(0, 30, 200_001)
    recall = np.mean([errors <= t for t in thresholds], axis=1).mean()
    assert recall_to(errors, 30).mean() == pytest.approx(recall, abs=1e-4)
