# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Passes that do not fit into memory are halved; which errors say that they did not."""

import weakref

import pytest

torch = pytest.importorskip("torch")
from depthlm_ros.errors import EngineError, OutOfMemory
from depthlm_ros.models import memory
from depthlm_ros.models.memory import in_passes


class Device:
    """Answers with ten times the question; more than `most` at once do not fit."""

    def __init__(self, most):
        self.most, self.passes, self.leaked = most, [], []

    def __call__(self, part):
        assert [ref() for ref in self.leaked] == [None] * len(self.leaked)
        self.passes.append(len(part))
        held = torch.zeros(8)
        self.leaked.append(weakref.ref(held))
        if len(part) > self.most:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried {len(held)} bytes.\nDetails")
        return [10 * member for member in part]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 17, 64])
def test_every_question_is_answered_once_and_in_order(count, most):
    """The device also sees that nothing of a failed pass is left when the next one begins."""
    device, calls = Device(most), []
    assert in_passes(device, list(range(count)), 1000, calls.append) == [
        10 * member for member in range(count)
    ]
    assert calls == sorted(calls, reverse=True)
    assert sum(size for size in device.passes if size <= most) == count


def test_passes_are_no_larger_than_what_was_estimated():
    device = Device(100)
    in_passes(device, list(range(10)), 4, None)
    assert device.passes == [4, 4, 2]


def test_one_question_that_does_not_fit_is_an_error_with_the_reason():
    with pytest.raises(OutOfMemory, match="CUDA"):
        in_passes(Device(0), [1, 2, 3], 1000, lambda size: None)


def test_no_questions_need_no_pass():
    assert in_passes(Device(0), [], 1000, None) == []


def test_other_failures_are_not_tried_again():
    calls = []

    def failing(part):
        calls.append(part)
        raise RuntimeError("a shape is wrong")

    with pytest.raises(RuntimeError, match="a shape is wrong"):
        in_passes(failing, [1, 2], 1000, None)
    assert len(calls) == 1


def test_what_a_failed_pass_held_is_collected(monkeypatch):
    """Its frames may be in a cycle that only the collector frees."""
    collected = []
    monkeypatch.setattr(memory.gc, "collect", lambda: collected.append(1))
    in_passes(Device(2), [1, 2, 3], 1000, lambda size: None)
    assert collected == [1]


def test_memory_that_a_processor_refuses_is_known_by_its_message():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert memory.is_out_of_memory(caught.value)
    assert memory.is_out_of_memory(MemoryError())
    assert not memory.is_out_of_memory(RuntimeError("shapes do not match"))


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA",
        "CUDA driver error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "CUDACachingAllocator.cpp":995',
    ],
)
def test_memory_that_a_gpu_refuses_is_known_where_the_error_has_no_class(said):
    assert memory.is_out_of_memory(RuntimeError(said))
    assert not memory.is_out_of_memory(EngineError(said)), "only what torch says"


def test_a_fault_of_a_gpu_is_no_lack_of_memory():
    assert not memory.is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
