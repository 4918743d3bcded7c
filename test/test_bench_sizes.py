# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Models of random weights at the shapes of published ones: what they are and what they say."""

import pytest
from testing.digit_tree import DigitTree

from depthlm_ros.bench.compare import PUBLISHED_TOKENS, compare
from depthlm_ros.bench.shapes import SIZES, Size, Text, Vision, build, parts_of, view_of
from depthlm_ros.bench.weights import LIKELY, NODES, SOME
from depthlm_ros.bench.work import work_of
from depthlm_ros.engines.digits import Grammar
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.engines.reference import ReferenceEngine
from depthlm_ros.errors import OutOfMemory

SMALL = (112, 84, 100.0)
TEXT = Text(64, 2, 2, 1, 32, 96, 1024)
SMALL_SIZES = {
    "qwen2_5_vl": Size("qwen2_5_vl", TEXT, Vision(32, 2, 2, 48, (1,)), SMALL),
    "qwen3_vl": Size("qwen3_vl", TEXT, Vision(32, 2, 2, 48, (0,)), SMALL),
    "llava": Size("llava", TEXT, Vision(32, 2, 2, 48), SMALL),
}


@pytest.mark.parametrize("architecture", SMALL_SIZES)
def test_a_random_model_says_numbers_with_a_tree_of_a_trained_ones_size(architecture):
    size = SMALL_SIZES[architecture]
    loaded = build(size, architecture, "cpu")
    engine = LocalEngine(loaded)
    view = view_of(size)
    for name in size.wording:
        style = loaded.checkpoint.asker(name)
        (reply,) = engine.step([(engine.open([view], style), style.question(view, (40, 50)))])
        assert reply.value == 2.2, name
        assert reply.mass == pytest.approx(_tree()[1], abs=0.1), name


def test_reference_emits_as_many_tokens_as_the_published_answer_has():
    loaded = build(SMALL_SIZES["qwen3_vl"], "small", "cpu")
    engine = ReferenceEngine(loaded, max_new_tokens=PUBLISHED_TOKENS)
    view, style = view_of(SMALL_SIZES["qwen3_vl"]), loaded.checkpoint.asker("marker")
    (reply,) = engine.step([(engine.open([view], style), style.question(view, (40, 50)))])
    assert reply.text == ("2." * 35)[:35]  # each a token, and no end


def _tree():
    """(nodes fed, probability covered) of the tree that the weights are made for."""
    shares = [LIKELY.get(digit, SOME) for digit in range(10)]
    digits, point = [*shares, 0.0], [0.0] * 10 + [1.0]
    tree, fed = DigitTree(Grammar(), digits, 2), 0
    while tree.wanted:
        fed += len(tree.wanted)
        after_point = [text[-1] == "." for text in tree.wanted]
        tree.feed(
            [digits if a else point for a in after_point], [2 if a else 10 for a in after_point]
        )
    return fed, tree.reading().mass


def test_the_tree_that_is_announced_is_the_one_that_is_grown():
    assert _tree()[0] == NODES


def _loaded_without_weights(name):
    from depthlm_ros.models.loading import Loaded, torch
    from depthlm_ros.models.weights import empty_model

    parts = parts_of(SIZES[name], name)
    return Loaded(**vars(parts), model=empty_model(parts.config, "meta", torch.bfloat16))


@pytest.mark.parametrize(
    ("name", "parameters", "marker_flops"),
    [
        ("bench", 0.21e9, None),
        ("qwen2.5-vl-3b", 4.07e9, 14.9e12),  # with a head of its own, 0.31 more than published
        ("qwen2.5-vl-7b", 8.29e9, 25.2e12),
        ("qwen3-vl-4b", 4.83e9, 12.1e12),
        ("pixtral-12b", 12.7e9, 52.9e12),
    ],
)
def test_sizes_have_the_published_shapes_and_the_work_that_follows(name, parameters, marker_flops):
    loaded = _loaded_without_weights(name)
    assert loaded.parameters == pytest.approx(parameters, rel=0.03)
    if marker_flops:
        work = _work_of(loaded, name, "marker")
        assert work.total(1) == pytest.approx(marker_flops, rel=0.05)


def _work_of(loaded, name, style):
    from depthlm_ros.models.prompts import Prompts

    view, asker = view_of(SIZES[name]), loaded.checkpoint.asker(style)
    return work_of(loaded, Prompts(loaded), view, asker, [asker.question(view, (999, 99))])


@pytest.mark.parametrize("architecture", SMALL_SIZES)
def test_the_products_of_matrices_are_those_that_torch_counts(architecture):
    """All but attention, whose kernel on a CPU torch's counter leaves out."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from depthlm_ros.bench import work
    from depthlm_ros.models.decoder import prefill
    from depthlm_ros.models.prompts import Prompts

    size = SMALL_SIZES[architecture]
    loaded, view = build(size, architecture, "cpu"), view_of(size)
    prompts, style = Prompts(loaded), loaded.checkpoint.asker("marker")
    prepared = loaded.vision.prepare([view.image])
    ids = prompts.question_ids(style.question(view, (50, 40)))
    ids = prompts.with_images(ids, prepared.grid)
    positions = prompts.placed(ids, prepared).positions[:, None]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        prefill(loaded, ids[None], positions, prepared)
    merged = prepared.grid[0] * prepared.grid[1]
    patches, tokens = merged * loaded.vision.merge**2, len(ids)
    matrices = work._vision(loaded, patches, merged) - work._looking(loaded, patches)
    matrices += work._text(loaded, tokens, 0)
    matrices -= 4 * TEXT.layers * TEXT.heads * TEXT.head * tokens * tokens / 2
    assert counter.get_total_flops() == matrices


def test_the_lengths_of_the_bench_size_are_fixed():
    loaded = _loaded_without_weights("bench")
    view = view_of(SIZES["bench"])
    assert (view.camera.width, view.camera.height) == (1143, 857)
    assert loaded.vision.prepare([view.image]).grid == (31, 41)
    assert _work_of(loaded, "bench", "coordinates").tokens == 88
    assert _work_of(loaded, "bench", "position").tokens == 12


def test_a_model_that_does_not_fit_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr("depthlm_ros.models.weights.free_bytes", lambda device: 2_000_000)
    with pytest.raises(OutOfMemory, match=r"'tiny' .*0\.01.* GB .*0\.002 GB"):
        compare("tiny", [], [1], device="cpu")
