# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What is used of torch beyond its documented interfaces, in one place: kernels that only its own
code calls, and a listener to all that it is asked to do.

Read in torch 2.13; test/models/test_torch_compat.py has a test for each function here, so that a
new version that breaks one names it.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import torch
from torch.backends.cuda import SDPAParams, can_use_flash_attention
from torch.utils._python_dispatch import TorchDispatchMode

# oneDNN, and torch around it, keep what was compiled for each number of rows, and steps are of
# every size: with their own limits of 1,024 a node grows by hundreds of megabytes. Read at the
# first use of either.
for _limit in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_limit, "16")


# Attention kernels that also return the log of the sum of weights.

_CPU_KERNEL = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default


def cpu_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """(found, log sums) by the kernel of a CPU; see attention.attend."""
    return _CPU_KERNEL(queries, keys, values, 0.0, causal, scale=scale)


def gpu_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """(found, log sums) by the kernel of a GPU for half precision."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention
    found, total, *_ = kernel(queries, keys, values, 0.0, causal, scale=scale)
    return found, total[..., : queries.shape[2]]


def has_gpu_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, causal: bool
) -> bool:
    """Whether torch has a kernel of a GPU for these: not on one before Ampere, nor for float32.
    Heads must come in eights, since the padding of other widths lies outside the kernel."""
    asked = SDPAParams(queries, keys, values, None, 0.0, causal, False)
    return queries.shape[3] % 8 == 0 and can_use_flash_attention(asked)


# Matrix products by oneDNN instead of MKL.


def has_onednn_linear() -> bool:
    """Whether this build of torch multiplies by oneDNN too."""
    available = torch.backends.mkldnn.is_available()
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def onednn_linear(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """torch.nn.functional.linear by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


# What torch is asked to do, counted.

# What makes a host wait for its GPU, as torch calls it.
_WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero")
# What moves no data.
_VIEWS = (
    *("view", "_unsafe_view", "expand", "permute", "transpose", "t", "slice", "narrow", "select"),
    *("split", "split_with_sizes", "unsqueeze", "squeeze", "unbind", "detach", "alias", "chunk"),
    *("flatten", "unflatten", "lift_fresh", "_reshape_alias", "as_strided"),
)


class Calls(TorchDispatchMode):  # type: ignore[misc]
    """How often each operation is called inside: on a processor it shows what a GPU would wait
    for."""

    def __init__(self) -> None:
        super().__init__()
        self.of: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        self.of[function.overloadpacket.__name__] += 1
        return function(*arguments, **(named or {}))

    @property
    def attention(self) -> int:
        """Calls of attention kernels."""
        return sum(n for name, n in self.of.items() if "attention" in name)

    @property
    def waits(self) -> dict[str, int]:
        """Operation that waits -> how often."""
        return {name: n for name, n in self.of.items() if name.startswith(_WAITS)}

    @property
    def kernels(self) -> int:
        """Operations that compute or copy something."""
        return sum(n for name, n in self.of.items() if name not in _VIEWS)
