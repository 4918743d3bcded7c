# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Ways to point: the arrow's pixels, the wordings, rounding, borders."""

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from depthlm_ros.question import POINT, STYLES, CoordinateStyle, MarkerStyle, PositionStyle
from depthlm_ros.view import Frame, View

TAGS = (
    "Output the thinking process in <think> </think> and final answer (the meter number only,"
    " without the unit) in <answer> </answer> tags."
)


def view(width=100, height=80):
    image = np.full((height, width, 3), 7, np.uint8)
    camera = Camera(width, height, 1000, 1000, width / 2, height / 2)
    return View(image, camera, Frame(image, camera), (1.0, 1.0))


def test_the_arrow_is_nine_red_pixels_left_of_an_unpainted_target():
    drawn = MarkerStyle().drawn(view(), (50, 40))
    changed = np.argwhere((drawn != 7).any(axis=2))[:, ::-1]
    shaft = {(49, 40), (48, 40), (47, 40), (46, 40), (45, 40)}
    head = {(48, 39), (48, 41), (47, 38), (47, 42)}
    assert {tuple(pixel) for pixel in changed.tolist()} == shaft | head
    assert (drawn[tuple(changed.T[::-1])] == (255, 0, 0)).all()


def test_drawing_leaves_the_view_as_it_was():
    one = view()
    assert MarkerStyle().drawn(one, (50, 40)) is not one.image
    assert (one.image == 7).all()


@pytest.mark.parametrize(
    ("pixel", "askable"),
    [((5, 5), True), ((94, 74), True), ((4, 40), False), ((95, 40), False), ((50, 75), False)],
)
def test_an_arrow_needs_five_pixels_to_every_border(pixel, askable):
    """As published: 5 <= x < width - 5."""
    assert MarkerStyle().can_ask(view(), pixel) == askable


def test_many_pixels_are_judged_at_once():
    pixels = [(5, 5), (4, 5), (94, 74), (95, 74), (50, 75)]
    found = MarkerStyle().can_ask(view(), np.array(pixels))
    assert found.tolist() == [True, False, True, False, False]


def test_the_nearest_askable_pixel_is_the_clipped_one():
    assert MarkerStyle().nearest_askable(view(), (0, 79)) == (5, 74)
    assert MarkerStyle().nearest_askable(view(), (50, 40)) == (50, 40)


def test_an_arrow_too_near_the_border_is_refused_and_never_moved():
    with pytest.raises(InputError, match=r"\b5 px"):
        MarkerStyle().drawn(view(), (4, 40))


def test_a_view_without_room_for_an_arrow_is_refused():
    with pytest.raises(InputError, match="10 x 10"):
        MarkerStyle().nearest_askable(view(10, 10), (5, 5))
    assert MarkerStyle().nearest_askable(view(11, 11), (0, 0)) == (5, 5)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_an_arrow_of_any_scale_stays_inside_where_it_may_be_drawn(scale):
    style, one = MarkerStyle(scale=scale), view()
    for corner in ((0, 0), (99, 79), (0, 79), (99, 0)):
        pixel = style.nearest_askable(one, corner)
        u, v = style.painted(pixel).T
        assert u.min() >= 0 and v.min() >= 0 and u.max() < 100 and v.max() < 80
        assert len(set(zip(u, v, strict=True))) == 9 * scale**2
        assert style.drawn(one, pixel)[pixel[1], pixel[0]].tolist() == [7, 7, 7]


def test_the_marker_question_is_the_released_one():
    question = MarkerStyle().question(view(), (50, 40))
    assert question.text == (
        "Given this image, how far is the point pointed by the red arrow from the camera? " + TAGS
    )
    assert question.pixel == (50, 40)
    assert question.form.opening == "<think> The point is around "


def test_the_paper_wordings_can_be_asked_too():
    marker = MarkerStyle(wording="sentence").question(view(), (50, 40))
    assert marker.text == "How many meters is this point from the camera?"
    assert marker.form.opening == "The point is around "
    coordinates = CoordinateStyle(wording="meters").question(view(), (50, 40))
    assert coordinates.text == (
        "How far is the pixel at (1000, 1000) from the camera? Both x and y are normalized to"
        " between [0, 2000)."
    )
    assert coordinates.form.opening == ""


def test_the_coordinate_question_is_the_released_one():
    assert CoordinateStyle().question(view(), (50, 20)).text == (
        "Given this image, how far is the point at coordinates (1000, 500) from the camera? The"
        " coordinates are in normalised [0, 2000] format relative to image width and height. "
        + TAGS
    )


@pytest.mark.parametrize(("pixel", "x"), [(10, 16), (710, 1169), (0, 0), (1214, 1998)])
def test_coordinates_are_rounded_as_in_the_released_samples(pixel, x):
    """10 of 1215 is 16.46 and 710 of 1215 is 1168.72: rounded, not floored."""
    text = CoordinateStyle().question(view(1215, 920), (pixel, 488)).text
    assert f"({x}, 1061)" in text


def test_coordinates_reach_the_border():
    for pixel in ((0, 0), (99, 79)):
        assert CoordinateStyle().can_ask(view(), pixel)
    assert not CoordinateStyle().can_ask(view(), (-1, 0))
    assert not CoordinateStyle().can_ask(view(), (0, 82))


def test_a_position_question_ends_with_the_pointing_token_and_is_the_same_everywhere():
    texts = {PositionStyle().question(view(), pixel).text for pixel in ((0, 0), (50, 40))}
    assert texts == {"How many meters is this point from the camera?" + POINT}


@pytest.mark.parametrize(
    ("pixel", "place"),
    [((4.5, 4.5), (0, 0)), ((99, 79), (7.45, 9.45)), ((49.5, 39.5), (3.5, 4.5))],
)
def test_a_position_is_a_fraction_of_the_token_grid(pixel, place):
    """100 x 80 pixels on 10 x 8 tokens of ten pixels; the first token's middle is (4.5, 4.5)."""
    assert PositionStyle.place(view(), pixel, (8, 10)) == pytest.approx(place)


def test_only_the_marker_gives_every_question_an_image_of_its_own():
    assert {name for name, style in STYLES.items() if not style().shares_image} == {"marker"}
    one = view()
    assert CoordinateStyle().image(one, (3, 3)) is one.image
    assert PositionStyle().image(one, (3, 3)) is one.image
