# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""local against reference: the same digits, and the same probabilities as plain forwards.

Each control does one thing wrong that raises no error, and must make the comparison fail.
"""

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image

from depthlm_ros.engines.digits import SYMBOLS, DigitTrees
from depthlm_ros.models.positions import Placed
from depthlm_ros.question import MarkerStyle, PositionStyle

CASES = [
    (architecture, style)
    for architecture in ("qwen3_vl", "qwen2_5_vl", "llava")
    for style in ("marker", "coordinates", "position")
    if (architecture, style) != ("llava", "position")
]
QWEN = [case for case in CASES if case[0] != "llava"]


def run_of(reply):
    """The digits and points at the end of the given words."""
    return re.match(r"[\d.]*", reply.text.removeprefix("<think> The point is around "))[0]


def same_number(ours, theirs):
    """reference goes on for six tokens, local stops where the number is decided."""
    equal = ours.value == theirs.value or (np.isnan(ours.value) and np.isnan(theirs.value))
    return equal and run_of(theirs).startswith(run_of(ours))


def all_same(ours, theirs):
    return all(same_number(a, b) for a, b in zip(ours, theirs, strict=True))


def answers(engines, asked, architecture, style, count=6, seed=0):
    """Replies of local and reference to the same questions."""
    both = [engines(name, architecture) for name in ("local", "reference")]
    return [engine.step(asked(engine, style, count, seed)) for engine in both]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("architecture", "style"), CASES)
def test_local_says_the_digits_of_reference(engines, asked, architecture, style, seed):
    ours, theirs = answers(engines, asked, architecture, style, seed=seed)
    assert all_same(ours, theirs)


@pytest.mark.parametrize(("architecture", "style"), [c for c in CASES if c[1] != "position"])
def test_the_questions_of_an_image_have_different_answers(engines, asked, architecture, style):
    """Else the comparison could not tell one row from another."""
    ours, _ = answers(engines, asked, architecture, style)
    assert len({run_of(reply) for reply in ours}) >= 3


@pytest.mark.parametrize(("architecture", "style"), [c for c in CASES if c[1] != "position"])
def test_control_swapped_rows_are_noticed(engines, asked, architecture, style):
    ours, theirs = answers(engines, asked, architecture, style)
    assert not all_same(ours[::-1], theirs)


@pytest.mark.parametrize("architecture", ["qwen3_vl", "qwen2_5_vl", "llava"])
def test_control_a_missing_arrow_is_noticed(engines, asked, architecture, monkeypatch):
    theirs = answers(engines, asked, architecture, "marker")[1]
    monkeypatch.setattr(MarkerStyle, "paint", lambda self, image, pixel: None)
    ours = answers(engines, asked, architecture, "marker")[0]
    assert not all_same(ours, theirs)


@pytest.mark.parametrize(("architecture", "style"), [c for c in QWEN if c[1] != "position"])
def test_control_one_dimensional_positions_are_noticed(
    engines, asked, architecture, style, monkeypatch
):
    def words_only(ids, images):
        positions = torch.arange(len(ids)).float().expand(3, -1)
        return Placed(positions, 0, len(ids))

    monkeypatch.setattr(engines("local", architecture).prompts, "placed", words_only)
    ours, theirs = answers(engines, asked, architecture, style)
    assert not all_same(ours, theirs)


@pytest.mark.parametrize(("architecture", "style"), [c for c in CASES if c[1] != "position"])
def test_control_a_second_resize_is_noticed(engines, asked, architecture, style, monkeypatch):
    preparer = engines("local", architecture).preparer
    prepare = preparer.prepare

    def shrunk(image):
        return prepare(np.asarray(Image.fromarray(image).resize((56, 42))))

    monkeypatch.setattr(preparer, "prepare", shrunk)
    assert not all_same(*answers(engines, asked, architecture, style))


def plain_probabilities(reference, scene, question, text):
    """(11,) of the symbols after prompt, opening and `text`: one forward, nothing cached."""
    inputs = reference.inputs([(scene, question)])
    more = torch.tensor([reference.loaded.chat.encode(text)], dtype=torch.long)
    for name, new in (("input_ids", more), ("attention_mask", torch.ones_like(more))):
        inputs[name] = torch.cat([inputs[name], new], dim=1)
    if "mm_token_type_ids" in inputs:
        kinds = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.cat([kinds, torch.zeros_like(more)], dim=1)
    if "position_ids" in inputs:
        last = inputs["position_ids"][..., -1:]
        steps = torch.arange(1, len(text) + 1).float()
        inputs["position_ids"] = torch.cat([inputs["position_ids"], last + steps], dim=2)
    with torch.inference_mode():
        logits = reference.loaded.model(**inputs, use_cache=False).logits[0, -1].float()
    return logits.softmax(0)[reference.loaded.symbol_ids].numpy()


class Told:
    """A row's tree. said: string -> what the model said after it; greedy: see DigitTrees."""

    def __init__(self, trees, row):
        self._trees, self._row, self.said = trees, row, {}

    @property
    def greedy(self):
        return self._trees.greedy[self._row]


@pytest.fixture
def trees(monkeypatch):
    """Every tree that is read, with what the model said after each string."""
    made = []

    class Recording(DigitTrees):
        def __init__(self, grammar, probabilities, best, first):
            self.rows = [Told(self, row) for row in range(len(best))]
            made.extend(self.rows)
            super().__init__(grammar, probabilities, best, first)

        def feed(self, probabilities, best):
            fed = zip(self.wanted.rows, self.wanted.texts, probabilities, strict=True)
            for row, text, values in fed:
                self.rows[row].said[text] = np.array(values)
            super().feed(probabilities, best)

    monkeypatch.setattr("depthlm_ros.engines.local.reader.DigitTrees", Recording)
    return made


def difference(tree, reference, pair, text):
    """Between a tree and a plain forward after `text`, over the vocabulary and given a symbol."""
    plain, said = plain_probabilities(reference, *pair, text), tree.said[text]
    renormalised = np.abs(plain / plain.sum() - said / said.sum())
    return max(np.abs(plain - said).max(), renormalised.max())


def strings_of(tree):
    """The greedy strings that were fed, and twenty others."""
    others = np.random.default_rng(0).permutation(list(tree.said))[:20].tolist()
    return {text for text in tree.said if tree.greedy.startswith(text)} | set(others)


@pytest.mark.parametrize(("architecture", "style"), CASES)
def test_tree_probabilities_are_those_of_plain_forwards(
    engines, asked, trees, architecture, style
):
    local, reference = engines("local", architecture), engines("reference", architecture)
    local.step(asked(local, style, 6))
    differences = [
        difference(tree, reference, pair, text)
        for tree, pair in zip(trees, asked(reference, style, 6), strict=True)
        for text in strings_of(tree)
    ]
    assert len(differences) >= 12
    assert max(differences) < 1e-4


@pytest.mark.parametrize("architecture", ["qwen3_vl", "qwen2_5_vl"])
def test_control_swapped_places_of_pointing_tokens_are_noticed(
    engines, asked, trees, architecture
):
    local, reference = engines("local", architecture), engines("reference", architecture)
    pairs = asked(local, "position", 2)
    local.step(pairs[::-1])
    for tree, pair in zip(trees, asked(reference, "position", 2), strict=True):
        assert difference(tree, reference, pair, "") > 1e-4


@pytest.mark.parametrize("architecture", ["qwen3_vl", "qwen2_5_vl"])
def test_control_a_pointing_token_at_whole_places_is_noticed(
    engines, asked, trees, architecture, monkeypatch
):
    """The loss of the fractions is what an integer dtype on the way would do."""
    local, reference = engines("local", architecture), engines("reference", architecture)
    place = PositionStyle.place

    def whole(view, pixel, grid):
        return tuple(np.trunc(p) for p in place(view, pixel, grid))

    monkeypatch.setattr(PositionStyle, "place", staticmethod(whole))
    local.step(asked(local, "position", 2))
    monkeypatch.setattr(PositionStyle, "place", staticmethod(place))
    for tree, pair in zip(trees, asked(reference, "position", 2), strict=True):
        assert difference(tree, reference, pair, "") > 1e-4


def test_symbols_are_what_is_compared(engines):
    loaded = engines("local", "qwen3_vl").loaded
    assert loaded.tokenizer.decode(loaded.symbol_ids) == SYMBOLS
