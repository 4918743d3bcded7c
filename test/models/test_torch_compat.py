# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Each private interface of torch, by itself: what fails here names what a new version broke."""

import pytest

torch = pytest.importorskip("torch")

from depthlm_ros.models import torch_compat

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch is built without oneDNN"
)


def heads(count, length=9, width=8):
    return torch.randn((2, count, length, width), generator=torch.Generator().manual_seed(count))


def expected_attention(queries, keys, values, scale):
    """(found, log sums) by definition."""
    weights = queries @ keys.transpose(2, 3) * scale
    return weights.softmax(3) @ values, weights.logsumexp(3)


def test_the_kernel_of_a_cpu_also_returns_the_log_of_the_sum_of_weights():
    given = heads(4), heads(4, 7), heads(4, 7)
    found = torch_compat.cpu_attention(*given, 0.3, False)
    for ours, theirs in zip(found, expected_attention(*given, 0.3), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_kernel_of_a_cpu_serves_fewer_heads_of_keys():
    queries, keys, values = heads(4), heads(2, 7), heads(2, 7)
    repeated = (t.repeat_interleave(2, 1) for t in (keys, values))
    found, _ = torch_compat.cpu_attention(queries, keys, values, 0.3, False)
    expected, _ = expected_attention(queries, *repeated, 0.3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_kernel_of_a_gpu_is_called_as_this_torch_declares_it():
    """By its shapes, without a GPU."""
    queries = torch.empty(2, 4, 9, 16, device="meta", dtype=torch.bfloat16)
    keys = torch.empty(2, 4, 7, 16, device="meta", dtype=torch.bfloat16)
    found, total = torch_compat.gpu_attention(queries, keys, keys, 0.3, False)
    assert (found.shape, found.dtype) == (queries.shape, torch.bfloat16)
    assert (total.shape, total.dtype) == ((2, 4, 9), torch.float32)


def test_whether_torch_has_a_kernel_of_a_gpu_can_be_asked_without_one():
    assert torch_compat.has_gpu_attention(heads(4), heads(4), heads(4), False) is False


@needs_onednn
@pytest.mark.parametrize("bias", [None, torch.arange(5.0)])
def test_onednn_multiplies_as_linear_does(bias):
    assert torch_compat.has_onednn_linear()
    rows, weight = torch.randn(20, 7), torch.randn(5, 7)
    expected = torch.nn.functional.linear(rows, weight, bias)
    torch.testing.assert_close(
        torch_compat.onednn_linear(rows, weight, bias), expected, atol=1e-5, rtol=1e-5
    )
