# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The number that a model is about to say, read as a pruned tree of digit strings.

Somebody feeds the strings in `wanted` to a model and gives back what it found; the tree says what
is wanted next, and at the end the greedy string and the distribution. The greedy path with its
marginals would be wrong by a factor of ten beside a carry (9.9 m: is it 9.x or 1y.z?), hence the
tree. An integer prefix is followed while it holds `eps` of the probability; a bin of decimals is
refined while it is wider than `rel` of its value; below that a bin counts as uniform inside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from depthlm_ros.answer import parse
from depthlm_ros.engines.engine import Reply
from depthlm_ros.errors import InputError

SYMBOLS = "0123456789."
DOT = 10
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


class Node:
    """A digit string whose continuation the model is asked for.

    mass: its probability.
    greedy: whether the most probable token was taken at every step.
    number, decimals: its digits as a whole number, and how many of them stand behind a point.
    symbol: index into SYMBOLS of the last character, the token to feed; -1 where there is none.
    column: free for whoever feeds the node.
    dot: the same string with a point, if fed alongside.
    """

    __slots__ = (
        "column",
        "decimals",
        "dot",
        "greedy",
        "mass",
        "number",
        "parent",
        "symbol",
        "text",
    )

    def __init__(
        self, text: str, mass: float, greedy: bool, parent: Node | None, symbol: int = -1
    ):
        self.text, self.mass, self.greedy, self.parent = text, mass, greedy, parent
        self.symbol = symbol
        self.number = self.decimals = 0
        if parent is not None:
            point = symbol == DOT
            self.number = parent.number if point else 10 * parent.number + symbol
            self.decimals = parent.decimals + (not point and "." in parent.text)
        self.column = -1
        self.dot: Node | None = None

    def path(self) -> list[int]:
        """The columns of the node and of every node before it."""
        columns = []
        node = self
        while node.parent is not None:
            columns.append(node.column)
            node = node.parent
        return columns


class DigitTree:
    """One number.

    wanted: the Nodes to feed next, parents before children; empty when done.
    greedy: the string of most probable tokens so far, one symbol past what is fed.
    tip: the Node after which its last symbol was said.
    """

    def __init__(self, grammar: Grammar, probabilities: Sequence[float], best: int):
        """probabilities: of the SYMBOLS (11) where the number begins, over the full vocabulary;
        best: index into SYMBOLS of the most probable token of all, -1 if it is another one."""
        self.grammar = grammar
        self.greedy = ""
        self.tip = Node("", 1.0, True, None)
        self.wanted: list[Node] = []
        self._bins: list[tuple[float, float, float]] = []  # (low, width, mass)
        self._off_grammar = 0.0
        self._read(self.tip, probabilities, best)

    def feed(self, probabilities: Sequence[Sequence[float]], best: Sequence[int]) -> None:
        """What the model said after each wanted node: rows of 11 probabilities, and the best."""
        fed, self.wanted = self.wanted, []
        for node, row, top in zip(fed, probabilities, best, strict=True):
            self._read(node, row, top)

    def reading(self) -> Reading:
        """The distribution over the bins known so far."""
        bins = np.array(self._bins).reshape(-1, 3)
        return Reading.of_bins(self.greedy, bins, self._off_grammar)

    def reply(self, value: float, text: str, free: bool = False) -> Reply:
        """The Reply of what was said, with this distribution unless it is of another number; see
        there."""
        found = self.reading()
        spread = (found.median, found.mean, found.lower, found.upper)
        if free and value != self.grammar.metres(found.text):
            spread = (nan, nan, nan, nan)
        return Reply(value, text, *spread, found.mass, found.off_grammar, free)

    def _read(self, node: Node, probabilities: Sequence[float], best: int) -> None:
        self._off_grammar += node.mass * max(0.0, 1.0 - self._allowed(node, probabilities))
        if node.greedy and best >= 0:
            self.greedy, self.tip = node.text + SYMBOLS[best], node
        if "." in node.text:
            self._read_decimal(node, probabilities, best)
        else:
            self._read_integer(node, probabilities, best)

    def _allowed(self, node: Node, probabilities: Sequence[float]) -> float:
        """The probability that the grammar's number goes on."""
        digits, point = sum(probabilities[:DOT]), probabilities[DOT]
        if "." in node.text or not node.text:
            return digits
        return point + (digits if len(node.text) < self.grammar.integer_digits else 0.0)

    def _read_integer(self, node: Node, probabilities: Sequence[float], best: int) -> None:
        if len(node.text) < self.grammar.integer_digits:
            for digit in range(10):
                mass, greedy = node.mass * probabilities[digit], node.greedy and best == digit
                if greedy or mass >= self.grammar.eps:
                    self._want_integer(node, digit, mass, greedy)
        if node.dot is not None:
            node.dot.mass = node.mass * probabilities[DOT]
            node.dot.greedy = node.greedy and best == DOT
        elif node.text:
            self._bin(node.number, node.mass * probabilities[DOT])

    def _want_integer(self, parent: Node, digit: int, mass: float, greedy: bool) -> None:
        """Want the digit, and its point in the same round where decimals will be needed."""
        node = Node(parent.text + SYMBOLS[digit], mass, greedy, parent, digit)
        self.wanted.append(node)
        if greedy or self._coarse(float(node.number), 1.0):
            node.dot = Node(node.text + ".", 0.0, False, node, DOT)
            self.wanted.append(node.dot)

    def _read_decimal(self, node: Node, probabilities: Sequence[float], best: int) -> None:
        known = node.decimals + 1  # of the children
        scale, width = 10**known, 10.0**-known
        half = 0.5 * 10.0**-self.grammar.decimals  # what is said is rounded to the nearest
        lows = [(10 * node.number + digit) / scale for digit in range(10)]
        masses = [node.mass * probabilities[digit] for digit in range(10)]
        if known < self.grammar.decimals:
            for digit, (low, mass) in enumerate(zip(lows, masses, strict=True)):
                greedy = node.greedy and best == digit
                if greedy or (mass >= self.grammar.eps and self._coarse(low, width)):
                    text = node.text + SYMBOLS[digit]
                    self.wanted.append(Node(text, mass, greedy, node, digit))
                else:
                    self._bins.append((low - half, width, mass))
        else:
            self._bins += [
                (low - half, width, mass) for low, mass in zip(lows, masses, strict=True)
            ]

    def _coarse(self, low: float, width: float) -> bool:
        """Whether the bin of all numbers that begin so is wide for its value."""
        return width > self.grammar.rel * (low + width / 2)

    def _bin(self, number: int, mass: float) -> None:
        half = 0.5 * 10.0**-self.grammar.decimals
        self._bins.append((number - half, 1.0, mass))


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

    @classmethod
    def of_bins(cls, text: str, bins: np.ndarray, off_grammar: float) -> Reading:
        """bins (N, 3): low, width and mass, uniform inside."""
        mass = float(bins[:, 2].sum())
        if mass < COVERED:
            return cls(text, mass, off_grammar)
        low, width, weight = bins[np.argsort(bins[:, 0])].T
        mean = float(((low + width / 2) * weight).sum() / mass)
        edges = np.maximum(np.stack([low, low + width], axis=1).ravel(), 0.0)
        above = np.cumsum(weight)
        share = np.stack([above - weight, above], axis=1).ravel() / mass
        lower, median, upper = np.interp((0.05, 0.5, 0.95), share, edges).tolist()
        return cls(text, mass, off_grammar, median, mean, lower, upper)
