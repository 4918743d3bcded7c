# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What torch is asked to do, counted: on a processor it shows what a GPU would wait for."""

from collections import Counter

from torch.utils._python_dispatch import TorchDispatchMode

# What makes a host wait for its GPU, as torch calls it.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero")
# What moves no data.
VIEWS = (
    *("view", "_unsafe_view", "expand", "permute", "transpose", "t", "slice", "select", "split"),
    *("split_with_sizes", "unsqueeze", "squeeze", "unbind", "detach", "alias", "chunk"),
    *("flatten", "unflatten", "lift_fresh", "_reshape_alias", "as_strided"),
)


class Calls(TorchDispatchMode):
    """How often each operation was called inside."""

    def __init__(self):
        super().__init__()
        self.of = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        self.of[function.overloadpacket.__name__] += 1
        return function(*arguments, **(named or {}))

    @property
    def attention(self):
        """Calls of attention kernels."""
        return sum(n for name, n in self.of.items() if "attention" in name)

    @property
    def waits(self):
        """Operation that waits -> how often."""
        return {name: n for name, n in self.of.items() if name.startswith(WAITS)}

    @property
    def kernels(self):
        """Operations that compute or copy something."""
        return sum(n for name, n in self.of.items() if name not in VIEWS)
