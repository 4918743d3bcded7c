# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rows behind one prompt hold the states of plain forwards, whoever is asked beside them."""

import pytest

torch = pytest.importorskip("torch")

from testing.tiny_models import ARCHITECTURES
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import DynamicCache

from depthlm_ros.engines.local import rows as rows_module
from depthlm_ros.engines.local.plan import Paths
from depthlm_ros.engines.local.rows import Rows
from depthlm_ros.models import attention, torch_compat
from depthlm_ros.models.attention import attend, folded, merged
from depthlm_ros.models.decoder import model_positions

LENGTHS = torch.tensor([5, 3, 7, 3, 1])
# Branches of two rows: 9, 9 -> 8, 9 -> 8 -> 7 and 9 -> 6 of row 1, and one token of row 4.
GROWN = ([1, 1, 1, 1, 4], [[0], [1, 0], [2, 1, 0], [3, 0], [4]], [9, 8, 7, 6, 5])


@pytest.fixture
def scene_of(engines, asked):
    """architecture -> (Loaded, the keys and values of a scene's prompt)."""

    def scene(architecture):
        engine = engines("local", architecture)
        ((found, _),) = asked(engine, "coordinates", 1)
        return engine.loaded, found.prompt

    return scene


def some_words(loaded):
    """(ids (N, L), positions (3, N, L)) all different, with fractions where they may be."""
    draw = torch.Generator().manual_seed(0)
    shape = (len(LENGTHS), int(LENGTHS.max()))
    positions = 40 + torch.arange(shape[1]).expand(3, *shape).float()
    if loaded.vision.multimodal_positions:
        positions = positions + torch.rand((3, *shape), generator=draw)
    return torch.randint(10, 200, shape, generator=draw), positions


def grown_positions(paths):
    """(3, M): a token stands as far behind the words as it is deep."""
    return (60.0 + torch.tensor([len(path) for path in paths])).expand(3, -1)


@torch.inference_mode()
def by_transformers(loaded, prompt, ids, positions):
    """The last state (width,) of one sequence (L,) behind the prompt, by the model itself."""
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(prompt):
        cache.update(keys, values, layer)
    found = loaded.base(
        input_ids=ids[None],
        position_ids=model_positions(loaded, positions[:, None]),
        past_key_values=cache,
    )
    return found.last_hidden_state[0, -1]


@torch.inference_mode()
def by_rows(loaded, prompt):
    """(states after the words (N, width), states of GROWN (M, width), the Rows)."""
    rows = Rows(loaded, prompt)
    begun = rows.begin(*some_words(loaded), LENGTHS)
    of, paths, ids = GROWN
    return (
        begun,
        rows.grow(of, Paths.of_lists(paths), torch.tensor(ids), grown_positions(paths)),
        rows,
    )


def close(ours, theirs):
    return torch.allclose(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("packed", [1024, 10, 1])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_states_after_the_words_are_those_of_transformers(
    scene_of, architecture, packed, monkeypatch
):
    monkeypatch.setattr(rows_module, "PACKED_CPU", packed)
    loaded, prompt = scene_of(architecture)
    begun, _, _ = by_rows(loaded, prompt)
    ids, positions = some_words(loaded)
    for row, length in enumerate(LENGTHS.tolist()):
        own = ids[row, :length], positions[:, row, :length]
        assert close(begun[row, 0], by_transformers(loaded, prompt, *own))


def branch_by_transformers(loaded, prompt, row, path):
    """The state at the tip of a branch of GROWN, as one sequence behind its row's words."""
    ids, positions = some_words(loaded)
    length, chain = int(LENGTHS[row]), path[::-1]
    tokens = torch.tensor([GROWN[2][column] for column in chain])
    places = grown_positions([GROWN[1][column] for column in chain])
    whole = torch.cat([ids[row, :length], tokens])
    where = torch.cat([positions[:, row, :length], places], dim=1)
    return by_transformers(loaded, prompt, whole, where)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_states_of_branches_are_those_of_transformers(scene_of, architecture):
    loaded, prompt = scene_of(architecture)
    _, grown, _ = by_rows(loaded, prompt)
    for state, row, path in zip(grown, *GROWN[:2], strict=True):
        assert close(state, branch_by_transformers(loaded, prompt, row, path))


@pytest.mark.parametrize("wrong", ["row", "path", "prompt"])
def test_control_a_branch_that_sees_something_else_is_noticed(scene_of, wrong):
    loaded, prompt = scene_of("qwen3_vl")
    _, grown, _ = by_rows(loaded, prompt)
    row, path = (3 if wrong == "row" else 1), ([2, 0] if wrong == "path" else [2, 1, 0])
    other = prompt if wrong != "prompt" else [(k[:, :, 1:], v[:, :, 1:]) for k, v in prompt]
    assert not close(grown[2], branch_by_transformers(loaded, other, row, path))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_branches_may_grow_in_rounds(scene_of, architecture):
    loaded, prompt = scene_of(architecture)
    _, together, _ = by_rows(loaded, prompt)
    with torch.inference_mode():
        rows = Rows(loaded, prompt)
        rows.begin(*some_words(loaded), LENGTHS)
        for start, stop in ((0, 1), (1, 2), (2, 5)):
            of, paths, ids = (part[start:stop] for part in GROWN)
            found = rows.grow(of, Paths.of_lists(paths), torch.tensor(ids), grown_positions(paths))
            assert close(found, together[start:stop])


def test_angles_that_come_per_axis_turn_the_same_sections(scene_of, monkeypatch):
    """As the first releases of transformers 5 gave them for Qwen2.5-VL."""
    loaded, prompt = scene_of("qwen2_5_vl")
    expected, _, _ = by_rows(loaded, prompt)
    rotary = loaded.base.language_model.rotary_emb

    def per_axis(hidden, positions):
        turns = positions[..., None] * rotary.inv_freq
        both = torch.cat([turns, turns], dim=-1)
        return both.cos(), both.sin()

    monkeypatch.setattr(rotary, "forward", per_axis)
    assert close(by_rows(loaded, prompt)[0], expected)


class Largest(TorchDispatchMode):
    """The size in bytes of the largest tensor that was made."""

    bytes = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        made = function(*arguments, **(named or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return made


def largest(loaded, prompt):
    with Largest() as found:
        by_rows(loaded, prompt)
    return found.bytes


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_tensor_grows_with_the_prompt(scene_of, architecture):
    """No copy of it, neither for all rows nor for one, and no mask as wide as it."""
    loaded, prompt = scene_of(architecture)
    longer = [tuple(t.repeat(1, 1, 40, 1) for t in layer) for layer in prompt]
    assert longer[0][0].shape[2] > 800
    assert largest(loaded, longer) == largest(loaded, prompt)


def some_heads():
    """Queries of 4 heads and keys, values of 2 heads, 9 tokens each."""
    draw = torch.Generator().manual_seed(0)
    return [2 * torch.randn((3, heads, 9, 8), generator=draw) for heads in (4, 2, 2)]


@pytest.mark.parametrize("causal", [True, False])
def test_the_plain_way_finds_what_the_kernel_finds(causal, monkeypatch):
    monkeypatch.setattr("depthlm_ros.models.attention.QUERIES", 4)
    ours, theirs = (way(*some_heads(), 0.3, causal) for way in (folded, attend))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("of_torch", "width", "way"),
    [(True, 8, "gpu_attention"), (True, 12, "_plain"), (False, 8, "_plain")],
)
def test_the_kernel_of_a_gpu_is_taken_where_torch_has_it_and_its_widths_allow(
    monkeypatch, of_torch, width, way
):
    """Not on a GPU before Ampere, and not for heads that would have to be padded."""
    taken, plain = [], attention._plain
    monkeypatch.setattr(torch_compat, "can_use_flash_attention", lambda asked: of_torch)
    for module, name in ((torch_compat, "gpu_attention"), (attention, "_plain")):
        monkeypatch.setattr(module, name, lambda *a, n=name: taken.append(n) or plain(*a))
    queries, keys = torch.randn(1, 4, 3, width), torch.randn(1, 2, 5, width)
    attention.folded(queries, keys, keys, 0.3)
    assert taken == [way]


def test_parts_are_merged_to_the_attention_over_all_keys():
    queries, keys, values = (t[:1] for t in some_heads())
    whole, _ = attend(queries, keys, values, 0.3)
    parts = [
        attend(queries, keys[:, :, part], values[:, :, part], 0.3)
        for part in (slice(0, 2), slice(2, 9))
    ]
    found = merged([(f[0].transpose(0, 1), t[0].T) for f, t in parts])
    torch.testing.assert_close(found.transpose(0, 1), whole[0], atol=1e-6, rtol=1e-5)
