# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tasks about one image: their words, their exact answers, their judges."""

import re
from dataclasses import replace

import numpy as np
import pytest

from depthlm_ros.answer import FREE, parse
from depthlm_ros.errors import InputError, RecordError
from depthlm_ros.question import POINT, WORDINGS
from depthlm_ros.tasks import DEPTHLM_TASKS, TASKS, find_task
from depthlm_ros.view import unify_focal

SINGLE = ("distance", "axis", "speed", "time")


def of(task, record, row, style="marker", seed=0, **more):
    return TASKS[task].item(record, row, np.random.default_rng(seed), style, **more)


def point_of(item, record, points):
    """The 3-D point whose pixel the item asks about."""
    (view,) = item.views
    places = np.abs(view.to_view(record.pixels) - item.question.pixel).sum(axis=1)
    assert places.min() == 0
    return points[places.argmin()]


@pytest.mark.parametrize("style", ["marker", "coordinates", "position"])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("task", SINGLE)
def test_the_truth_is_the_points_own(records, row, points, task, which, style):
    """Whichever kind the record's label is of."""
    record = records[which]
    for seed in range(3):
        item = of(task, record, row, style, seed)
        point = point_of(item, record, points)
        far = np.linalg.norm(point)
        given = [float(n) for n in re.findall(r"(\d+\.\d)(?= seconds|m/s)", item.question.text)]
        expected = {"distance": far, "axis": point[2]} | {
            n: far / g for g in given for n in ("speed", "time")
        }
        assert item.truth == pytest.approx(expected[task], rel=1e-9)
        rounded = 1 if task in ("distance", "axis") else 2  # times, each to a hundredth
        assert parse(item.answer).metres == pytest.approx(item.truth, abs=0.00501 * rounded)


@pytest.mark.parametrize("task", ["speed", "time"])
def test_what_is_divided_in_the_sentence_is_what_it_says(records, row, task):
    """As in the paper's figure 6: 7.23 / 4.0 = 1.81 and 48.28 / 6.0 = 8.05."""
    said = [re.findall(r"\d+\.\d+", of(task, records[0], row, seed=s).answer) for s in range(100)]
    assert [result for *_, result in said] == [
        f"{float(d) / float(given):.2f}" for d, _, given, _ in said
    ]


def test_the_words_are_the_published_ones(records, row):
    """The wording and rounding of the paper's figure 6."""
    record = records[0]
    assert of("distance", record, row).question.text == WORDINGS["marker"]["tags"][0]
    assert of("axis", record, row).question.text == (
        "How far is this point from the camera in the forward backward direction?"
    )
    speed, time = of("speed", record, row), of("time", record, row)
    assert re.fullmatch(
        r"How many meters per second should we move in order to reach this point in exactly"
        r" \d+\.\d seconds\?",
        speed.question.text,
    )
    assert re.fullmatch(
        r"How many seconds do we need to reach this point if we move towards it with the speed"
        r" of \d+\.\dm/s\?",
        time.question.text,
    )
    assert re.fullmatch(
        r"The point is around (\d+\.\d\d) meters away\. Hence, the speed should be around \1 /"
        r" \d+\.\d = \d+\.\d\dm/s",
        speed.answer,
    )
    assert re.fullmatch(
        r"The point is around (\d+\.\d\d) meters away\. Hence, we need around \1 / \d+\.\d ="
        r" \d+\.\d\ds",
        time.answer,
    )
    assert speed.question.form is time.question.form is FREE


def test_a_style_names_the_point_in_its_own_way(records, row):
    for task in SINGLE[1:]:
        by = {name: of(task, records[0], row, name) for name in row.wording}
        assert by["position"].question.text == by["marker"].question.text + POINT
        x, y = re.search(r"coordinates \((\d+), (\d+)\)", by["coordinates"].question.text).groups()
        view, (u, v) = by["coordinates"].views[0], by["coordinates"].question.pixel
        assert (int(x), int(y)) == (
            round(u / view.camera.width * 2000),
            round(v / view.camera.height * 2000),
        )
        assert "{" not in by["coordinates"].question.text


def test_an_arrow_is_in_the_image_where_the_style_draws(records, row):
    for style, red in (("marker", 9 * 2**2), ("coordinates", 0), ("position", 0)):
        item = of("axis", records[0], row, style)
        (image,) = item.images
        assert (image == (255, 0, 0)).all(axis=2).sum() == red


@pytest.mark.parametrize("style", ["marker", "coordinates"])
@pytest.mark.parametrize("which", [0, 1])
def test_two_points_are_as_far_apart_as_they_are(records, row, points, which, style):
    """The truth is one of the distances between the points, and of those that are shown."""
    every = np.linalg.norm(points[:, None] - points[None], axis=2)
    for seed in (0, 1, 2, 4, 5):
        item = of("points", records[which], row, style, seed)
        first, second = np.argwhere(np.abs(every - item.truth) < 1e-9)[0]
        (view,) = item.views
        shown = view.to_view(records[which].pixels[[first, second]])
        if style == "coordinates":
            places = re.findall(r"\((\d+), (\d+)\)", item.question.text)
            asker = row.asker("coordinates")
            said = {(int(x), int(y)) for x, y in places}
            assert said == set(map(tuple, asker.normalised(view, shown).tolist()))
        else:
            assert item.question.text == "How far are these 2 points from each other?"
            red = (item.images[0] == (255, 0, 0)).all(axis=2)
            asker = row.asker("marker")
            painted = {tuple(p) for s in shown for p in asker.painted(s).tolist()}
            assert {(u, v) for v, u in np.argwhere(red).tolist()} == painted
        assert parse(item.answer).metres == pytest.approx(item.truth, abs=0.00501)


def test_arrows_that_would_cover_each_other_are_not_drawn(records, row):
    """With larger arrows more pairs of points are too close; by coordinates none is."""
    shy = []
    for scale in (1, 3):
        larger, refused = replace(row, marker_scale=scale), 0
        for seed in range(30):
            of("points", records[0], larger, "coordinates", seed)
            try:
                (image,) = of("points", records[0], larger, "marker", seed).images
                assert (image == (255, 0, 0)).all(axis=2).sum() == 2 * 9 * scale**2
            except RecordError as error:
                assert str(error).startswith(records[0].where)
                refused += 1
        shy.append(refused)
    assert 0 < shy[0] < shy[1] < 30


def test_two_points_cannot_be_asked_by_one_token(records, row):
    with pytest.raises(InputError, match=r"\bmarker\b.*\bcoordinates\b"):
        of("points", records[0], row, "position")


def test_only_points_that_can_be_asked_are(records, row):
    """A view so small that its margin leaves few of the points, or none."""
    record = records[0]

    def cut(width):
        def see(frame):
            return unify_focal(frame, 100.0).cropped(40, 25, width, 40)

        return see

    for seed in range(10):
        item = of("axis", record, row, "marker", seed, see=cut(60))
        assert item.style.can_ask(item.views[0], item.question.pixel)
    with pytest.raises(RecordError, match=r"r\.jsonl:1: .*\b1 .*\b12\b"):
        of("axis", record, row, "marker", see=cut(24))


def test_a_view_beyond_the_training_range_is_cut(records, row):
    item = of("axis", records[0], replace(row, largest_view=(60, 50)), "coordinates")
    camera = item.views[0].camera
    assert (camera.width, camera.height) == (60, 50)


def test_the_same_seed_asks_the_same_question(records, row):
    for task in DEPTHLM_TASKS[:5]:
        texts = [of(task.name, records[0], row, "coordinates", 3).question.text for _ in range(2)]
        assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<think> around 9 </think>\n\n<answer> 2.4 </answer>", (1, 1, 0.2, 0.4, 0.16)),
        ("2.5", (1, 0, 0.25, 0.5, 0.25)),
        ("around 1.00 / 2.0 = 4.00m/s", (1, 0, 1.0, 2.0, 4.0)),
        ("far away", (0, 0, np.nan, np.nan, np.nan)),
        ("-2.0", (0, 0, np.nan, np.nan, np.nan)),
    ],
)
def test_a_number_is_judged_by_the_published_measure(reply, expected):
    names = ("answered", "delta1", "abs_rel", "l1", "l2")
    for task in ("distance", "speed", "moved"):
        found = TASKS[task].judge(reply, 2.0)
        np.testing.assert_allclose([found[n] for n in names], expected, rtol=1e-9)


def test_a_task_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(InputError, match="'depth'.*distance, axis, speed"):
        find_task("depth")
