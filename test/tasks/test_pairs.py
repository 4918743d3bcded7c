# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tasks about two images: their words, their exact answers, their judges."""

import re

import numpy as np
import pytest

from depthlm_ros.answer import FREE, parse
from depthlm_ros.errors import RecordError
from depthlm_ros.tasks import TASKS, VLM3_TASKS
from depthlm_ros.view import unify_focal

MOVED = np.array([-0.6, 0.05, 0.8])  # see conftest.pose


def of(task, pair, row, seed=0, **more):
    return TASKS[task].item(pair, row, np.random.default_rng(seed), **more)


def numbers(text):
    return [float(n) for n in re.findall(r"[+-]?\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize("task", ["moved", "translation"])
def test_the_camera_has_moved_as_far_as_it_has(pairs, row, task):
    item = of(task, pairs[0], row)
    assert item.truth == pytest.approx(np.linalg.norm(MOVED))
    assert parse(item.answer).metres == pytest.approx(item.truth, abs=0.00501)
    assert item.question.form.is_number
    with pytest.raises(RecordError, match=r"p\.jsonl:2: .*\bmetric\b"):
        of(task, pairs[1], row)


def test_the_published_words_of_a_pose(pairs, row):
    """As in VLM3's sample_data/pose_labels.json, signs and decimals included."""
    answers = {task.name: of(task.name, pairs[0], row).answer for task in VLM3_TASKS[1:]}
    assert answers["orientation"] == "Yaw=+20.0°, Pitch=+5.0°, Roll=-8.0°"
    assert answers["direction"] == (
        "The camera moves left, forward, unit vector (-0.60, +0.05, +0.80)."
    )
    assert re.fullmatch(r"Rotation angle: 2\d\.\d degrees", answers["rotation"])
    assert answers["translation"] == "Translation distance: 1.00 meters"


def test_pose_questions_are_free_and_show_both_images(pairs, row):
    for name in ("rotation", "orientation", "direction", "correspondence"):
        item = of(name, pairs[0], row)
        assert item.question.form is FREE and item.style.name == "plain"
        assert [p.shape for p in item.images] == [(90, 118, 3)] * 2
        assert (item.images[0] != item.images[1]).any()


@pytest.mark.parametrize("task", ["rotation", "orientation", "direction", "correspondence"])
def test_the_answer_to_learn_is_judged_right_up_to_its_rounding(pairs, row, task):
    item = of(task, pairs[0], row)
    score = TASKS[task].judge(item.answer, item.truth)
    assert score["answered"] == 1
    assert score.get("error_deg", 0) < 0.5 and score.get("error_1000", 0) <= np.sqrt(0.5)


@pytest.mark.parametrize(
    ("task", "reply", "error_deg"),
    [
        ("rotation", "Rotation angle: 30.0 degrees", 30.0),
        ("orientation", "Yaw=+20.0°, Pitch=+5.0°, Roll=+22.0°", 30.0),
        ("orientation", "yaw = 20, pitch = 5, roll = -8", 0.0),
        ("direction", "left, unit vector (0.60, -0.05, -0.80).", 180.0),
        ("direction", "left, unit vector (-6.0, 0.5, 8.0).", 0.0),
        ("direction", "<think> (1, 0, 0) </think> unit vector (-0.60, 0.05, 0.80).", 0.0),
    ],
)
def test_a_pose_is_judged_by_the_angle_that_it_is_off(pairs, row, task, reply, error_deg):
    item = of(task, pairs[0], row)
    truth = 0.0 if task == "rotation" else item.truth
    found = TASKS[task].judge(reply, truth)
    assert found["error_deg"] == pytest.approx(error_deg, abs=1e-4)


@pytest.mark.parametrize("task", ["rotation", "orientation", "direction", "correspondence"])
def test_a_reply_without_an_answer_has_no_error_and_is_not_answered(pairs, row, task):
    truth = of(task, pairs[0], row).truth
    found = TASKS[task].judge("<think> 3, (1, 2) </think> I cannot say", truth)
    assert found.pop("answered") == 0
    assert all(np.isnan(error) for error in found.values())


def test_a_pixel_is_found_in_the_second_image(pairs, row):
    """The matches are projections of the same points, so both places must be one of them."""
    pair = pairs[0]
    places = [pixels / (130, 100) * 1000 for pixels in (pair.first, pair.second)]
    for seed in range(5):
        item = of("correspondence", pair, row, seed)
        assert item.question.text.startswith("Given these two images, what pixel in the second")
        asked, said = numbers(item.question.text)[:2], numbers(item.answer)
        number = np.abs(places[0] - asked).max(axis=1).argmin()
        # The view's size is truncated, so a thousandth of it is a little less than of the frame.
        np.testing.assert_allclose(asked, places[0][number], atol=10)
        np.testing.assert_allclose(said, places[1][number], atol=10)
        np.testing.assert_allclose(item.truth[:2], said, atol=0.5)


def test_the_error_of_a_correspondence_is_in_thousandths_and_in_pixels(row):
    truth = np.array([500.0, 250.0, 400.0, 200.0])
    found = TASKS["correspondence"].judge("It is at (530, 210).", truth)
    assert found["error_1000"] == pytest.approx(50)
    assert found["error_px"] == pytest.approx(np.hypot(30 * 0.4, 40 * 0.2))


def test_matches_outside_a_cut_view_are_not_asked(pairs, row):
    def see(frame):
        return unify_focal(frame, 100.0).cropped(0, 0, 8, 8)

    with pytest.raises(RecordError, match=r"p\.jsonl:1: .*\d"):
        of("correspondence", pairs[0], row, see=see)
