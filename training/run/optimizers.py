# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Muon for the matrices inside the blocks and AdamW for everything else, as one optimizer.

Muon (K. Jordan, 2024) makes each step of a matrix orthogonal; its steps are scaled to the size of
AdamW's (Liu et al., Muon is Scalable for LLM Training, 2025, section 2.2), so one learning rate
serves both. Embeddings, heads, norms and biases are no maps between hidden states, which is what
the reasoning is about. Knows nothing about models beyond the names of their parts.
"""

from torch.optim import AdamW, Optimizer

from depthlm_ros.errors import MissingDependency

MAPS = {"blocks", "layers", "merger", "deepstack_merger_list", "multi_modal_projector"}
MOMENTUM = 0.95


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
        scaled = {"momentum": MOMENTUM, "adjust_lr_fn": "match_rms_adamw"}
        self._halves = (
            _muon()([{"params": list(matrices)}], lr, weight_decay, **scaled),
            AdamW([{"params": list(others)}], lr, betas, weight_decay=0.0),
        )
        super().__init__([half.param_groups[0] for half in self._halves], {})
        self._share()

    def load_state_dict(self, state_dict):
        """As torch's, which replaces groups and state."""
        super().load_state_dict(state_dict)
        self._share()

    def step(self, closure=None):
        """One step of each half; what the closure returns."""
        loss = closure() if closure else None
        for half in self._halves:
            half.step()
        return loss

    def _share(self):
        for half, group in zip(self._halves, self.param_groups, strict=True):
            half.param_groups, half.state = [group], self.state


def _muon():
    try:
        from torch.optim import Muon
    except ImportError as error:
        raise MissingDependency("optimizer: muon needs torch 2.9 or later; take adamw") from error
    return Muon
