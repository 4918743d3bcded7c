# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Do the findings of the papers hold at small scale? One table.

    python -m training.tools.replicate --data shards/train --out runs/replicate --steps 300

A finding is a comparison of small runs that share everything but what is compared, the budget
included: equal labels, images, seconds or FLOPs. They are trained one after the other, each of
the given steps, and measured on held-out rendered scenes. A run that is finished is not repeated,
one that was killed goes on; `--findings focal loss` takes some of them, `--steps 0` trains nothing
and prints the table as far as it is. What has not run is marked so. Other settings take another
--out.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from depthlm_ros.cli.values import count, from_zero
from depthlm_ros.errors import DepthLMError
from depthlm_ros.evaluation.metrics import best_constant, delta1, share_interval
from depthlm_ros.predict import load_predictor
from depthlm_ros.view import Frame
from training import grpo, sft
from training.config import GrpoConfig, Stage, read_config
from training.data.shards import Shards, Shot, write_shard
from training.heldout import answered, questions
from training.run.commands import errors_told, parser_of
from training.tools.comparing import keep, keep_settings, kept, spent

DENSE = {"dense": 1.0}
ASKING = {"text": 0.2, "dense": 1.0, "locate": 0.5}
# One step of SFT costs three forwards a reply (backward: two); one of GRPO with a group of eight
# generates eight replies (a forward each, reused keys left aside) and trains on all of them.
GRPO_FLOPS = 8 * (1 + 3) / 3


@dataclass(frozen=True)
class Arm:
    """One run.

    style: that it is measured in.
    ask: style -> questions per image.
    base: the arm it goes on from, "" for a new model.
    share: of the steps of an arm.
    seconds_of: the arm whose seconds it gets instead.
    changes: of the SftConfig.
    raw: images keep their own focal length.
    grpo: by rewards.
    """

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
        "one focal length for all images beats mixed cameras (DepthLM, section 3.3)",
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
        "more images beat more labels per image (DepthLM, finding 4)",
        (
            _by("coordinates", 10, name="ten labels"),
            _by("coordinates", name="one label, equal images"),
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
            _by("coordinates", name="SFT, equal images", base="answers"),
            _by("coordinates", name="SFT, equal FLOPs", base="answers", share=GRPO_FLOPS),
            _by("coordinates", name="GRPO", base="answers", grpo=True),
        ),
    ),
}


CONFIG = Path(__file__).parents[1] / "configs" / "tiny.yaml"
FIRST = 700_000  # held-out scenes that nothing else uses


class Replication:
    """The runs in a folder. steps: of an arm whose share is one; batch: images a step; scenes,
    pixels: to measure on; changes: of the SftConfig of every run."""

    def __init__(self, out, data, steps, batch=16, scenes=100, pixels=8, seed=1, **changes):
        self.out, self.data, self.seed = Path(out), data, seed
        self.steps, self.batch = steps, batch
        self._scenes, self._changes = (scenes, pixels), changes
        given = {"data": str(data), "steps": steps, "batch": batch, "scenes": scenes}
        self._settings = {**given, "pixels": pixels, "seed": seed, **changes}

    def carry_out(self, finding) -> None:
        """Every run of a finding, and those that they start from; InputError where those in the
        folder had other settings."""
        keep_settings(self.out, self._settings)
        arms = FINDINGS[finding][1]
        for arm in arms:
            self._base(arm)
            folder = self.out / finding / _slug(arm.name)
            self._run(arm, folder, self._steps(arm, finding))

    def rows(self, finding) -> list:
        """Dicts of the finding's arms; an arm that has not run has its name only."""
        folder, arms = self.out / finding, FINDINGS[finding][1]
        return [{"run": arm.name, **kept(folder / _slug(arm.name))} for arm in arms]

    def _base(self, arm) -> None:
        base = BASES.get(arm.base)
        if base:
            self._base(base)
            self._run(base, self._folder(arm.base), max(1, round(self.steps * base.share)))

    def _folder(self, base) -> Path:
        return self.out / "bases" / _slug(base)

    def _steps(self, arm, finding) -> int:
        if not arm.seconds_of:
            return max(1, round(self.steps * arm.share))
        seconds = {row["run"]: row for row in self.rows(finding)}
        of, own = seconds[arm.seconds_of], self._rate(arm, finding)
        return max(1, round(of["seconds"] / own))

    def _rate(self, arm, finding) -> float:
        """Seconds a step of the arm that asks the same, which has run before."""
        for other, row in zip(FINDINGS[finding][1], self.rows(finding), strict=True):
            if other.ask == arm.ask and "seconds" in row:
                return row["seconds"] / row["steps"]
        raise DepthLMError(f"{finding}: nothing like '{arm.name}' has been timed")

    def _run(self, arm, folder, steps) -> None:
        if kept(folder):
            return
        print(f"{folder.name}: {steps} steps of {self.batch} images", flush=True)
        begin = spent()
        shipped = (self._by_rewards if arm.grpo else self._by_answers)(arm, folder, steps)
        seconds = spent() - begin
        labels = sum(arm.ask.values()) * steps * self.batch
        budget = {"steps": steps, "images": steps * self.batch, "labels": labels}
        measured = self._measured(shipped, arm) if arm.style else {}
        keep(folder, {**budget, "seconds": seconds, **measured})

    def _by_answers(self, arm, folder, steps):
        stage = Stage("run", steps, 1e-3, arm.ask, arm.weights, warmup_steps=50)
        entries = {"data": str(self._shards(arm.raw)), "out": str(folder), "stages": [stage]}
        entries["base"] = str(self._folder(arm.base)) if arm.base else "fresh"
        entries |= {"batch": self.batch, "seed": self.seed, "save_every": 10**6, "heldout": None}
        return sft.train(replace(read_config(CONFIG), **entries, **arm.changes, **self._changes))

    def _by_rewards(self, arm, folder, steps):
        config = GrpoConfig(
            base=str(self._folder(arm.base) / "checkpoint"),
            data=str(self.data),
            out=str(folder),
            steps=steps,
            style=arm.style,
            batch=self.batch,
            micro_batch=4 * self.batch,
            lr=2e-5,
            longest=40,
            rewards={"abs_rel": 1.0, "format": 0.1},
            save_every=10**6,
            seed=self.seed,
        )
        return grpo.train(config)

    def _shards(self, raw) -> Path:
        """The shards; for raw ones a copy whose cameras all claim the unified focal length."""
        copy = self.out / "raw" / "shots.npz"
        if raw and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_shard(copy, [claimed(shot) for shot in Shards(self.data)])
        return copy.parent if raw else Path(self.data)

    def _measured(self, folder, arm) -> dict:
        """delta1 with its interval over scenes, and the best constant's."""
        predictor = load_predictor(str(folder), warm_up=False)
        points = answered(predictor, arm.style, self._questions(arm.raw))
        predictor.close()
        hits = np.bincount(points.image, delta1(points.answer_m, points.label_m))
        low, high = share_interval(hits, np.bincount(points.image))
        constant = best_constant(points.label_m)[1]
        found = float(hits.sum() / len(points))
        return {"delta1": found, "low": low, "high": high, "constant": constant}

    def _questions(self, raw) -> list:
        asked = questions(*self._scenes, first=FIRST)
        return [(claimed_frame(frame) if raw else frame, *rest) for frame, *rest in asked]


def claimed(shot) -> Shot:
    """A shot whose camera claims the unified focal length, so that nothing is resized."""
    return replace(shot, frame=claimed_frame(shot.frame))


def claimed_frame(frame) -> Frame:
    """The frame with the focal length that every image of CONFIG is brought to."""
    focal_px = read_config(CONFIG).checkpoint.focal_px
    return replace(frame, camera=replace(frame.camera, fx=focal_px, fy=focal_px))


def table(replication) -> str:
    """Markdown of all findings."""
    head = "| finding | run | images | labels | seconds | delta1 | 95 % over scenes | constant |"
    lines = [head, "|---" * 8 + "|"]
    for finding in FINDINGS:
        for row in replication.rows(finding):
            lines.append(f"| {finding} | {row['run']} | " + " | ".join(_cells(row)) + " |")
    said = [f"* {name}: {claim}." for name, (claim, _) in FINDINGS.items()]
    return "\n".join([*lines, "", "What the papers say:", "", *said])


def _cells(row) -> list:
    if "delta1" not in row:
        return ["not run"] + [""] * 5
    counts = [f"{row['images']:,}", f"{row['labels']:,}", f"{row['seconds']:.0f}"]
    interval = f"{row['low']:.3f} to {row['high']:.3f}"
    return [*counts, f"{row['delta1']:.3f}", interval, f"{row['constant']:.3f}"]


def _slug(name) -> str:
    return name.replace(",", "").replace(" ", "_")


def main(arguments=None) -> None:
    parser = parser_of("training.tools.replicate", __doc__)
    parser.add_argument("--data", default="shards/train", help="folder of shards")
    parser.add_argument("--out", default="runs/replicate", help="folder of the runs")
    parser.add_argument("--steps", type=from_zero, default=300, help="of a run; 0: only the table")
    parser.add_argument("--batch", type=count, default=16, help="images a step")
    parser.add_argument("--scenes", type=count, default=100, help="held-out scenes to measure on")
    parser.add_argument("--seed", type=from_zero, default=1)
    parser.add_argument("--findings", nargs="*", choices=FINDINGS, default=list(FINDINGS))
    given = vars(parser.parse_args(arguments))
    findings = given.pop("findings")
    replication = Replication(**given)
    with errors_told("training.tools.replicate"):
        for finding in findings if replication.steps else ():
            replication.carry_out(finding)
        print(table(replication))


if __name__ == "__main__":
    main()
