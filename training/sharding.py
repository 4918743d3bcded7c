# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How weights are cast where they are shared out over GPUs (FSDP 2, fully_shard)."""

import torch
from torch.distributed.fsdp import MixedPrecisionPolicy


def policy(bf16) -> MixedPrecisionPolicy:
    """Gathered in bfloat16, gradients added up in float32, inputs left alone.

    By default every floating input is cast too: rotary positions would lose their fractions and,
    beyond 256, whole places.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    return MixedPrecisionPolicy(
        param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
