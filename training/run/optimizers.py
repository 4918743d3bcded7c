# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Muon for the matrices inside the blocks and AdamW for everything else, as one optimizer.

Muon (K. Jordan, 2024) makes each step of a matrix orthogonal; its steps are scaled to the size of
AdamW's (Liu et al., Muon is Scalable for LLM Training, 2025, section 2.2), so one learning rate
serves both. Embeddings, heads, norms and biases are no maps between hidden states, which is what
the reasoning is about. Not torch's Muon, which multiplies in bfloat16 everywhere: on a processor
without such instructions that takes thirty times as long as float32. Knows nothing about models
beyond the names of their parts.
"""

import torch
from torch.optim import AdamW, Optimizer

MAPS = {"blocks", "layers", "merger", "deepstack_merger_list", "multi_modal_projector"}
MOMENTUM = 0.95
ROUNDS = 5  # of Newton-Schulz


def split(model) -> tuple:
    """(matrices of blocks and mergers, all the rest): those parameters that learn, by name."""
    learns = {name: p for name, p in model.named_parameters() if p.requires_grad}
    inner = {n: p for n, p in learns.items() if p.ndim == 2 and MAPS & set(n.split("."))}
    return inner, {n: p for n, p in learns.items() if n not in inner}


class MuonWithAdamW(Optimizer):
    """matrices, others: parameters; of either there may be none. weight_decay: of the matrices.
    betas: of AdamW.

    Both halves work on this object's groups and state, so what schedules, saves and loads an
    Optimizer needs to know of one only.
    """

    def __init__(self, matrices, others, lr, weight_decay, betas):
        inner = {"params": list(matrices), "lr": lr, "weight_decay": weight_decay}
        self._others = AdamW([{"params": list(others)}], lr, betas, weight_decay=0.0)
        super().__init__([inner, self._others.param_groups[0]], {})
        self._share()

    def load_state_dict(self, state_dict):
        """As torch's, which replaces groups and state."""
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure=None):
        """One step of each half; what the closure returns."""
        with torch.enable_grad():
            loss = closure() if closure else None
        group = self.param_groups[0]
        for matrix in group["params"]:
            if matrix.grad is None:
                continue
            state = self.state[matrix]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(matrix.grad)
            moment = state["momentum_buffer"][None]
            muon_step([matrix], moment, group["lr"], group["weight_decay"])
        self._others.step()
        return loss

    def _share(self):
        self._others.param_groups, self._others.state = [self.param_groups[1]], self.state


@torch.no_grad()
def muon_step(matrices, moment, lr, weight_decay) -> None:
    """Muon's step of n matrices (a, b) of equal shape, with Nesterov's momentum: moment (n, a, b)
    holds the mean of their gradients so far, and is brought up to date."""
    gradient = torch.stack([matrix.grad for matrix in matrices])
    moment.lerp_(gradient, 1 - MOMENTUM)
    update = orthogonal(gradient.lerp(moment, MOMENTUM)).to(matrices[0].dtype)
    length = lr * 0.2 * max(matrices[0].shape) ** 0.5
    torch._foreach_mul_(matrices, 1 - lr * weight_decay)
    torch._foreach_add_(matrices, list(update.unbind()), alpha=-length)


def orthogonal(matrices) -> torch.Tensor:
    """(n, a, b) -> the nearest orthogonal ones, roughly: Newton-Schulz as torch's Muon does it,
    in bfloat16 on a GPU."""
    tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    found = found.transpose(1, 2) if tall else found
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ROUNDS):
        squares = found @ found.transpose(1, 2)
        more = torch.baddbmm(squares, squares, squares, beta=-4.7750, alpha=2.0315)
        found = torch.baddbmm(found, more, found, beta=3.4445)
    return found.transpose(1, 2) if tall else found
