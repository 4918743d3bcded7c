# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""One step of a student shared out by fully_shard, which accelerate does on GPUs only."""

import socket
from functools import partial

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from training.config import read_config
from training.data.collate import Collator
from training.run.supervised import policy, wrapper_of


@pytest.fixture
def group():
    """A process group of this process alone."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def shared_out(student, layers, bf16):
    mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
    shard = partial(fully_shard, mesh=mesh, mp_policy=policy(bf16))
    for module in list(student.modules()):
        if type(module).__name__ in layers:
            shard(module)
    return shard(student)


@pytest.mark.parametrize("name", ["depthlm_3b", "vlm3_4b"])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_shared_out_step_is_the_whole_one(group, parts_of, row_about, student_of, name, bf16):
    """Late positions and their fractions survive: bfloat16 inputs would lose both."""
    config = read_config(f"training/configs/{name}.yaml")
    architecture = config.checkpoint.architecture
    row = row_about(architecture, {"position": 2}, width=400, height=300)
    batch = Collator(parts_of(architecture))([row])
    batch["position_ids"] += 1000
    whole, parted = student_of(architecture), student_of(architecture)
    parted = shared_out(parted, config.fsdp.layers, bf16)
    assert wrapper_of(parted) == "fully_shard" and wrapper_of(whole) == "none"
    seen, losses = [], []
    parted.model.model.language_model.register_forward_pre_hook(
        lambda _module, _given, named: seen.append(named["position_ids"]), with_kwargs=True
    )
    for student in (whole, parted):
        optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = student(**batch)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert torch.equal(seen[0][-3:], batch["position_ids"]) and seen[0].dtype == torch.float32
    weight = parted.model.model.language_model.layers[0].mlp.up_proj.weight
    assert isinstance(weight, DTensor) and weight.dtype == torch.float32
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if bf16 else 1e-5)
