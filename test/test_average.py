# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Answers averaged over the mirrored view: where each half asks, and what becomes of it."""

import time
from dataclasses import replace
from math import nan

import numpy as np
import pytest

from depthlm_ros.calibration import Calibration
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines import Reply
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import CheckpointError, EngineError, InputError
from depthlm_ros.predict import AskingPredictor, Status, choose_checkpoint
from depthlm_ros.question import MarkerStyle
from depthlm_ros.view import Frame, SharedFrame, unify_focal

CAMERA = Camera(160, 120, 100.0, 100.0, 75.0, 63.0)
LENS = replace(CAMERA, distortion="plumb_bob", coefficients=(-0.2, 0.05, 0.01, -0.02, 0.0))
NOISE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
MIRROR = {"marker": "mirror", "coordinates": "mirror"}
PIXELS = [(0, 0), (159, 119), (80, 60), (31.5, 97.25), (158.9, 3)]


def entry(**changes):
    given = {"focal_px": 150.0, "style": "marker", "grid_style": "coordinates", "average": MIRROR}
    wording = {"marker": "tags", "coordinates": "tags"}
    return Checkpoint("test", "", "qwen3_vl", wording=wording, **{**given, **changes})


def asking(answer, camera=CAMERA, kind=Frame, **changes):
    """(predictor, frame) of an answer (view, pixel)."""
    return AskingPredictor(ScriptedEngine(answer), entry(**changes)), kind(NOISE, camera)


@pytest.mark.parametrize("style", ["marker", "coordinates"])
@pytest.mark.parametrize("camera", [CAMERA, LENS], ids=["pinhole", "lens"])
@pytest.mark.parametrize("largest", [(1400, 1200), (100, 80)], ids=["whole", "windows"])
def test_both_halves_ask_about_the_same_place_of_the_image(style, camera, largest):
    """The colours around the asked pixel are those around its mirror, in every window."""
    seen = {False: [], True: []}

    def answer(view, pixel):
        u, v = (int(c) for c in np.clip(pixel, 0, (view.camera.width - 1, view.camera.height - 1)))
        seen[view.is_mirrored].append(view.image[v, u].tolist())
        return 2.0

    predictor, frame = asking(answer, camera, largest_view=largest)
    ranges = predictor.ranges(frame, PIXELS, style=style)
    assert np.isfinite(ranges.distance_m).all()
    assert len(seen[False]) == len(PIXELS) and sorted(seen[False]) == sorted(seen[True])
    assert np.allclose(camera.pixels(ranges.points), ranges.asked, atol=0.02)


def test_the_mean_is_that_of_logarithms_of_value_and_quantiles():
    replies = {
        False: Reply(2.0, "", 2.5, 2.5, 1.0, 3.0),
        True: Reply(8.0, "", 10.0, 9.0, 4.0, 27.0),
    }
    predictor, frame = asking(None)
    predictor.engine.step = lambda batch: [replies[scene.view.is_mirrored] for scene, _ in batch]
    job = predictor.start(frame, [(80, 60)])
    ranges = job.wait()
    assert [ranges.distance_m[0], ranges.lower_m[0], ranges.upper_m[0]] == pytest.approx(
        [4.0, 2.0, 9.0]
    )
    assert job.snapshot("median").distance_m[0] == pytest.approx(5.0)


def test_both_halves_share_a_step_and_a_pixel_counts_once():
    predictor, frame = asking(lambda view, pixel: 2.0)
    job = predictor.start(frame, [(80, 60), (20, 30)])
    assert (job.total, job.done) == (2, 0)
    predictor.run_once()
    assert predictor.stats().batch_size == 4
    assert (job.done, job.finished) == (2, True)


@pytest.mark.parametrize("lost", [False, True])
def test_a_half_without_a_number_is_a_pixel_without_one(lost):
    predictor, frame = asking(lambda view, pixel: nan if view.is_mirrored is lost else 2.0)
    ranges = predictor.ranges(frame, [(80, 60)])
    assert ranges.status.tolist() == [Status.NO_NUMBER]
    assert np.isnan([ranges.distance_m[0], ranges.lower_m[0], ranges.points[0, 2]]).all()


@pytest.mark.parametrize(
    ("end", "status"), [("cancel", Status.CANCELLED), ("expire", Status.TIMED_OUT)]
)
def test_what_only_one_half_has_answered_is_not_an_answer(end, status):
    predictor, frame = asking(lambda view, pixel: 2.0)
    predictor.engine.room = lambda scene, seconds: 3
    job = predictor.start(frame, [(40, 60), (80, 60), (20, 30), (90, 30)])
    predictor.run_once()  # three of the first half
    assert job.done == 0
    predictor.run_once()  # and of the second
    assert job.done == 3
    getattr(job, end)()
    ranges = job.wait()
    assert ranges.status.tolist() == [Status.OK] * 3 + [status]
    assert np.isfinite(ranges.distance_m).tolist() == [True] * 3 + [False]


def test_a_deadline_ends_both_halves():
    predictor, frame = asking(lambda view, pixel: 2.0)
    job = predictor.start(frame, [(80, 60)], deadline=time.monotonic() - 1)
    assert job.wait().status.tolist() == [Status.TIMED_OUT] and job.finished


def test_a_half_that_fails_is_an_error():
    predictor, frame = asking(lambda view, pixel: 1 / 0 if view.is_mirrored else 2.0)
    with pytest.raises(EngineError, match="ZeroDivisionError"):
        predictor.ranges(frame, [(80, 60)])


def test_scenes_of_a_shared_frame_are_not_mixed_up():
    predictor, frame = asking(
        lambda view, pixel: 8.0 if view.is_mirrored else 2.0, kind=SharedFrame
    )
    jobs = [predictor.start(frame, [(80, 60)]) for _ in range(2)]
    assert [job.wait().distance_m[0] for job in jobs] == pytest.approx([4.0, 4.0])


def test_the_arrow_stands_left_of_the_pixel_in_both_and_is_askable_in_both():
    view = unify_focal(Frame(NOISE, CAMERA), 150.0)
    width = view.camera.width
    style = MarkerStyle(scale=3)
    places = np.stack([np.arange(width), np.full(width, 60)], axis=1)
    turned = np.stack([width - 1 - places[:, 0], places[:, 1]], axis=1)
    assert np.array_equal(style.can_ask(view, places), style.can_ask(view.mirrored(), turned))
    drawn = style.drawn(view.mirrored(), (60, 60))
    assert np.abs(drawn.astype(int) - view.mirrored().image).any(axis=2)[:, :60].any()
    assert np.array_equal(drawn[:, 60:], view.mirrored().image[:, 60:])


def test_a_mirrored_view_finds_pixels_of_the_frame():
    view = unify_focal(Frame(NOISE, CAMERA), 150.0)
    other = view.mirrored()
    pixels = np.random.default_rng(1).uniform(0, 119, (50, 2))
    u, v = view.to_view(pixels).T
    assert np.array_equal(
        other.image[other.to_view(pixels)[:, 1], other.to_view(pixels)[:, 0]], view.image[v, u]
    )
    assert np.allclose(other.to_frame(other.to_view(pixels)), view.to_frame(view.to_view(pixels)))
    assert np.allclose(
        other.content(pixels)[:, 0], view.camera.width - 1 - view.content(pixels)[:, 0]
    )


def test_a_calibration_holds_for_what_it_was_fitted_on_alone():
    fits = {"marker": Calibration(0.1), "marker+mirror": Calibration(0.3)}
    plain = entry(average={}, calibration=fits)
    frame, widths = Frame(NOISE, CAMERA), []
    for checkpoint in (plain, choose_checkpoint(plain, average="mirror")):
        ranges = AskingPredictor(ScriptedEngine(2.0), checkpoint).ranges(frame, [(80, 60)])
        widths.append(np.log(ranges.upper_m[0] / ranges.lower_m[0]))
    assert np.diff(widths)[0] == pytest.approx(0.4)
    alone = choose_checkpoint(entry(average={}, calibration={"marker": Calibration(0.1)}))
    assert alone.is_calibrated("marker")
    assert not choose_checkpoint(alone, average="mirror").is_calibrated("marker")


def test_an_entry_says_what_is_averaged_and_a_user_has_the_last_word():
    own = entry(average={"coordinates": "mirror"})
    assert [choose_checkpoint(own).average_of(s) for s in MIRROR] == ["", "mirror"]
    assert choose_checkpoint(own, average="none").average == {}
    assert choose_checkpoint(own, average="mirror").average == MIRROR
    with pytest.raises(InputError):
        choose_checkpoint(own, average="flip")


@pytest.mark.parametrize(
    "changes",
    [
        {"average": {"marker": "flip"}},
        {"average": {"position": "mirror"}},
        {"calibration": {"marker+flip": Calibration(0.1)}},
        {"calibration": {"position+mirror": Calibration(0.1)}},
        {"calibration": {"marker+mirror": Calibration(0.1, kind="z")}},
    ],
    ids=str,
)
def test_an_impossible_average_is_refused(changes):
    with pytest.raises(CheckpointError):
        entry(**changes)
