# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The number that a model is about to say, read as a pruned tree of digit strings.

Somebody feeds the strings in `wanted` to a model and gives back what it found; the tree says what
is wanted next, and at the end the greedy string and the distribution. The trees of many rows grow
together, in arrays: a loop over their strings would keep a GPU waiting. The greedy path with its
marginals would be wrong by a factor of ten beside a carry (9.9 m: is it 9.x or 1y.z?), hence the
tree. An integer prefix is followed while it holds `eps` of the probability; a bin of decimals is
refined while it is wider than `rel` of its value; below that a bin counts as uniform inside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import nan

import numpy as np
from numpy.typing import ArrayLike

from depthlm_ros.answer import parse
from depthlm_ros.engines.engine import Reply
from depthlm_ros.errors import InputError

SYMBOLS = "0123456789."
DOT = 10
QUANTILES = 0.05, 0.5, 0.95
COVERED = 0.9  # statistics of less of the probability would be guesses


@dataclass(frozen=True)
class Grammar:
    """Numbers of at most integer_digits digits, a point and `decimals` digits, and the pruning."""

    integer_digits: int = 3
    decimals: int = 2
    eps: float = 0.005
    rel: float = 0.05

    def __post_init__(self) -> None:
        if self.integer_digits < 1 or self.decimals < 1:
            raise InputError(
                f"numbers of {self.integer_digits} integer digits and {self.decimals} decimals"
                " cannot be read: at least one of each is needed"
            )

    def metres(self, text: str) -> float:
        """The number that `text` begins with; NaN if there is none, or one that is too long."""
        found = re.match(rf"(\d+)(\.\d{{0,{self.decimals}}})?", text)
        if not found or len(found[1]) > self.integer_digits:
            return nan
        return parse(found[0]).metres


@dataclass(frozen=True)
class Wanted:
    """Digit strings whose continuations a model is asked for: M of them, those of a row together,
    parents before children; each array is (M, ...).

    rows: whose number it is. symbols: index into SYMBOLS of the last character, the token to feed.
    whole, decimals: digits before and behind the point. number: all of them as one whole number.
    pointed: whether there is a point. followed: whether the same string with a point comes next.
    mass: its probability; that of a string behind `followed` is known once it was fed.
    greedy: whether the most probable token was taken at every step.
    depth: tokens before it. path: (M, W) the numbers of the tokens up to it, by depth, -1 behind.
    """

    rows: np.ndarray
    symbols: np.ndarray
    whole: np.ndarray
    decimals: np.ndarray
    number: np.ndarray
    pointed: np.ndarray
    followed: np.ndarray
    mass: np.ndarray
    greedy: np.ndarray
    depth: np.ndarray
    path: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def texts(self) -> list[str]:
        """The strings."""
        return self.texts_of(np.arange(len(self)))

    def texts_of(self, some: np.ndarray) -> list[str]:
        """The strings of these numbers."""
        each = (self.whole, self.decimals, self.number, self.pointed)
        return [_text(*one) for one in zip(*(of[some].tolist() for of in each), strict=True)]


def _text(whole: int, decimals: int, number: int, pointed: bool) -> str:
    """A string of Wanted."""
    digits = f"{number:0{whole + decimals}d}" if whole else ""
    return f"{digits[:whole]}.{digits[whole:]}" if pointed else digits


class DigitTrees:
    """Numbers of several rows, whose trees grow together.

    wanted: what to feed next; empty when done.
    """

    def __init__(
        self, grammar: Grammar, probabilities: ArrayLike, best: ArrayLike, first: int = 0
    ):
        """probabilities (N, 11): of the SYMBOLS where each number begins, over the full
        vocabulary; best (N,): index into SYMBOLS of the most probable token of all, -1 if it is
        another one; first: the number that the first token which is fed has in paths."""
        self.grammar = grammar
        rows = np.arange(len(np.asarray(best)))
        self._next = first
        self._fed: list[Wanted] = []
        # Of each row: the round, the string in it and the symbol that ended the greedy string.
        self._tips = np.full((len(rows), 3), -1)
        self._off_grammar = np.zeros(len(rows))
        self._bins: list[tuple[np.ndarray, np.ndarray]] = []  # rows and (low, width, mass)
        none, no = np.zeros(len(rows), np.int64), np.zeros(len(rows), bool)
        self.wanted = Wanted(
            rows=rows,
            symbols=none - 1,
            whole=none,
            decimals=none,
            number=none,
            pointed=no,
            followed=no,
            mass=np.ones(len(rows)),
            greedy=~no,
            depth=none - 1,
            path=np.zeros((len(rows), 0), np.int64),
        )
        self.feed(probabilities, best)

    def feed(self, probabilities: ArrayLike, best: ArrayLike) -> None:
        """What the model said after each wanted string: (M, 11) probabilities, and (M,) best."""
        said, top = np.asarray(probabilities, np.float64), np.asarray(best)
        fed = _with_points_known(self.wanted, said, top)
        some = np.flatnonzero(fed.greedy & (top >= 0))  # the last of a row is its longest
        self._tips[fed.rows[some]] = np.stack(
            [np.full_like(some, len(self._fed)), some, top[some]], 1
        )
        self._fed.append(fed)
        self.__dict__.pop("greedy", None)
        allowed = self._allowed(fed, said)
        np.add.at(self._off_grammar, fed.rows, fed.mass * np.maximum(0.0, 1.0 - allowed))
        masses = fed.mass[:, None] * said[:, :DOT]
        greedy = fed.greedy[:, None] & (top[:, None] == np.arange(DOT))
        numbers = 10 * fed.number[:, None] + np.arange(DOT)
        known = fed.decimals + 1  # decimals of the children
        lows = numbers / 10 ** known[:, None]
        coarse = self._coarse(lows, (10.0**-known)[:, None])
        pointed, grammar = fed.pointed, self.grammar
        goes_on = np.where(pointed, known < grammar.decimals, fed.whole < grammar.integer_digits)
        likely = masses >= grammar.eps
        wants = goes_on[:, None] & (greedy | likely & (coarse | ~pointed[:, None]))
        self._add_bins(fed, said, masses, lows, pointed[:, None] & ~wants)
        self.wanted = self._children(fed, masses, greedy, numbers, wants)

    def readings(self) -> list[Reading]:
        """The distribution of each row over the bins known so far."""
        spreads = self._spreads().tolist()
        return [Reading(text, *one) for text, one in zip(self.greedy, spreads, strict=True)]

    def _spreads(self) -> np.ndarray:
        """(N, 6): mass, off_grammar, median, mean, lower and upper of each row; see Reading."""
        rows = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in self._bins)])
        bins = np.concatenate([np.zeros((0, 3)), *(bins for _, bins in self._bins)])
        bins = bins[np.argsort(rows, kind="stable")]
        counts = np.bincount(rows, minlength=len(self._tips))
        starts = np.cumsum(counts) - counts
        found = np.zeros((len(counts), 6))
        found[:, 1] = self._off_grammar
        for count in np.unique(counts):  # rows with as many bins at once
            some = np.flatnonzero(counts == count)
            own = bins[starts[some, None] + np.arange(count)]
            found[some, 0], found[some, 2:] = spread(own)
        return found

    @cached_property
    def greedy(self) -> list[str]:
        """The string of most probable tokens of each row so far, one symbol past what is fed."""
        found = [""] * len(self._tips)
        for of, fed in enumerate(self._fed):
            some = np.flatnonzero(self._tips[:, 0] == of)
            _, indices, symbols = self._tips[some].T
            texts = fed.texts_of(indices)
            for row, text, symbol in zip(some.tolist(), texts, symbols.tolist(), strict=True):
                found[row] = text + SYMBOLS[symbol]
        return found

    def path(self, row: int) -> list[int]:
        """The numbers of the tokens after which the last symbol of a row's greedy string was
        said."""
        of, index, _ = self._tips[row]
        if of < 0:
            return []
        return self._fed[of].path[index, : self._fed[of].depth[index] + 1].tolist()

    def replies(
        self, values: Sequence[float], texts: Sequence[str], free: Sequence[bool]
    ) -> list[Reply]:
        """The Reply of each row, of what was said, with its distribution unless it is of another
        number; see there."""
        spreads = self._spreads()
        other = np.array(free, bool) & (np.array(values) != np.array(self.metres()))
        spreads[other, 2:] = nan
        return [
            Reply(value, text, median, mean, lower, upper, mass, off_grammar, alone)
            for value, text, alone, (mass, off_grammar, median, mean, lower, upper) in zip(
                values, texts, free, spreads.tolist(), strict=True
            )
        ]

    def metres(self) -> list[float]:
        """The number that each row's greedy string is; NaN where it is none."""
        known = {text: self.grammar.metres(text) for text in set(self.greedy)}
        return [known[text] for text in self.greedy]

    def _allowed(self, fed: Wanted, said: np.ndarray) -> np.ndarray:
        """(M,): the probability that the grammar's number goes on."""
        digits = np.cumsum(said[:, :DOT], 1)[:, -1]
        more = np.where(fed.whole < self.grammar.integer_digits, digits, 0.0)
        return np.where(fed.pointed | (fed.whole == 0), digits, said[:, DOT] + more)

    def _coarse(self, lows: np.ndarray, widths: np.ndarray) -> np.ndarray:
        """Whether the bin of all numbers that begin so is wide for its value."""
        return widths > self.grammar.rel * (lows + widths / 2)

    def _add_bins(
        self,
        fed: Wanted,
        said: np.ndarray,
        masses: np.ndarray,
        lows: np.ndarray,
        ends: np.ndarray,
    ) -> None:
        """Bins of the children (M, 10) at which reading ends, and of whole numbers whose decimals
        are not looked at."""
        half = 0.5 * 10.0**-self.grammar.decimals  # what is said is rounded to the nearest
        of, digit = np.nonzero(ends)
        widths = 10.0 ** -(fed.decimals[of] + 1)
        fine = np.stack([lows[of, digit] - half, widths, masses[of, digit]], 1)
        plain = np.flatnonzero(~fed.pointed & ~fed.followed & (fed.whole > 0))
        one = np.ones(len(plain))
        coarse = np.stack([fed.number[plain] - half, one, fed.mass[plain] * said[plain, DOT]], 1)
        order = np.argsort(np.concatenate([of, plain]), kind="stable")
        rows = fed.rows[np.concatenate([of, plain])[order]]
        self._bins.append((rows, np.concatenate([fine, coarse])[order]))

    def _children(
        self,
        fed: Wanted,
        masses: np.ndarray,
        greedy: np.ndarray,
        numbers: np.ndarray,
        wants: np.ndarray,
    ) -> Wanted:
        """The digits (M, 10) that are wanted, and a point behind each in the same round where
        decimals will be needed."""
        of, digit = np.nonzero(wants)
        number, chosen, pointed = numbers[of, digit], greedy[of, digit], fed.pointed[of]
        followed = ~pointed & (chosen | self._coarse(number, np.ones(len(of))))
        places = np.arange(len(of)).repeat(1 + followed)
        point = np.zeros(len(places), bool)
        point[1:] = places[1:] == places[:-1]
        own = self._next + np.arange(len(places))
        self._next += len(places)
        depth = fed.depth[of] + 1
        path = np.full((len(places), fed.path.shape[1] + 2), -1)
        path[:, :-2] = fed.path[of][places]
        path[np.arange(len(places)), depth[places]] = np.where(point, own - 1, own)
        path[point, depth[places][point] + 1] = own[point]
        path = path[:, : int((depth[places] + point).max(initial=-1)) + 1]
        return Wanted(
            rows=fed.rows[of][places],
            symbols=np.where(point, DOT, digit[places]),
            whole=(fed.whole[of] + ~pointed)[places],
            decimals=(fed.decimals[of] + pointed)[places],
            number=number[places],
            pointed=pointed[places] | point,
            followed=followed[places] & ~point,
            mass=np.where(point, 0.0, masses[of, digit][places]),
            greedy=chosen[places] & ~point,
            depth=depth[places] + point,
            path=path,
        )


def _with_points_known(fed: Wanted, said: np.ndarray, best: np.ndarray) -> Wanted:
    """What was fed, with the mass of points that were fed beside their digits."""
    before = np.flatnonzero(fed.followed)
    mass, greedy = fed.mass.copy(), fed.greedy.copy()
    mass[before + 1] = mass[before] * said[before, DOT]
    greedy[before + 1] = greedy[before] & (best[before] == DOT)
    return replace(fed, mass=mass, greedy=greedy)


@dataclass(frozen=True)
class Reading:
    """What a tree says of its number.

    text: the greedy string.
    mass: the probability of the bins.
    off_grammar: of what is no number of the grammar, as far as was read; the rest was not
        explored.
    median, mean, lower, upper: of the distribution given the bins, lower and upper at 5 % and
        95 %; NaN where the bins cover less than COVERED.
    """

    text: str
    mass: float
    off_grammar: float
    median: float = nan
    mean: float = nan
    lower: float = nan
    upper: float = nan


def spread(bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mass (N,), median, mean, lower and upper (N, 4)) of numbers with as many bins each: bins
    (N, B, 3): low, width and mass, uniform inside; see Reading."""
    masses = bins[:, :, 2].sum(1)
    order = np.argsort(bins[:, :, 0], axis=1, kind="stable")
    low, width, weight = np.moveaxis(np.take_along_axis(bins, order[:, :, None], 1), 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = ((low + width / 2) * weight).sum(1) / masses
        above = np.cumsum(weight, 1)
        shares = np.stack([above - weight, above], 2).reshape(len(bins), -1)
        shares = shares / masses[:, None]
    edges = np.maximum(np.stack([low, low + width], 2), 0.0).reshape(len(bins), -1)
    lower, median, upper = quantiles(shares, edges, QUANTILES).T
    found = np.stack([median, means, lower, upper], 1)
    return masses, np.where(masses[:, None] >= COVERED, found, nan)


def quantiles(shares: np.ndarray, edges: np.ndarray, wanted: Sequence[float]) -> np.ndarray:
    """(N, Q): where each row's ascending shares (N, K) reach what is wanted, straight lines
    between edges (N, K): np.interp, row by row."""
    at = np.asarray(wanted)
    below = (shares[:, None] <= at[:, None]).sum(2) - 1
    last = shares.shape[1] - 1
    if last < 0:
        return np.full((len(shares), len(at)), nan)
    low = below.clip(0, last)
    high = np.minimum(low + 1, last)
    share, edge = (np.take_along_axis(each, low, 1) for each in (shares, edges))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (np.take_along_axis(edges, high, 1) - edge) / (
            np.take_along_axis(shares, high, 1) - share
        )
        found = slope * (at - share) + edge
    outside = (below < 0) | (below >= last) | (share == at)
    return np.where(outside, edge, found)
