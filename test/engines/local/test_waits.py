# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a GPU would wait for in a step: how often it is read back, how much it is told to do."""

from contextlib import contextmanager

import pytest

torch = pytest.importorskip("torch")

from testing.tiny_models import ARCHITECTURES

from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.engines.local.rows import Rows
from depthlm_ros.models.torch_compat import Calls

KERNELS = 28  # a layer of a pass may take; 34 before layers over one input were one product


@contextmanager
def reads(monkeypatch):
    """How often something is read back inside, by whatever means."""
    seen = []
    with monkeypatch.context() as patch, Calls() as calls:
        for name in ("tolist", "item", "cpu", "numpy", "__int__", "__bool__", "__float__"):
            plain = getattr(torch.Tensor, name)
            patch.setattr(
                torch.Tensor,
                name,
                lambda *a, n=name, p=plain, **how: seen.append(n) or p(*a, **how),
            )
        yield seen
    assert calls.waits == {}


@pytest.fixture
def passes(monkeypatch):
    """The Calls of each pass over tokens that grow."""
    made, grow = [], Rows.grow

    def counted(self, *given):
        with Calls() as calls:
            found = grow(self, *given)
        made.append(calls)
        return found

    monkeypatch.setattr(Rows, "grow", counted)
    return made


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_numbers_are_read_back_once_a_round(
    engines, asked, monkeypatch, passes, architecture, count
):
    engine = engines("local", architecture)
    pairs, read, counts = asked(engine, "marker", count), engine.reader.read, []

    def counted(begun):
        with reads(monkeypatch) as seen:
            found = read(begun)
        counts.append((len(seen), len(passes)))
        return found

    monkeypatch.setattr(engine.reader, "read", counted)
    engine.step(pairs)
    ((seen, rounds),) = counts
    assert rounds >= 2 and seen == 1 + rounds


@pytest.mark.parametrize("count", [1, 6])
def test_a_check_is_read_back_once(checkpoints, asked, monkeypatch, count):
    engine = LocalEngine(checkpoints("qwen2_5_vl"), "cpu", check="on")
    agreed, counts = engine.checker.agreed, []

    def counted(begun, *given):
        with reads(monkeypatch) as seen:
            found = agreed(begun, *given)
        counts.append([name for name in seen if name != "__float__"])  # of places, on the host
        return found

    monkeypatch.setattr(engine.checker, "agreed", counted)
    engine.step(asked(engine, "marker", count))
    assert counts == [["tolist"]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_pass_takes_few_operations_a_layer(engines, asked, passes, architecture):
    engine = engines("local", architecture)
    engine.step(asked(engine, "marker", 1))
    layers = engine.loaded.config.get_text_config().num_hidden_layers
    norms = 3 if architecture == "qwen3_vl" else 0  # of queries and keys, which part them
    for calls in passes:
        assert calls.kernels <= (KERNELS + norms) * layers + 40
        assert calls.attention == layers
