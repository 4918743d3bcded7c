# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Muon beside AdamW: which parameter learns by which, and one object to whoever uses it."""

from copy import deepcopy

import pytest

torch = pytest.importorskip("torch")

from torch.optim import AdamW, Muon
from torch.utils._python_dispatch import TorchDispatchMode

from training.data.collate import Collator
from training.run.optimizers import MuonWithAdamW, split

OUTSIDE = ("embed", "lm_head", "patch", "pos_embed", "heads.", "norm", "bias")


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "llava"])
def test_matrices_of_blocks_and_mergers_are_muons_and_nothing_else_is(name, student_of):
    student = student_of(name, heads=True)
    inner, others = split(student)
    learns = dict(student.named_parameters())
    assert not set(inner) & set(others) and set(inner) | set(others) == set(learns)
    assert all(p.ndim == 2 and not any(o in n for o in OUTSIDE) for n, p in inner.items())
    assert all(p.ndim != 2 or any(o in n for o in OUTSIDE) for n, p in others.items())
    merger = "multi_modal_projector" if name == "llava" else "merger"
    assert sum(merger in n for n in inner) == (4 if name == "qwen3_vl" else 2)
    assert {"heads.dense.weight", "heads.key.weight"} <= set(others)


def test_what_is_frozen_is_nobodys(student_of):
    student = student_of("qwen3_vl")
    student.model.model.visual.requires_grad_(False)
    assert not any("visual" in name for half in split(student) for name in half)


def weights():
    generator = torch.Generator().manual_seed(0)
    shapes = (6, 4), (3, 8), (5,), (7, 2)
    return [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]


def push(parameters, step):
    """The same gradients for the same step."""
    generator = torch.Generator().manual_seed(step)
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=generator)


def test_it_steps_as_its_halves_would_and_goes_on_from_its_saved_state():
    ours, apart, later = weights(), weights(), weights()
    both = MuonWithAdamW(ours[:2], ours[2:], 1e-2, 0.1, (0.9, 0.95))
    halves = (
        Muon(apart[:2], 1e-2, 0.1, adjust_lr_fn="match_rms_adamw"),
        AdamW(apart[2:], 1e-2, (0.9, 0.95), weight_decay=0.0),
    )
    again = MuonWithAdamW(later[:2], later[2:], 1.0, 0.0, (0.5, 0.5))
    for step in range(6):
        if step == 3:
            again.load_state_dict(deepcopy(both.state_dict()))
            for mine, learnt in zip(later, ours, strict=True):
                mine.data = learnt.detach().clone()
        users = [(both, ours), (again, later)] if step >= 3 else [(both, ours)]
        for one, parameters in [*users, *((half, apart) for half in halves)]:
            push(parameters, step)
            for group in one.param_groups:
                group["lr"] = 1e-2 / (1 + step)
            one.step()
    begun = weights()
    for mine, resumed, expected, first in zip(ours, later, apart, begun, strict=True):
        assert torch.equal(mine, resumed)
        if mine is ours[0] or mine is ours[1]:  # torch turns matrices in bfloat16
            moved = (expected - first).norm()
            assert (mine - expected).norm() < 0.02 * moved < 0.02 * first.norm()
        else:
            assert torch.equal(mine, expected)
    assert again.state_dict()["state"].keys() == {0, 1, 2, 3}


def test_a_batch_is_learnt_by_heart(student_of, parts_of, row_about):
    student = student_of("qwen3_vl", heads=True)
    row = row_about("qwen3_vl", {"position": 3, "marker": 1})
    batch = Collator(parts_of("qwen3_vl"))([row])
    inner, others = split(student)
    optimizer = MuonWithAdamW(inner.values(), others.values(), 3e-3, 0.0, (0.9, 0.95))
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(student(**batch)["loss"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]


class Products(TorchDispatchMode):
    """types: of the matrices that were multiplied while it was entered."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def __torch_dispatch__(self, called, types, given=(), named=None):
        if called.overloadpacket.__name__ in ("mm", "addmm", "bmm", "baddbmm"):
            self.types.add(given[0].dtype)
        return called(*given, **(named or {}))


def test_a_processor_multiplies_in_float32():
    """Without instructions for bfloat16 it takes thirty times as long."""
    parameters = weights()
    push(parameters, 0)
    optimizer = MuonWithAdamW(parameters[:2], parameters[2:], 1e-2, 0.1, (0.9, 0.95))
    with Products() as products:
        optimizer.step()
    assert products.types == {torch.float32}
