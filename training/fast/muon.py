# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Muon for all matrices of equal shape at once: the step of training.run.optimizers in a thirtieth
of the kernels. Tests hold it to torch's own.
"""

import torch

from training.run.optimizers import muon_step


class Muon:
    """parameters: matrices, each of which gets a gradient before every step()."""

    def __init__(self, parameters, weight_decay):
        self._decay = weight_decay
        by_shape = {}
        for parameter in parameters:
            by_shape.setdefault(tuple(parameter.shape), []).append(parameter)
        self._groups = list(by_shape.values())
        self._moments = [torch.zeros_like(torch.stack(group)) for group in self._groups]

    def forget(self) -> None:
        """Begin anew."""
        torch._foreach_zero_(self._moments)

    def step(self, lr) -> None:
        """One step at a learning rate."""
        for group, moment in zip(self._groups, self._moments, strict=True):
            muon_step(group, moment, lr, self._decay)
