# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tasks about points of one image: distance, principal axis, speed, time, two points (DepthLM).

Ranges of the given seconds and speeds were not published; ours are 1.0 to 10.0.
"""

from dataclasses import replace

import numpy as np

from depthlm_ros.answer import FREE, AnswerForm
from depthlm_ros.errors import InputError, RecordError
from depthlm_ros.question import PlainStyle
from depthlm_ros.tasks.item import Item, judge_number, positive, view_with_points
from depthlm_ros.tasks.words import ANSWERS, NAMED_TWO, about

GIVEN = (1.0, 10.0)  # seconds, metres per second


class _PointTask:
    """One point, one number. kind: of the metres that its answer names, "" for the checkpoint's.

    A subclass gives the style with its words, the number, and the answer where its form does not
    render it.
    """

    pair = False
    kind = ""
    judge = staticmethod(judge_number)

    def item(self, record, checkpoint, rng, style="", see=None) -> Item:
        """A question about one point; see item.Task."""
        asker = checkpoint.asker(style)
        view, (row,) = view_with_points(record, checkpoint, asker, 1, rng, see)
        metres = positive(record.label_as(self.kind or checkpoint.kind)[row], record)
        asker, truth, answer = self._worded(asker, metres, rng)
        question = asker.question(view, view.to_view(record.pixels[row])[0])
        answer = answer or question.form.render(metres)
        truth = positive(truth, record)
        return Item(self.name, (view,), asker, question, answer, truth, record.where)


class Distance(_PointTask):
    """How far is it? In the checkpoint's own words and kind."""

    name = "distance"

    def _worded(self, asker, metres, rng):
        return asker, metres, ""


class Axis(_PointTask):
    """How far is it along the optical axis?"""

    name = "axis"
    kind = "z"

    def _worded(self, asker, metres, rng):
        words = about("axis", asker.name), AnswerForm(ANSWERS["axis"].text)
        return replace(asker, words=words), metres, ""


class Quotient(_PointTask):
    """speed: metres per second to be there in the given seconds; time: seconds at the given
    speed. The distance is said first, and as it is said, in two decimals, divided within the
    sentence (figure 6), which so is right by itself."""

    kind = "distance"

    def __init__(self, name):
        self.name = name

    def _worded(self, asker, metres, rng):
        given = round(rng.uniform(*GIVEN), 1)
        words = about(self.name, asker.name, given=f"{given:.1f}"), FREE
        d, by = f"{metres:.2f}", f"{given:.1f}"
        result = f"{float(d) / given:.2f}"
        answer = ANSWERS[self.name].text.format(d=d, given=by, result=result)
        return replace(asker, words=words), metres / given, answer


class Points:
    """How far are two points from each other? By two arrows or two pairs of coordinates."""

    name = "points"
    pair = False
    judge = staticmethod(judge_number)

    def item(self, record, checkpoint, rng, style="", see=None) -> Item:
        """A question about two points; InputError in position style, whose token is one."""
        asker = checkpoint.asker(style)
        if asker.name == "position":
            raise InputError(
                "position style points with one token and this question is about two points: ask"
                " by marker or coordinates"
            )
        view, rows = view_with_points(record, checkpoint, asker, 2, rng, see)
        metres = positive(apart(record, *rows), record)
        form, pixels = AnswerForm(ANSWERS["points"].text), view.to_view(record.pixels[rows])
        if np.abs(pixels[0] - pixels[1]).max() <= 2 * asker.margin:
            raise RecordError(f"{record.where}: the arrows of two of its points would overlap")
        asked = self._by_marker if asker.name == "marker" else self._by_coordinates
        view, asker, question = asked(asker, view, pixels, form)
        answer = form.render(metres)
        return Item(self.name, (view,), asker, question, answer, metres, record.where)

    def _by_marker(self, asker, view, pixels, form):
        """The first arrow is part of the image, the second is the style's."""
        asker = replace(asker, words=(about("points", "marker", NAMED_TWO), form))
        view = replace(view, image=asker.drawn(view, pixels[0]))
        return view, asker, asker.question(view, pixels[1])

    def _by_coordinates(self, asker, view, pixels, form):
        (x, y), (x2, y2) = asker.normalised(view, pixels).tolist()
        text = about("points", "coordinates", NAMED_TWO)
        text = text.format(x=x, y=y, x2=x2, y2=y2, range=asker.range)
        return view, PlainStyle(), PlainStyle.ask(text, form)


def apart(record, first, second) -> float:
    """Metres between two of a record's points."""
    rows = np.array([first, second])
    points = record.camera.rays(record.pixels[rows]) * record.label_as("distance")[rows, None]
    return float(np.linalg.norm(points[0] - points[1]))
