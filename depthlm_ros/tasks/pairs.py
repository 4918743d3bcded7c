# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tasks about two images of one place: how the camera moved, and where a pixel went (VLM3).

Which components the words of a direction name was not published; ours names those of at least
0.2 (12 degrees).
"""

import re

import numpy as np

from depthlm_ros.answer import AnswerForm
from depthlm_ros.errors import RecordError
from depthlm_ros.question import PlainStyle
from depthlm_ros.tasks.item import Item, judge_number, positive, without_thinking
from depthlm_ros.tasks.poses import (
    angle_between,
    from_yaw_pitch_roll,
    rotation_angle,
    yaw_pitch_roll,
)
from depthlm_ros.tasks.words import ANSWERS, QUESTIONS

PLACES = 1000  # coordinates of a correspondence run from 0 to this (VLM3)
NAMED_FROM = 0.2
_SIDES = (("left", "right"), ("up", "down"), ("backward", "forward"))
_NUMBER = r"([+-]?\d+(?:\.\d+)?)"
_PLACE = re.compile(rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)")
_VECTOR = re.compile(rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)")
_ANGLES = re.compile(
    rf"yaw\s*=\s*{_NUMBER}.*pitch\s*=\s*{_NUMBER}.*roll\s*=\s*{_NUMBER}", re.IGNORECASE | re.DOTALL
)


class _PairTask:
    """A question in words alone. A subclass gives question, answer and truth."""

    pair = True

    def item(self, record, checkpoint, rng, style="", see=None) -> Item:
        """A question about two images; no style of pointing is used. See item.Task."""
        views = tuple(map(see or checkpoint.view, record.frames()))
        question, answer, truth = self._asked(record, views, rng)
        return Item(self.name, views, PlainStyle(), question, answer, truth, record.where)


class Moved(_PairTask):
    """Metres from camera to camera: "moved" in DepthLM's words, "translation" in VLM3's."""

    judge = staticmethod(judge_number)

    def __init__(self, name):
        self.name = name

    def _asked(self, record, views, rng):
        if not record.metric:
            raise RecordError(f"{record.where}: its translation is not in metres (metric: false)")
        metres = positive(np.linalg.norm(record.moved_m), record)
        form = AnswerForm(ANSWERS[self.name].text)
        return PlainStyle.ask(QUESTIONS[self.name].text, form), form.render(metres), metres


class Rotation(_PairTask):
    """The angle of the camera's rotation."""

    name = "rotation"

    def _asked(self, record, views, rng):
        angle = rotation_angle(record.rotation)
        answer = ANSWERS[self.name].text.format(angle=angle)
        return PlainStyle.ask(QUESTIONS[self.name].text), answer, angle

    def judge(self, reply, truth) -> dict:
        """error_deg: difference of the angles."""
        numbers = re.findall(_NUMBER, without_thinking(reply))
        return _angle(abs(float(numbers[-1]) - truth) if numbers else np.nan)


class Orientation(_PairTask):
    """Yaw, pitch and roll of the second camera seen from the first."""

    name = "orientation"

    def _asked(self, record, views, rng):
        turn = record.rotation.T
        said = dict(zip(("yaw", "pitch", "roll"), yaw_pitch_roll(turn), strict=True))
        answer = ANSWERS[self.name].text.format(**said)
        return PlainStyle.ask(QUESTIONS[self.name].text), answer, turn

    def judge(self, reply, truth) -> dict:
        """error_deg: the angle of the rotation between the two orientations."""
        found = _ANGLES.search(without_thinking(reply))
        if not found:
            return _angle(np.nan)
        return _angle(rotation_angle(from_yaw_pitch_roll(*map(float, found.groups())).T @ truth))


class Direction(_PairTask):
    """Which way the camera moved, as words and as a unit vector."""

    name = "direction"

    def _asked(self, record, views, rng):
        unit = record.moved_m / positive(np.linalg.norm(record.moved_m), record)
        words = ", ".join(
            sides[int(part > 0)]
            for sides, part in zip(_SIDES, unit, strict=True)
            if abs(part) >= NAMED_FROM
        )
        said = dict(zip("xyz", unit, strict=True), words=words)
        answer = ANSWERS[self.name].text.format(**said)
        return PlainStyle.ask(QUESTIONS[self.name].text), answer, unit

    def judge(self, reply, truth) -> dict:
        """error_deg: the angle between the directions, of the vector; the words do not count."""
        found = _VECTOR.findall(without_thinking(reply))
        return _angle(angle_between(list(map(float, found[-1])), truth) if found else np.nan)


class Correspondence(_PairTask):
    """Where is a pixel of the first image in the second? In thousandths of its size."""

    name = "correspondence"

    def _asked(self, record, views, rng):
        first, second = (
            _places(view, pixels)
            for view, pixels in zip(views, (record.first, record.second), strict=True)
        )
        seen = np.flatnonzero(_inside(first) & _inside(second))
        if not len(seen):
            raise RecordError(
                f"{record.where}: none of its {len(record)} matches is inside both views"
            )
        row = rng.choice(seen)
        question, answer = (
            words[self.name].text.replace("{x}", str(round(x))).replace("{y}", str(round(y)))
            for words, (x, y) in ((QUESTIONS, first[row]), (ANSWERS, second[row]))
        )
        size = views[1].camera.width, views[1].camera.height
        return PlainStyle.ask(question), answer, np.array([*second[row], *size])

    def judge(self, reply, truth) -> dict:
        """error_1000: in thousandths, as published; error_px: in pixels of the second view."""
        found = _PLACE.search(without_thinking(reply))
        off = np.array(found.groups(), float) - truth[:2] if found else np.full(2, np.nan)
        return {
            "answered": float(found is not None),
            "error_1000": float(np.linalg.norm(off)),
            "error_px": float(np.linalg.norm(off * truth[2:] / PLACES)),
        }


def _places(view, pixels) -> np.ndarray:
    """(N, 2) thousandths of the view's width and height of frame pixels (N, 2)."""
    size = np.array([view.camera.width, view.camera.height])
    return (pixels * view.scale - view.offset) / size * PLACES


def _inside(places) -> np.ndarray:
    return ((places >= 0) & (places <= PLACES)).all(axis=1)


def _angle(error_deg) -> dict:
    return {"answered": float(np.isfinite(error_deg)), "error_deg": float(error_deg)}
