# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A stand-in for CUDA's graphs that needs no GPU: what torch is asked to do is written down and
done again, with the same sizes and in the same memory.

As with a graph, no Python of what was recorded runs again: a size, an address or a number of the
host that ought to have changed stays as it was. It knows nothing of streams, and of what CUDA
cannot record it knows what reads a tensor back.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from depthlm_ros.models.torch_compat import Calls


class Tape(TorchDispatchMode):
    """Writes down what is done inside."""

    def __init__(self):
        super().__init__()
        self._done = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        found = function(*arguments, **(named or {}))
        self._done.append((function, arguments, named or {}, tensors(found)))
        return found

    def again(self):
        """Do it all again, into the tensors that were made then."""
        for function, arguments, named, made in self._done:
            given = {memory(one) for one in tensors((arguments, named))}
            if all(memory(one) in given for one in made):  # changed in place, or looked at
                if function._schema.is_mutable:
                    function(*arguments, **named)
                continue
            for one, new in zip(made, tensors(function(*arguments, **named)), strict=True):
                one.copy_(new)


class Recorder:
    """Records passes on tapes. recorded, repeated: how many."""

    def __init__(self):
        self.recorded = self.repeated = 0

    def __call__(self, action):
        action()
        with Calls() as calls, Tape() as tape:
            found = action()
        if calls.waits:
            raise RuntimeError(f"operation not permitted when stream is capturing: {calls.waits}")
        self.recorded += 1
        for one in tensors(found):
            one.zero_()  # a graph computes nothing while it is recorded

        def repeat():
            self.repeated += 1
            tape.again()
            return found

        return repeat


def memory(tensor):
    """Where it lies, whatever part of it."""
    return tensor.untyped_storage().data_ptr()


def tensors(found):
    """Those in it."""
    return [one for one in tree_leaves(found) if isinstance(one, torch.Tensor)]
