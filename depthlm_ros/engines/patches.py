# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The patch embedding of Qwen-VL as the matrix product that it is.

A 3-D convolution whose kernel equals its stride; many backends compute it ten times slower. Done
after loading: transformers' own fusion_config leaves random weights behind.
"""

import torch


class LinearPatches(torch.nn.Module):
    """Patches (N, channels * frames * side * side) -> embeddings (N, width).

    Keeps the convolution as its parameters, so that names in a checkpoint and gradients stay.
    """

    def __init__(self, convolution):
        super().__init__()
        self.proj = convolution

    def forward(self, patches):
        """One product; the patches are flat already."""
        weight = self.proj.weight.flatten(1)
        flat = patches.view(-1, weight.shape[1]).to(weight.dtype)
        return torch.nn.functional.linear(flat, weight, self.proj.bias)


def linear_patches(model) -> None:
    """Swap the patch embedding of a loaded Qwen-VL model; others stay as they are."""
    visual = getattr(model.model, "visual", None)
    if visual is not None:
        visual.patch_embed = LinearPatches(visual.patch_embed.proj)
