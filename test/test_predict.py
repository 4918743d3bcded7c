# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Predictor and scan with the scripted engine: what becomes of each pixel."""

from math import nan

import numpy as np
import pytest

from depthlm_ros.calibration import Calibration
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines import Reply
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import EngineError, InputError
from depthlm_ros.predict import AskingPredictor, Status
from depthlm_ros.question import MarkerStyle
from depthlm_ros.scan import grid_pixels, scan
from depthlm_ros.view import Frame, unify_focal

CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
FRAME = Frame(np.zeros((480, 640, 3), np.uint8), CAMERA)


def row(**changes):
    wording = {"marker": "tags", "coordinates": "tags"}
    given = {"style": "marker", "grid_style": "coordinates", "wording": wording, **changes}
    return Checkpoint("test", "", "qwen3_vl", given.pop("focal_px", 1000.0), **given)


def predictor(answer=lambda view, pixel: 2.0, **changes):
    return AskingPredictor(ScriptedEngine(answer=answer), row(**changes))


def floor_distance(camera, pixels, height=1.5):
    """Metres along the rays to a floor below the camera, NaN above the horizon."""
    rays = camera.rays(pixels)
    return np.where(rays[:, 1] > 0.05, height / rays[:, 1], nan)


def test_every_row_says_what_became_of_its_pixel():
    pixels = [(320, 240), (nan, 1), (700, 20), (0, 0), (320, -1), (319.5, 239.5)]
    ranges = predictor().ranges(FRAME, pixels)
    names = [Status(s).name for s in ranges.status]
    assert names == ["OK", "INVALID", "OUTSIDE", "SNAPPED", "OUTSIDE", "OK"]
    assert np.isnan(ranges.distance_m[[1, 2, 4]]).all()
    assert np.isfinite(ranges.points[[0, 3, 5]]).all()


def test_a_snapped_pixel_names_the_pixel_that_was_asked():
    ranges = predictor().ranges(FRAME, [(0, 0), (639, 479)])
    # Five view pixels at twice the focal length are two and a half frame pixels.
    assert np.allclose(ranges.asked, [(2.75, 2.75), (637.25, 477.25)])


def test_coordinates_need_no_margin():
    ranges = predictor().ranges(FRAME, [(0, 0), (639, 479)], style="coordinates")
    assert (ranges.status == Status.OK).all()
    assert np.array_equal(ranges.asked, [(0, 0), (639, 479)])


def test_rows_answer_their_own_pixels():
    pixels = np.random.default_rng(0).uniform(20, 460, (100, 2)).round()
    ranges = predictor(lambda view, p: p[0] + p[1] / 1000).ranges(FRAME, pixels)
    assert np.allclose(ranges.distance_m, 2 * pixels[:, 0] + 2 * pixels[:, 1] / 1000)


@pytest.mark.parametrize("kind", ["distance", "z"])
def test_distance_and_z_differ_at_the_corner_by_the_ray(kind):
    ranges = predictor(kind=kind).ranges(FRAME, [(20, 20)])
    stretch = np.sqrt(1 + (299.5 / 500) ** 2 + (219.5 / 500) ** 2)
    expected = 2 * stretch if kind == "z" else 2.0
    assert ranges.distance_m[0] == pytest.approx(expected)
    assert ranges.z_m[0] == pytest.approx(expected / stretch)
    assert np.linalg.norm(ranges.points[0]) == pytest.approx(expected)
    assert ranges.points[0, 2] == pytest.approx(ranges.z_m[0])


def test_points_of_a_floor_lie_on_the_floor():
    def answer(view, pixel):
        return float(floor_distance(view.camera, pixel)[0])

    done = scan(predictor(answer), FRAME, 32, 24)
    y = done.points[..., 1]
    assert np.isfinite(y[13:]).all() and np.isnan(y[:12]).all()
    assert np.abs(y[14:] - 1.5).max() < 0.02 * 1.5


def test_a_reply_without_a_number_is_a_result():
    ranges = predictor(lambda view, p: nan).ranges(FRAME, [(320, 240)])
    assert ranges.status[0] == Status.NO_NUMBER and np.isnan(ranges.distance_m[0])


def test_a_failing_engine_is_an_error():
    with pytest.raises(EngineError, match="ZeroDivisionError"):
        predictor(lambda view, p: 1 / 0).ranges(FRAME, [(320, 240)])


def ask_freely(found):
    view, style = unify_focal(FRAME, 1000), found.checkpoint.asker("coordinates")
    found.ask([view], style, style.question(view, np.array([50, 40])))


@pytest.mark.parametrize(
    "ask",
    [
        lambda found: found.ranges(FRAME, [(320, 240)]),
        lambda found: scan(found, FRAME, 2, 2),
        ask_freely,
    ],
)
def test_questions_that_were_interrupted_are_asked_no_more(ask):
    found = predictor(interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask(found)
    found.engine.answer = lambda view, pixel: 2.0
    assert not found.run_once()


def interrupted(view, pixel):
    raise KeyboardInterrupt


def test_a_closed_predictor_says_so():
    found = predictor()
    found.close()
    with pytest.raises(EngineError, match="closed"):
        found.ranges(FRAME, [(320, 240)])


@pytest.mark.parametrize("image", ["a.png", FRAME.image])
def test_what_is_no_frame_is_an_error_of_the_input(image):
    with pytest.raises(InputError, match=r"Frame\(image, camera\)"):
        predictor().ranges(image, [(320, 240)])


def test_a_window_that_does_not_open_takes_the_others_back():
    asking, opened = predictor(focal_px=4000.0), []
    open_scene = asking.engine.open

    def second_fails(images, style):
        if opened:
            raise EngineError("no room")
        opened.append(open_scene(images, style))
        return opened[0]

    asking.engine.open = second_fails
    with pytest.raises(EngineError, match="no room"):
        asking.start(FRAME, [(20, 20), (620, 460)])
    assert not asking.run_once()
    assert opened[0].view is None


def test_no_pixels_and_no_good_pixels_do_not_reach_the_engine():
    failing = predictor(lambda view, p: 1 / 0)
    assert len(failing.ranges(FRAME, [])) == 0
    assert failing.ranges(FRAME, [(-5, 0)]).status.tolist() == [Status.OUTSIDE]


def test_the_questions_of_a_scan_are_made_when_they_are_asked(monkeypatch):
    made = []
    questions = MarkerStyle.questions
    monkeypatch.setattr(
        MarkerStyle, "questions", lambda *args: made.extend(args[2]) or questions(*args)
    )
    asking = predictor()
    asking.engine.room = lambda scene, seconds: 10
    job = asking.start(FRAME, grid_pixels(FRAME.camera, 60, 50))
    assert job.total == 3000 and made == []
    asking.run_once()
    assert job.done == len(made) == 10


def test_cancelled_pixels_say_so():
    job = predictor().start(FRAME, [(320, 240)] * 3)
    job.cancel()
    assert (job.wait().status == Status.CANCELLED).all()


def test_a_view_beyond_the_training_range_is_cut_and_not_shrunk():
    seen = []

    def answer(view, pixel):
        seen.append((view.camera.width, view.camera.height, view.camera.fx))
        return float(floor_distance(view.camera, pixel)[0])

    ranges = predictor(answer, focal_px=3000.0).ranges(FRAME, [(40, 460), (320, 300), (600, 400)])
    assert all(w <= 1400 and h <= 1200 and fx == 3000.0 for w, h, fx in seen)
    assert np.abs(ranges.points[:, 1] - 1.5).max() < 0.01


def test_calibration_widens_the_quantiles_in_log_space():
    engine = ScriptedEngine()
    engine.step = lambda batch: [Reply(2.0, "2.00", lower=1.5, upper=3.0) for _ in batch]
    plain = AskingPredictor(engine, row()).ranges(FRAME, [(320, 240)])
    calibrated = row(calibration={"marker": Calibration(0.1)})
    wider = AskingPredictor(engine, calibrated).ranges(FRAME, [(320, 240)])
    assert wider.lower_m[0] == pytest.approx(plain.lower_m[0] / np.exp(0.1))
    assert wider.upper_m[0] == pytest.approx(plain.upper_m[0] * np.exp(0.1))
    assert plain.stddev_m[0] == pytest.approx(1.5 / 3.29)


def test_the_same_replies_can_be_read_greedily_and_by_their_median():
    engine = ScriptedEngine()
    engine.step = lambda batch: [Reply(2.0, "2.00", median=2.5), Reply(3.0, "3.00")]
    job = AskingPredictor(engine, row(report="median")).start(FRAME, [(320, 240), (100, 100)])
    assert job.wait().distance_m.tolist() == [2.5, 3.0]  # the second has no distribution
    assert job.snapshot("greedy").distance_m.tolist() == [2.0, 3.0]
    greedy = AskingPredictor(engine, row()).start(FRAME, [(320, 240), (100, 100)])
    assert greedy.wait().distance_m.tolist() == [2.0, 3.0]
    assert greedy.snapshot("median").distance_m.tolist() == [2.5, 3.0]


def test_a_grid_has_the_middles_of_equal_cells_row_by_row():
    pixels = grid_pixels(Camera(8, 4, 5.0, 5.0, 3.5, 1.5), 4, 2)
    assert pixels[:5].tolist() == [[0, 0], [2, 0], [4, 0], [6, 0], [0, 2]]


def test_a_scan_reports_progress_to_the_end():
    calls = []
    done = scan(predictor(), FRAME, 4, 3, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (12, 12) and done.points.shape == (3, 4, 3)
    assert done.colours.shape == (3, 4, 3)
