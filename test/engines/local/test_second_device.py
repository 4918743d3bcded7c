# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Everything of a step is on the model's device: nothing mixes it with the CPU."""

import pytest
from numpy.testing import assert_allclose as assert_close

torch = pytest.importorskip("torch")

from testing import second_device
from testing.tiny_models import ARCHITECTURES

from depthlm_ros.checkpoints import find_checkpoint
from depthlm_ros.dense.engine import DenseEngine
from depthlm_ros.engines.local import engine as local

pytestmark = pytest.mark.skipif(
    not second_device.is_possible(), reason="this torch has no device that Python defines"
)

LONGEST = 4  # tokens that are decoded freely: each takes a pass
STYLES = [
    (architecture, style)
    for architecture in ARCHITECTURES
    for style in ("marker", "coordinates", "position")
    if (architecture, style) != ("llava", "position")  # its positions are whole numbers
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("check", ["off", "on", "auto"])
@pytest.mark.parametrize("architecture, style", STYLES)
def test_a_step_stays_on_its_device(checkpoints, asked, architecture, style, check):
    checkpoint = checkpoints(architecture)
    here = local.LocalEngine(checkpoint, "cpu", "float32", check, LONGEST)
    wanted = here.step(asked(here, style, 2))
    with second_device.engine_elsewhere(checkpoint, check=check, longest=LONGEST) as engine:
        found = engine.step(asked(engine, style, 2))
    for one, other in zip(found, wanted, strict=True):
        assert one.text == other.text
        told = [[each.value, each.median, each.mass] for each in (one, other)]
        assert_close(*told, rtol=1e-4)


def test_a_map_stays_on_its_device(view_of):
    checkpoint, view = find_checkpoint("tiny"), view_of(0, 96, 64)
    wanted = mapped(local.LocalEngine(checkpoint, "cpu", "float32"), view)
    with second_device.engine_elsewhere(checkpoint, check="off") as engine:
        found = mapped(engine, view)
    assert found.value.device.type == "cpu"
    assert_close(found.value, wanted.value, atol=1e-5)
    assert_close(found.log_scale, wanted.log_scale, atol=1e-5)


def test_the_device_refuses_to_mix():
    with second_device.second_device():
        there = torch.ones(3, device=second_device.NAME)
        with pytest.raises(RuntimeError, match="mixes"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="mixes"):
            there[torch.tensor([0, 2])]
        with pytest.raises(TypeError):
            there.numpy()
        assert (there + torch.ones(3).to(there.device)).tolist() == [2, 2, 2]


def mapped(engine, view):
    """The DepthMap of a view."""
    dense = DenseEngine(engine)
    return dense.step([(dense.seen(view), None)])[0]
