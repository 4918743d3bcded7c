# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Pixels looked up in maps: where they are, how sure, and what becomes of them in every case."""

import shutil
import time
from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from testing.tiny_models import add_head

from depthlm_ros.calibration import Calibration
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import from_folder
from depthlm_ros.dense.head import DepthMap, HeadSpec, Tap
from depthlm_ros.errors import CameraError, EngineError, UnsupportedError
from depthlm_ros.models.vision import Preparer
from depthlm_ros.predict import load_predictor
from depthlm_ros.ranges import Status
from depthlm_ros.scan import grid_pixels
from depthlm_ros.view import Frame, SharedFrame

SPEC = HeadSpec(
    "light", (Tap("vision", 0), Tap("deepstack", 0), Tap("text", -1)), (8, 6, 4), uncertainty=True
)
LENS = ("plumb_bob", (-0.2, 0.05, 0.001, -0.002, 0.0))


@pytest.fixture(scope="module")
def folder(checkpoints, tmp_path_factory):
    """A tiny model with a random head, whose points are asked by coordinates."""
    made = tmp_path_factory.mktemp("dense") / "with_head"
    shutil.copytree(checkpoints("qwen3_vl").model, made)
    row = replace(checkpoints("qwen3_vl"), model=str(made), style="coordinates")
    add_head(row, SPEC)
    return made


@pytest.fixture(scope="module")
def shared_predictor(folder):
    return load_predictor(str(folder), device="cpu", check="off", warm_up=False)


@pytest.fixture
def predictor(shared_predictor):
    """With its own head and entry again after each test."""
    head, entry = shared_predictor.engine.model.head, shared_predictor.checkpoint
    yield shared_predictor
    shared_predictor.engine.model.head = head
    shared_predictor.checkpoint = entry


class HeadOf(torch.nn.Module):
    """In place of a head: metres_of(image (1, 3, H, W), size) -> metres (1, h, w)."""

    def __init__(self, metres_of, log_scale=None):
        super().__init__()
        self.metres_of, self.log_scale = metres_of, log_scale

    def forward(self, features, image, size):
        metres = self.metres_of(image, size)
        scale = None if self.log_scale is None else torch.full_like(metres, self.log_scale)
        return DepthMap(metres, scale, is_log=False)


def with_head(predictor, metres_of, log_scale=None, **changes):
    predictor.engine.model.head = HeadOf(metres_of, log_scale)
    predictor.checkpoint = replace(predictor.checkpoint, **changes)
    return predictor


def frame_of(width=96, height=64, focal=100.0, kind=SharedFrame, seed=0, lens=(), **image):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    camera = Camera(width, height, focal, focal, width / 2 - 3, height / 2 + 2, *lens)
    return kind(image.get("image", noise), camera)


def axis_of(axis, sizes):
    """metres_of: 10 m and the place along an axis, in entries; keeps the map's size."""

    def metres_of(_, size):
        sizes.append(size)
        rows, columns = torch.meshgrid(*map(torch.arange, size), indexing="ij")
        return 10.0 + (rows, columns)[axis][None].float()

    return metres_of


CAMERAS = {
    "as it is": {},
    "another focal length": {"focal": 140.0},
    "a view in windows": {"focal": 40.0},
    "a lens": {"lens": ("plumb_bob", (-0.3, 0.05, 0.001, 0.0))},
    "a lens without rays in the corners": {"lens": ("plumb_bob", (-1.6, 0.0, 0.0, 0.0))},
    "as it was": {},
}


def test_what_is_kept_of_a_grid_holds_for_its_camera_alone(predictor):
    """The array is the same each time: rays and places in the view are those of the frame."""
    predictor.checkpoint = replace(predictor.checkpoint, largest_view=(200, 140))
    grid, known = grid_pixels(frame_of().camera, 24, 16), set()
    for name, changes in CAMERAS.items():
        frame = frame_of(**changes)
        assert grid_pixels(frame.camera, 24, 16) is grid
        found = predictor.ranges(frame, grid, style="dense")
        expected = predictor.ranges(frame, grid.copy(), style="dense")
        for field in fields(found):
            values = getattr(found, field.name), getattr(expected, field.name)
            assert np.array_equal(*values, equal_nan=True), (name, field.name)
        known.add(np.isfinite(found.distance_m).sum())
    assert len(known) == 2 and max(known) == 24 * 16


def test_a_grid_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        grid_pixels(frame_of().camera, 24, 16)[0] = 1


@pytest.mark.parametrize(
    ("style", "owner", "name"),
    [
        ("dense", torch.nn.functional, "grid_sample"),
        ("dense", Preparer, "prepare"),
        ("coordinates", Preparer, "prepare"),
    ],
)
def test_a_small_model_takes_one_thread_also_before_and_behind_it(
    predictor, monkeypatch, style, owner, name
):
    """A second one would go on looking for work and take a processor from the rest of a node."""
    counts, function = set(), getattr(owner, name)

    def counted(*args, **kwargs):
        counts.add(torch.get_num_threads())
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        frame = frame_of()
        predictor.ranges(frame, grid_pixels(frame.camera, 2, 1), style=style)
        assert counts == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("focal", [100.0, 73.0, 190.0])
def test_a_pixel_reads_the_entry_that_shows_it(predictor, focal):
    """A head that returns its own coordinates: the middle of frame pixel u is at (u + 1/2) w / W -
    1/2 of a map of w columns, to 1/1000 of an entry; half a pixel off shows at every size."""
    frame = frame_of(210, 150, focal)
    pixels = np.random.default_rng(1).uniform((8, 8), (200, 140), (200, 2))
    pixels[:4] = [(5, 6), (200.25, 100), (100, 9.75), (104.5, 74.5)]
    for axis, of_pixel in ((0, 1), (1, 0)):
        sizes = []
        with_head(predictor, axis_of(axis, sizes))
        ranges = predictor.ranges(frame_of(210, 150, focal), pixels, style="dense")
        length = sizes[0][axis]
        side = (frame.camera.height, frame.camera.width)[axis]
        expected = 10 + (pixels[:, of_pixel] + 0.5) * length / side - 0.5
        assert np.allclose(ranges.distance_m, expected, atol=1e-3)
        assert np.array_equal(ranges.asked, pixels) and not ranges.status.any()


def ramp(width, height, axis):
    """An image whose grey is its column, or row."""
    grey = np.arange((width, height)[axis], dtype=np.uint8)
    plane = np.broadcast_to(grey if axis == 0 else grey[:, None], (height, width))
    return np.repeat(plane[..., None], 3, axis=2).copy()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("focal", "largest"), [(60.0, (1400, 1200)), (60.0, (112, 96)), (170.0, (64, 48))]
)
def test_the_content_of_an_image_is_found_where_it_is(predictor, axis, focal, largest):
    """Through resize, windows and the processor: a head that returns the colour that it sees reads
    the ramp off again, without a shift (half a pixel of the frame would be 0.5)."""
    frame = frame_of(150, 110, focal, image=ramp(150, 110, axis))
    with_head(predictor, lambda image, size: 1 + image[:, 0] * 255, largest_view=largest)
    found = predictor.map(frame).distance_m - 1
    inner = found[8:-8, 8:-8]
    expected = ramp(150, 110, axis)[8:-8, 8:-8, 0]
    assert abs(np.mean(inner - expected)) < 0.06
    assert np.abs(inner - expected).max() < 1.0


@pytest.mark.parametrize("kind", ["distance", "z"])
def test_a_point_lies_on_the_ray_of_its_pixel_through_any_lens(predictor, kind):
    frame = frame_of(120, 90, 80.0, lens=LENS)
    pixels = np.array([(2, 3), (117.5, 88), (60, 45), (0, 89)], float)
    predictor.checkpoint = replace(
        predictor.checkpoint, head=replace(predictor.checkpoint.head, kind=kind)
    )
    ranges = with_head(predictor, lambda _, size: torch.full((1, *size), 4.0)).ranges(
        frame, pixels, style="dense"
    )
    assert np.allclose(frame.camera.pixels(ranges.points), pixels, atol=1e-6)
    found = ranges.z_m if kind == "z" else ranges.distance_m
    other = ranges.distance_m if kind == "z" else ranges.z_m
    assert np.allclose(found, 4.0) and not np.allclose(other, 4.0, atol=0.05)
    assert np.allclose(np.linalg.norm(ranges.points, axis=1), ranges.distance_m)


def test_the_map_holds_what_pixels_are_answered_one_by_one(predictor):
    frame = frame_of(120, 90, 80.0, lens=LENS)
    found = predictor.map(frame)
    assert found.camera == frame.camera and found.distance_m.shape == (90, 120)
    v, u = np.mgrid[:90, :120]
    ranges = predictor.ranges(frame, np.stack([u.ravel(), v.ravel()], 1), style="dense")
    assert ranges.distance_m.std() > 0.01
    for of_map, of_pixels in (
        (found.distance_m, ranges.distance_m),
        (found.lower_m, ranges.lower_m),
        (found.upper_m, ranges.upper_m),
        (found.stddev_m, ranges.stddev_m),
        (found.z_m, ranges.z_m),
    ):
        assert np.allclose(of_map.ravel(), of_pixels, rtol=1e-5)
    assert np.allclose(found.points.reshape(-1, 3), ranges.points, rtol=1e-5, atol=1e-5)


def test_windows_are_blended_without_a_seam(predictor):
    """Each window has another constant: what lies between changes little by little."""
    count = []
    with_head(
        predictor,
        lambda _, size: (count.append(1), torch.full((1, *size), 1.0 + len(count)))[1],
        largest_view=(96, 96),
    )
    found = predictor.map(frame_of(200, 80, 100.0)).distance_m
    assert len(count) == 3
    assert np.allclose(found[:, :30], 2.0) and np.allclose(found[:, -30:], 4.0)
    steps = np.diff(found, axis=1)
    assert steps.min() >= -1e-5 and steps.max() < 0.1


def test_only_windows_that_hold_a_pixel_are_computed(predictor):
    count = []
    with_head(
        predictor,
        lambda _, size: (count.append(1), torch.full((1, *size), 3.0))[1],
        largest_view=(96, 96),
    )
    job = predictor.start(frame_of(200, 80, 100.0), [(3, 4), (5, 6), (500, 4)], style="dense")
    assert (job.total, job.done) == (2, 0)
    ranges = job.wait()
    assert len(count) == 1 and (job.total, job.done) == (2, 2)
    assert [Status(s).name for s in ranges.status] == ["OK", "OK", "OUTSIDE"]


def test_a_hole_in_a_map_is_a_hole_in_exactly_its_pixels(predictor):
    holes = [(0, 0), (30, 40), (31, 40), (47, 95)]

    def metres_of(image, size):
        metres = torch.full((1, *size), 5.0)
        for row, column in holes:
            metres[0, row, column] = torch.nan
        return metres

    frame = frame_of(96, 48, 100.0)
    found = with_head(predictor, metres_of, log_scale=-2.0).map(frame)
    missing = {(int(v), int(u)) for v, u in np.argwhere(~np.isfinite(found.distance_m))}
    assert missing == set(holes)
    assert np.allclose(found.distance_m[np.isfinite(found.distance_m)], 5.0)
    assert np.array_equal(np.isnan(found.lower_m), np.isnan(found.distance_m))
    ranges = predictor.ranges(frame, [(40, 30), (41, 30), (np.nan, 3)], style="dense")
    assert [Status(s).name for s in ranges.status] == ["NO_NUMBER", "OK", "INVALID"]


def test_a_hole_in_a_coarser_map_is_as_large_as_its_entry(predictor):
    def metres_of(image, size):
        metres = torch.full((1, *size), 5.0)
        metres[0, 10, 20] = torch.inf
        return metres

    frame = frame_of(192, 96, 200.0)  # twice the model's focal length
    found = with_head(predictor, metres_of).map(frame).distance_m
    assert {(int(v), int(u)) for v, u in np.argwhere(~np.isfinite(found))} == {
        (v, u) for v in (20, 21) for u in (40, 41)
    }


def test_intervals_are_those_of_the_heads_laplace_distribution(predictor):
    b = 0.2
    with_head(predictor, lambda _, size: torch.full((1, *size), 4.0), log_scale=float(np.log(b)))
    ranges = predictor.ranges(frame_of(), [(40, 30)], style="dense")
    quantile = b * np.log(10)  # 5 % of exp(-|x| / b) / 2b lie beyond
    assert np.isclose(ranges.lower_m[0], 4 * np.exp(-quantile), rtol=1e-5)
    assert np.isclose(ranges.upper_m[0], 4 * np.exp(quantile), rtol=1e-5)
    fit = Calibration(widening=0.3, kind="distance")
    predictor.checkpoint = replace(predictor.checkpoint, calibration={"dense": fit})
    wider = predictor.ranges(frame_of(), [(40, 30)], style="dense")
    assert np.isclose(np.log(wider.upper_m[0] / 4), quantile + 0.3, rtol=1e-5)
    assert predictor.checkpoint.is_calibrated("dense")


MIRROR = {"average": {"dense": "mirror"}}


@pytest.mark.parametrize("largest", [(1400, 1200), (96, 96)], ids=["whole", "windows"])
def test_the_mirrored_half_of_a_map_shows_the_same_places(predictor, largest):
    """A head that tells the colour that it sees: averaged over both halves nothing moves."""
    frame = frame_of(150, 110, 100.0, image=ramp(150, 110, 0), lens=LENS)
    with_head(predictor, lambda image, size: 1 + image[:, 0] * 255, largest_view=largest, **MIRROR)
    pixels = np.random.default_rng(2).uniform(8, 100, (200, 2))
    columns = predictor.ranges(frame, pixels, style="dense").distance_m - 1
    assert (
        np.abs(columns - pixels[:, 0]).max() < 1.0 and abs(np.mean(columns - pixels[:, 0])) < 0.06
    )
    whole = predictor.map(frame).distance_m - 1
    assert np.abs(whole[8:-8, 8:-8] - ramp(150, 110, 0)[8:-8, 8:-8, 0]).max() < 1.0


def test_both_halves_of_a_map_count_alike_and_a_hole_in_one_is_a_hole(predictor):
    def tell(image, size):
        """2 m in the first view, 8 m in the other, whose columns 10 to 15 it does not know."""
        halves.append(1)
        metres = torch.full((1, *size), 2.0 if len(halves) % 2 else 8.0)
        metres[0, :, 10:16] = torch.nan if len(halves) % 2 == 0 else 2.0
        return metres

    halves, frame = [], frame_of(kind=Frame)
    with_head(predictor, tell, log_scale=-1.0, **MIRROR)
    holes = [(96 - 1 - 12, 30), (12, 30)]
    job = predictor.start(frame, holes, style="dense")
    ranges = job.wait()
    assert (job.total, job.done, len(halves)) == (2, 2, 2)
    assert [Status(s).name for s in ranges.status] == ["NO_NUMBER", "OK"]
    assert ranges.distance_m[1] == pytest.approx(4.0, rel=1e-5)
    width = np.log(ranges.upper_m[1] / ranges.lower_m[1])
    assert width == pytest.approx(2 * np.exp(-1) * np.log(10), rel=1e-5)


def test_a_map_whose_mirrored_half_is_missing_is_no_map(predictor):
    predictor.checkpoint = replace(predictor.checkpoint, **MIRROR)
    job = predictor.start(frame_of(), [(40, 30)], style="dense")
    predictor.run_once()
    assert not job.finished and job.done == 0
    job.cancel()
    ranges = job.wait()
    assert ranges.status.tolist() == [Status.CANCELLED] and np.isnan(ranges.distance_m).all()


def test_wide_intervals_are_uncertain_in_pixels_and_maps(predictor):
    def tell(image, size):
        return torch.full((1, *size), 4.0)

    fit = Calibration(0.0, unknown_ratio=float(np.exp(2 * 0.2 * np.log(10)) * 1.01))
    for b, uncertain in ((0.2, False), (0.21, True)):
        with_head(predictor, tell, log_scale=float(np.log(b)), calibration={"dense": fit})
        assert predictor.ranges(frame_of(), [(40, 30)], style="dense").uncertain[0] == uncertain
        assert predictor.map(frame_of(seed=1)).uncertain.all() == uncertain
    with_head(predictor, tell, calibration={"dense": fit})  # without an interval
    assert not predictor.ranges(frame_of(), [(40, 30)], style="dense").uncertain[0]


def test_a_head_that_does_not_say_how_sure_it_is_gives_no_interval(predictor):
    with_head(predictor, lambda _, size: torch.full((1, *size), 4.0))
    ranges = predictor.ranges(frame_of(), [(40, 30)], style="dense")
    assert ranges.distance_m[0] == 4.0 and ranges.status[0] == Status.OK
    assert np.isnan([ranges.lower_m[0], ranges.upper_m[0], ranges.stddev_m[0]]).all()


def test_a_view_smaller_than_an_image_token_is_refused(predictor):
    for call in (predictor.map, lambda frame: predictor.ranges(frame, [(3, 3)], style="dense")):
        with pytest.raises(CameraError, match="style position"):
            call(frame_of(96, 64, 900.0))  # becomes 10 x 7, a token has 16
    assert predictor.map(frame_of(96, 96, 590.0)).distance_m.shape == (96, 96)  # 16 x 16


def test_cancelled_and_late_maps_say_so(predictor):
    frame, pixels = frame_of(), [(40, 30), (-1, 3)]
    job = predictor.start(frame, pixels, style="dense")
    job.cancel()
    cancelled = job.wait()
    assert [Status(s).name for s in cancelled.status] == ["CANCELLED", "OUTSIDE"]
    late = predictor.start(frame, pixels, style="dense", deadline=time.monotonic() - 1).wait()
    assert [Status(s).name for s in late.status] == ["TIMED_OUT", "OUTSIDE"]
    assert np.isnan(late.distance_m).all()
    assert predictor.ranges(frame, pixels, style="dense").status[0] == Status.OK


def test_a_question_goes_before_a_map_of_lower_priority(predictor):
    """In one of two turns at least: one step in five begins with the lowest priority."""
    turns = []
    for seed in (3, 4):
        ends = []
        grid = predictor.start(frame_of(seed=seed), [(40, 30)], style="dense", priority=-1)
        grid.add_done_callback(lambda job, ends=ends: ends.append("map"))
        question = predictor.start(frame_of(seed=seed + 10), [(40, 30)])
        question.add_done_callback(lambda job, ends=ends: ends.append("question"))
        question.wait()
        grid.wait()
        turns.append(ends)
    assert ["question", "map"] in turns


def test_what_a_head_raises_reaches_who_asked(predictor):
    def fail(image, size):
        raise RuntimeError("broken")

    with pytest.raises(EngineError):
        with_head(predictor, fail).ranges(frame_of(seed=9), [(40, 30)], style="dense")


@pytest.fixture
def forwards(predictor, monkeypatch):
    """How often an image is looked at, which the language model reads then."""
    count, tower = [], predictor.engine.loaded.tower
    see = tower.see
    monkeypatch.setattr(tower, "see", lambda images: count.append(1) or see(images))
    return count


@pytest.mark.parametrize("order", [("coordinates", "dense"), ("dense", "coordinates")])
def test_a_map_and_questions_about_one_image_take_one_forward(predictor, forwards, order):
    frame = frame_of(seed=11)
    pixels = [(40, 30), (20, 20)]
    for style in order:
        predictor.ranges(frame, pixels, style=style)
    predictor.map(frame)
    predictor.ranges(frame, pixels[:1])
    assert len(forwards) == 1
    copied = Frame(frame.image, frame.camera)  # may change at any time
    for style in order:
        predictor.ranges(copied, pixels, style=style)
    assert len(forwards) == 3


@pytest.mark.parametrize("first", ["coordinates", "dense"])
def test_shared_or_not_the_answers_are_the_same(predictor, first):
    frame = frame_of(seed=12)
    alone = Frame(frame.image, frame.camera)
    pixels = [(40, 30), (20, 20)]
    predictor.ranges(frame, pixels, style=first)
    for style in ("coordinates", "dense"):
        found = predictor.ranges(frame, pixels, style=style)
        expected = predictor.ranges(alone, pixels, style=style)
        same = np.allclose(found.distance_m, expected.distance_m, rtol=1e-4, equal_nan=True)
        assert same and (style == "coordinates" or np.isfinite(found.distance_m).all()), style


def test_questions_are_answered_as_without_a_head(predictor, checkpoints):
    plain = load_predictor(checkpoints("qwen3_vl"), device="cpu", check="off", warm_up=False)
    frame, pixels = frame_of(seed=4), [(40, 30), (20, 20), (60, 44)]
    for style in plain.checkpoint.styles:
        found = predictor.ranges(frame, pixels, style=style)
        expected = plain.ranges(frame, pixels, style=style)
        assert np.array_equal(found.distance_m, expected.distance_m, equal_nan=True), style
        assert np.array_equal(found.upper_m, expected.upper_m, equal_nan=True)


def test_engines_without_hidden_states_refuse_dense_and_ask_instead(folder, caplog):
    for engine in ("reference", "scripted"):
        with pytest.raises(UnsupportedError):
            load_predictor(str(folder), engine, grid_style="dense", warm_up=False)
    with caplog.at_level("WARNING"):
        asked = load_predictor(str(folder), "scripted")
        both = replace(from_folder(folder), style="dense")
        other = load_predictor(both, "scripted").checkpoint
    assert asked.checkpoint.grid_style == "position" and asked.checkpoint.style == "coordinates"
    assert (other.style, other.grid_style) == ("marker", "position")
    told = [record.getMessage().partition(" where ")[0] for record in caplog.records]
    assert told == ["grid.style is position", "style is marker and grid.style is position"]
    assert np.allclose(asked.ranges(frame_of(), [(40, 30)]).distance_m, 2.0)
    with pytest.raises(UnsupportedError):
        asked.ranges(frame_of(), [(40, 30)], style="dense")
    only = replace(from_folder(folder), wording={}, style="dense")
    with pytest.raises(UnsupportedError):
        load_predictor(only, "scripted")
