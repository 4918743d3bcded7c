# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The tree of digit strings, against distributions that are known."""

from math import isnan

import numpy as np
import pytest
from testing.digit_tree import DigitTree

from depthlm_ros.engines.digits import SYMBOLS, DigitTrees, Grammar, quantiles
from depthlm_ros.errors import InputError


class Speaker:
    """Says each of some numbers with its probability; counts what it is asked."""

    def __init__(self, shares):
        self.shares = shares
        self.asked = []

    def after(self, text):
        """(11 probabilities of the symbols, index of the best or -1 if the number ends)."""
        found = np.zeros(11)
        for said, share in self.shares.items():
            if said.startswith(text) and len(said) > len(text):
                found[SYMBOLS.index(said[len(text)])] += share
        alive = sum(s for said, s in self.shares.items() if said.startswith(text))
        ends = alive - found.sum()
        found = found / max(alive, 1e-300)
        return found, -1 if ends > found.max() * alive else int(found.argmax())

    def read(self, **pruning):
        """The tree fed until it wants nothing."""
        tree = DigitTree(Grammar(**pruning), *self.after(""))
        while tree.wanted:
            self.asked += tree.wanted
            answers = [self.after(text) for text in tree.wanted]
            tree.feed([p for p, _ in answers], [best for _, best in answers])
        return tree


def log_normal(metres, noise, count=20000):
    """A Speaker of count draws, and the draws as they are said."""
    draws = metres * np.exp(noise * np.random.default_rng(0).standard_normal(count))
    said, times = np.unique([f"{d:.2f}" for d in draws], return_counts=True)
    shares = dict(zip(said.tolist(), (times / count).tolist(), strict=True))
    return Speaker(shares), np.round(draws, 2)


@pytest.mark.parametrize(
    ("metres", "noise", "nodes"),
    [(0.5, 0.1, 20), (2.35, 0.1, 28), (9.9, 0.03, 20), (14.0, 0.1, 40), (40.0, 0.03, 40)],
)
def test_the_quantiles_of_a_known_distribution_are_found(metres, noise, nodes):
    """9.9 m is the carry where the greedy path with its marginals is wrong by ten times."""
    speaker, draws = log_normal(metres, noise)
    reading = speaker.read().reading()
    assert reading.mass > 0.98
    assert reading.mean == pytest.approx(draws.mean(), rel=0.005)
    expected = np.quantile(draws, (0.05, 0.5, 0.95))
    assert (reading.lower, reading.median, reading.upper) == pytest.approx(expected, rel=0.03)
    assert len(speaker.asked) <= nodes


def test_refining_everything_gives_the_mean_to_a_millimetre():
    speaker, draws = log_normal(9.9, 0.03)
    reading = speaker.read(eps=0.0, rel=0.0).reading()
    assert reading.mass == pytest.approx(1.0)
    assert reading.mean == pytest.approx(draws.mean(), abs=1e-9)


def test_the_greedy_string_takes_the_best_token_at_every_step():
    tree = Speaker({"2.35": 0.4, "3.10": 0.31, "3.90": 0.29}).read()
    assert tree.greedy == "3.10"


def test_the_greedy_path_is_followed_however_small_its_probability():
    shares = {f"{i}.{j}{k}": 0.001 for i in range(10) for j in range(10) for k in range(10)}
    shares["7.77"] = 0.002
    assert Speaker(shares).read(eps=0.5, rel=1.0).greedy == "7.77"


def test_every_bin_holds_its_share():
    """2.3x and 9.xx are far apart: half of the mass must lie in each."""
    reading = Speaker({"2.30": 0.25, "2.39": 0.26, "9.00": 0.49}).read().reading()
    assert reading.lower == pytest.approx(2.3, abs=0.06)
    assert reading.upper == pytest.approx(9.05, abs=0.06)
    assert reading.mean == pytest.approx(0.51 * 2.345 + 0.49 * 9.045, abs=0.01)


def test_statistics_are_unknown_where_words_take_the_mass():
    speaker = Speaker({"2.35": 0.85, "": 0.15})
    reading = speaker.read().reading()
    assert (reading.mass, reading.off_grammar) == pytest.approx((0.85, 0.15))
    assert reading.text == "2.35"
    assert all(isnan(v) for v in (reading.median, reading.mean, reading.lower, reading.upper))


@pytest.mark.parametrize("said", ["", ".5", "12", "2.", "1234.5"])
def test_what_no_number_of_the_grammar_begins_with_is_off_it(said):
    reading = Speaker({"2.35": 0.75, said: 0.25}).read(eps=0.0, rel=0.0).reading()
    assert reading.off_grammar == pytest.approx(0.25)
    assert reading.mass == pytest.approx(0.75)


def test_what_is_neither_covered_nor_off_the_grammar_was_not_explored():
    """Ten integers share 0.04, each below eps; 0.01 ends without a number."""
    rare = {f"1{i}.50": 0.004 for i in range(10)}
    shares = {"2.35": 0.93, "3": 0.02, "": 0.01, **rare}
    reading = Speaker(shares).read(eps=0.005).reading()
    assert reading.off_grammar == pytest.approx(0.03)
    assert reading.mass == pytest.approx(0.93)


def test_all_of_the_probability_is_accounted_for_when_everything_is_explored():
    draw = np.random.default_rng(3)
    words = [f"{a}.{b}" for a in range(10, 40) for b in range(30, 60)] + ["", "7", "1.", ".1"]
    shares = dict(zip(words, draw.dirichlet(np.ones(len(words))).tolist(), strict=True))
    reading = Speaker(shares).read(eps=0.0, rel=0.0).reading()
    assert reading.mass + reading.off_grammar == pytest.approx(1.0)
    assert reading.off_grammar == pytest.approx(sum(shares[word] for word in words[-4:]))


def test_a_number_that_ends_early_keeps_its_digits():
    tree = Speaker({"12": 1.0}).read()
    assert tree.greedy == "12"
    assert tree.grammar.metres(tree.greedy) == 12.0


def test_a_word_instead_of_a_number_is_no_number():
    tree = Speaker({"": 1.0}).read()
    assert (tree.greedy, tree.wanted) == ("", [])
    assert isnan(tree.grammar.metres(tree.greedy))


def test_points_are_fed_with_their_digit_so_that_a_number_takes_few_rounds():
    tree = DigitTree(Grammar(), *Speaker({"2.35": 1.0}).after(""))
    assert tree.wanted == ["2", "2."]


@pytest.mark.parametrize(
    ("text", "metres"),
    [("2.35", 2.35), ("2.", 2.0), ("2.3.", 2.3), ("2.357", 2.35), ("312.5", 312.5), ("07", 7.0)],
)
def test_what_a_text_begins_with_is_its_number(text, metres):
    assert Grammar().metres(text) == metres


@pytest.mark.parametrize("text", ["", ".", "x2", "1234", "0.00", "-2"])
def test_what_begins_with_no_distance_is_no_number(text):
    """Four digits are refused rather than cut to three: 123 for 1234 would be a wrong answer."""
    assert isnan(Grammar().metres(text))


def test_a_grammar_without_decimals_is_refused():
    with pytest.raises(InputError, match=r"\b3 .*\b0 "):
        Grammar(3, 0)


def test_trees_that_grow_together_are_those_that_grow_alone():
    """Numbers of other lengths, none at all, and one that ends early, in one set of arrays."""
    speakers = [log_normal(metres, 0.1, 500)[0] for metres in (0.4, 2.35, 14.0, 120.0)]
    speakers += [Speaker({"": 1.0}), Speaker({"12": 1.0}), Speaker({"2.35": 0.5, "1234": 0.5})]
    alone = [speaker.read() for speaker in speakers]
    together = DigitTrees(Grammar(), *zip(*(s.after("") for s in speakers), strict=True), 5)
    fed = []
    while len(together.wanted):
        wanted = together.wanted
        fed += list(zip(wanted.rows.tolist(), wanted.texts, strict=True))
        said = [speakers[row].after(text) for row, text in fed[-len(wanted) :]]
        together.feed(*zip(*said, strict=True))
    assert together.greedy == [tree.greedy for tree in alone]
    assert [repr(reading) for reading in together.readings()] == [
        repr(tree.reading()) for tree in alone
    ]
    for row, greedy in enumerate(together.greedy):
        path = [fed[token - 5] for token in together.path(row)]
        assert path == [(row, greedy[:length]) for length in range(1, len(path) + 1)]
        assert len(path) == max(len(greedy) - 1, 0)


def test_quantiles_are_those_of_numpy():
    draw = np.random.default_rng(0)
    shares = np.sort(draw.random((40, 12)), 1)
    shares[:20, 3:7] = shares[:20, 3:4]  # bins that hold nothing
    shares[:, -1] = 1.0
    edges = np.sort(draw.random((40, 12)) * 9, 1)
    wanted = (0.0, 0.05, float(shares[0, 3]), 0.95, 1.0)
    expected = [np.interp(wanted, *row) for row in zip(shares, edges, strict=True)]
    assert np.array_equal(quantiles(shares, edges, wanted), expected)
