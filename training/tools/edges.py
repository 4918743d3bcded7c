# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a share of right pixels does not show of maps: blurred edges, the grid of tokens, and far
things placed too near.

    python -m training.tools.edges tiny --shards shards/heldout --count 60

Edges: pixels of the rise where the true distance jumps by more than a quarter between two flat
stretches; an edge whose rise is less than half of the true one counts as missed. Grid: how much
stronger waves of the length of an image token are than those of similar length, on average over
rows; 1 where there is no grid. Bias: the mean logarithm of the map over the truth, by true
distance. All in pixels of the view, which is cut to whole image tokens.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from depthlm_ros.cli.values import count
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.uncertainty import BINS_M
from depthlm_ros.predict import load_predictor
from depthlm_ros.view import Frame
from depthlm_ros.viz.tables import text_table
from training.data.examples import of_shot
from training.data.shards import Shards
from training.run.commands import errors_told, parser_of

STEP = np.log(1.25)  # of log metres, from which a jump is an edge
REACH = 16  # pixels on each side of an edge
FLAT = 0.05  # by which log metres may vary on a side
ENDS = 4  # pixels at the far ends of both sides, between whose medians a rise lies
BESIDE = (-4, -3, -2, 2, 3, 4)  # frequencies that a peak is compared with


class Edges(NamedTuple):
    """Of some maps. width_px: mean rise from 10 to 90 %; missed: share; count: of edges."""

    width_px: float
    missed: float
    count: int


def edges(pairs) -> Edges:
    """pairs: [(value, true) log metres (h, w)], compared along rows and columns."""
    widths, missed = [], 0
    for value, true in pairs:
        for one, other in ((value, true), (value.T, true.T)):
            for row, column in _jumps(other):
                width = rise(one[row, column - REACH + 1 : column + REACH + 1])
                step = other[row, column + 1] - other[row, column]
                if width is None or width.step / step < 0.5:
                    missed += 1
                else:
                    widths.append(width.pixels)
    count = len(widths) + missed
    return Edges(float(np.mean(widths)) if widths else np.nan, missed / max(count, 1), count)


class Rise(NamedTuple):
    """step: signed height; pixels: those between a tenth and nine tenths of it."""

    step: float
    pixels: int


def rise(profile: np.ndarray) -> Rise | None:
    """The rise within a profile of 2 x REACH values; None where it has none."""
    low, high = np.median(profile[:ENDS]), np.median(profile[-ENDS:])
    if not np.isfinite(profile).all() or low == high:
        return None
    share = (profile - low) / (high - low)
    return Rise(float(high - low), int(((share > 0.1) & (share < 0.9)).sum()))


def _jumps(true):
    """(row, column) left of every jump between stretches that are flat."""
    change = np.abs(np.diff(true, axis=1))
    for row, column in np.argwhere(change > STEP):
        left = true[row, max(column - REACH + 1, 0) : column + 1]
        right = true[row, column + 1 : column + REACH + 1]
        if min(len(left), len(right)) == REACH and max(np.ptp(left), np.ptp(right)) < FLAT:
            yield row, column


def grid_power(maps, period: int) -> float:
    """Mean amplitude at `period` pixels over that of the frequencies BESIDE, of log metres
    [(h, w)] along rows, each a whole number of periods and without its trend."""
    peaks, others = [], []
    for one in maps:
        count = one.shape[1] // period
        rows = one[np.isfinite(one).all(1), : count * period]
        if count < -2 * min(BESIDE) or not len(rows):
            continue
        place = np.arange(rows.shape[1])
        trend = np.polynomial.polynomial.polyfit(place, rows.T, 3)
        rest = rows - np.polynomial.polynomial.polyval(place, trend)
        power = np.abs(np.fft.rfft(rest * np.hanning(rows.shape[1]), axis=1)).mean(0)
        peaks.append(power[count])
        others.append(np.mean([power[count + k] for k in BESIDE]))
    return float(np.mean(peaks) / np.mean(others)) if peaks else np.nan


def bias(pairs) -> list:
    """[(bin, mean log of value over truth, pixels)] by true distance in metres."""
    value, true = (np.concatenate([one[i].ravel() for one in pairs]) for i in (0, 1))
    known = np.isfinite(value) & np.isfinite(true)
    off, metres = (value - true)[known], np.exp(true[known])
    found = []
    for low, high in pairwise(BINS_M):
        chosen = (metres > low) & (metres <= high)
        if chosen.any():
            found.append((f"{low:g} to {high:g} m", float(off[chosen].mean()), int(chosen.sum())))
    return found


def maps_of(predictor, shots, multiple):
    """(value, true) log metres of each shot's view, cut to multiples of `multiple` pixels."""
    checkpoint = predictor.checkpoint
    for shot in shots:
        view = checkpoint.view(shot.frame)
        sides = [s // multiple * multiple for s in (view.camera.width, view.camera.height)]
        if min(sides) < multiple:
            continue
        view = view.cropped(0, 0, *sides)
        value = predictor.map(Frame(view.image, view.camera)).distance_m
        v, u = np.mgrid[: sides[1], : sides[0]]
        true = of_shot(shot).metres(view, np.stack([u.ravel(), v.ravel()], 1))
        with np.errstate(invalid="ignore"):
            yield np.log(value), np.log(true).reshape(value.shape)


def main(arguments=None) -> None:
    """The command line."""
    parser = parser_of("training.tools.edges", __doc__)
    parser.add_argument("checkpoint", help="tiny, a folder, or a known name; with a dense head")
    parser.add_argument("--shards", required=True, help="folder of rendered images")
    parser.add_argument("--count", type=count, default=60)
    parser.add_argument("--token", type=count, default=32, help="pixels of an image token (32)")
    given = parser.parse_args(arguments)
    with errors_told("training.tools.edges"):
        if given.token < 8:
            raise InputError(f"--token is {given.token}, allowed: 8 pixels or more")
        shots = Shards(given.shards)
        some = (shots[i] for i in range(min(given.count, len(shots))))
        pairs = list(maps_of(load_predictor(given.checkpoint), some, given.token))
        if not pairs:
            raise InputError(
                f"no view of {given.shards} is {given.token} pixels wide and high (--token)"
            )
        print(report(pairs, given.token))


def report(pairs, token) -> str:
    """The measures of maps_of() in a table, what the truth itself has beside them."""
    true = [(one, one) for _, one in pairs]
    found, own = edges(pairs), edges(true)
    rows = [
        ("edge width, pixels", f"{found.width_px:.1f}", f"{own.width_px:.1f}"),
        ("edges missed", f"{found.missed:.2f}", f"of {found.count}"),
        *(
            (
                f"waves of {period} pixels",
                f"{grid_power([value for value, _ in pairs], period):.2f}",
                f"{grid_power([one for _, one in pairs], period):.2f}",
            )
            for period in (token, token // 2)
        ),
        *((f"bias {name}", f"{off:+.2f}", f"{count} pixels") for name, off, count in bias(pairs)),
    ]
    return text_table((f"{len(pairs)} maps", "map", "truth"), rows)


if __name__ == "__main__":
    main()
