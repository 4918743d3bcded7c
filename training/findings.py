# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Findings of the papers as comparisons of small runs: which runs, and what each changes.

Two runs of a comparison share everything but what is compared, the budget included: equal labels,
pictures, seconds or FLOPs. Knows nothing about how a run is carried out (replicate.py).
"""

from dataclasses import dataclass, field

DENSE = {"dense": 1.0}
ASKING = {"text": 0.2, "dense": 1.0, "locate": 0.5}
# One step of SFT costs three forwards a reply (backward: two); one of GRPO with a group of eight
# generates eight replies (a forward each, reused keys left aside) and trains on all of them.
GRPO_FLOPS = 8 * (1 + 3) / 3


@dataclass(frozen=True)
class Arm:
    """One run. base: the arm it goes on from, "" for a new model. ask: style -> questions a
    picture. style: that it is measured in. share: of the steps of an arm; seconds_of: the arm
    whose seconds it gets instead. changes: of training.config.Config. raw: pictures keep their
    own focal length. grpo: by rewards."""

    name: str
    style: str
    ask: dict
    base: str = "warm"
    share: float = 1.0
    seconds_of: str = ""
    changes: dict = field(default_factory=dict)
    weights: dict = field(default_factory=lambda: ASKING)
    raw: bool = False
    grpo: bool = False


def _by(style, count=1, **more) -> Arm:
    return Arm(more.pop("name", style), style, {style: count}, **more)


# What others start from: a model that has learnt to see, and one that has learnt to answer.
BASES = {
    "warm": Arm("warm", "", {}, base="", weights=DENSE, share=2.0),
    "warm raw": Arm("warm raw", "", {}, base="", weights=DENSE, share=2.0, raw=True),
    "answers": _by("coordinates", 10, name="answers", share=2.0),
}
# finding -> (what the papers say, its arms)
FINDINGS = {
    "focal": (
        "one focal length for all pictures beats mixed cameras (DepthLM, section 3.3)",
        (
            _by("position", 8, name="unified focal length"),
            _by("position", 8, name="raw mixed cameras", base="warm raw", raw=True),
        ),
    ),
    "pointing": (
        "the ways to point are equally good (VLM3; DepthLM finds markers better than coordinates)",
        (
            _by("marker", name="marker"),
            _by("coordinates", name="coordinates, equal labels"),
            _by("position", name="position, equal labels"),
            _by("coordinates", name="coordinates, equal seconds", seconds_of="marker"),
            _by("position", name="position, equal seconds", seconds_of="marker"),
        ),
    ),
    "labels": (
        "more pictures beat more labels a picture (DepthLM, finding 4)",
        (
            _by("coordinates", 10, name="ten labels"),
            _by("coordinates", name="one label, equal pictures"),
            _by("coordinates", name="one label, equal seconds", seconds_of="ten labels"),
        ),
    ),
    "loss": (
        "the published code trains the question too (DepthLM)",
        (
            _by("coordinates", 5, name="loss on the answer"),
            _by("coordinates", 5, name="loss on all", changes={"loss_on": "all"}),
        ),
    ),
    "rewards": (
        "SFT is as good as GRPO at a tenth of the compute (DepthLM, section 3.2)",
        (
            _by("coordinates", name="SFT, equal pictures", base="answers"),
            _by("coordinates", name="SFT, equal FLOPs", base="answers", share=GRPO_FLOPS),
            _by("coordinates", name="GRPO", base="answers", grpo=True),
        ),
    ),
}
