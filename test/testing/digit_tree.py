# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""One number of DigitTrees alone, for tests that say a number's distribution text by text."""

from depthlm_ros.engines.digits import DigitTrees


class DigitTree:
    """probabilities: of the SYMBOLS (11) where the number begins; best: as of DigitTrees."""

    def __init__(self, grammar, probabilities, best):
        self.grammar = grammar
        self._trees = DigitTrees(grammar, [probabilities], [best])

    @property
    def wanted(self):
        """The strings to ask about next, parents before children; empty when done."""
        return self._trees.wanted.texts

    @property
    def greedy(self):
        """The string of most probable tokens so far, one symbol past what is fed."""
        return self._trees.greedy[0]

    def feed(self, probabilities, best):
        """What the model said after each wanted string: rows of 11 probabilities, and the best."""
        self._trees.feed(probabilities, best)

    def reading(self):
        """The distribution over the bins known so far."""
        return self._trees.readings()[0]
