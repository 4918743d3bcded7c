# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Train a small Qwen3-VL checkpoint for some minutes on one GPU while the processor renders.

    python -m training.fast.render --out pool --records nyu_train.jsonl
    python -m training.fast --base tiny --pool pool --assets assets/ --minutes 7 --out runs/fast
    python -m training.fast.finish runs/fast/mean_100.safetensors --base tiny --out checkpoint

Goes on from --base. The rate rises for a twentieth of the time and falls to nothing over the rest
after a third; what is written is a running mean of the weights. log.jsonl in --out has a line
every few seconds: losses, images in the pool, delta1 of the dense head on what is held out. A run
that was ended is not gone on with: it begins anew, in another --out.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from depthlm_ros.checkpoints import find_checkpoint
from depthlm_ros.cli.options import count, from_zero, positive
from depthlm_ros.data.records import strict_json
from depthlm_ros.data.whole import becoming
from depthlm_ros.errors import InputError
from depthlm_ros.models.compat import quiet
from depthlm_ros.models.loading import load_parts
from depthlm_ros.models.memory import at_once
from depthlm_ros.models.progress import silent
from depthlm_ros.models.weights import read_weights
from training.fast import render
from training.fast.lesson import Lesson
from training.fast.muon import Muon
from training.fast.pool import Pool, capacity_of
from training.fast.recipe import Recipe
from training.fast.teacher import WIDTH
from training.model import Student
from training.run.commands import errors_told, parser_of
from training.run.optimizers import split

HEADS_ONLY, RISING, STEADY = 0.02, 0.06, 0.33  # shares of the time
SAVED = (0.35, 0.55, 0.7, 0.82, 0.91, 1.0)
TOLD_S = 5.0  # seconds between lines of the log
HELD_SIZE = (160, 224)
MEAN_SHARE = 0.06  # of the steps, averaged
LONGEST_WAIT_S = 120.0  # for the first chunk of processes that others have started
MOST_BACK = 3  # times in a row that the weights of a line before are taken back
LOG = "log.jsonl"


def rate(done) -> float:
    """The learning rate of the model after a share of the time, as a share of the largest; none
    while the fresh heads learn what the model sees already."""
    if done < RISING:
        return max(done - HEADS_ONLY, 0.0) / (RISING - HEADS_ONLY)
    return min(1.0, max(1 - (done - STEADY) / (1 - STEADY), 0.0))


class Trainer:
    """given: the command line's options. InputError where --out holds a run, --pool is not there
    and nobody is to render it, or the base is no Qwen3-VL model that is asked in every style."""

    def __init__(self, given, recipe: Recipe):
        self.given, self.recipe = given, recipe
        _check_folders(Path(given.out), Path(given.pool), given.workers)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.capacity = capacity_of(self.device, given.capacity)
        torch.manual_seed(given.seed)
        torch.set_float32_matmul_precision("high")
        checkpoint = find_checkpoint(given.base)
        self.parts = load_parts(checkpoint)
        _check_base(self.parts.checkpoint, recipe)
        with quiet():
            cpu = torch.device("cpu")
            model = read_weights(checkpoint, self.parts.config, torch.float32, cpu, silent)
        model.train().requires_grad_(True)
        student = Student(model)
        if recipe.weights.get("teacher"):
            width = model.config.get_text_config().hidden_size
            student.heads["teacher"] = torch.nn.Linear(width, WIDTH)
        self.student = student.to(self.device)
        self.lesson = Lesson(self.student, self.parts, self.device, recipe)
        inner, others = split(self.student)
        groups = [
            {"params": [p for n, p in others.items() if n.startswith("heads.") == heads]}
            for heads in (False, True)
        ]
        self.muon = Muon(inner.values(), weight_decay=0.02)
        fused = self.device.type == "cuda"
        self.adam = torch.optim.AdamW(
            groups, lr=given.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=fused
        )
        self.named = dict(self.student.named_parameters())
        self.mean = [p.detach().clone() for p in self.named.values()]
        self.rng = np.random.default_rng(given.seed)
        self.steps = 0
        self._remember()

    def step(self, pool, lr) -> dict:
        """One step; the losses, still on the device."""
        sizes, asking = self.recipe.sizes, self.recipe.asked
        size = list(sizes)[self.rng.choice(len(sizes), p=list(sizes.values()))]
        asked = asking[self.rng.choice(len(asking), p=[share for share, _ in asking])][1]
        views = self.lesson.views(pool, self.given.batch, size, self.rng)
        parts = self.lesson.losses(views, asked)
        parts["loss"].backward()
        parameters = [p for p in self.named.values() if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.muon.step(lr)
        self.adam.param_groups[0]["lr"] = lr
        self.adam.param_groups[1]["lr"] = max(lr, self.given.lr / 2) if self.steps < 500 else lr
        self.adam.step()
        self.student.zero_grad(set_to_none=False)
        self.steps += 1
        newest = max(1 / self.steps, 1 / (10 + MEAN_SHARE * self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self.mean, [p.detach() for p in self.named.values()], newest)
        return {**parts, "norm": norm}

    @torch.no_grad()
    def held_out(self, pool) -> dict:
        """delta1 of the mean's dense head by source, and the text loss over all, on what is never
        trained on."""
        own = [p.detach().clone() for p in self.named.values()]
        self._put(self.mean)
        found = {}
        with torch.random.fork_rng([0] if self.device.type == "cuda" else []):
            torch.manual_seed(0)
            for source in pool.rows:
                rng, count = np.random.default_rng(0), min(len(pool.rows[source]), 64)
                views = self.lesson.plain_views(pool, count, HELD_SIZE, source, rng)
                parts = self.lesson.losses(views, ("position", "coordinates"))
                found[source] = round(parts["delta1"].item(), 4)
                found[f"{source} text"] = round(parts["text"].item(), 4)
        self._put(own)
        return found

    def _remember(self) -> None:
        """These weights are fine."""
        self._fine = [[p.detach().clone() for p in x] for x in (self.named.values(), self.mean)]
        self._fine_at, self._went_back = self.steps, 0

    def _checked(self, parts) -> dict:
        """Remember the weights where they and the losses are numbers; else take back those that
        were fine, and say of which step: {"back_to_step": it}. InputError where that brings
        nothing."""
        seen = parts["loss"], parts["norm"], *self.named.values()
        if torch.stack([value.detach().isfinite().all() for value in seen]).all():
            self._remember()
            return {}
        self._went_back += 1
        if self._went_back > MOST_BACK:
            raise self._overflown()
        now, self.mean = ([p.clone() for p in kept] for kept in self._fine)
        self._put(now)
        self.muon.forget()
        self.adam.state.clear()
        return {"back_to_step": self._fine_at}

    def _put(self, values):
        torch._foreach_copy_([p.data for p in self.named.values()], values)

    def _overflown(self) -> InputError:
        return InputError(
            f"the losses are no numbers after step {self.steps} at --lr {self.given.lr:g}, or the"
            " weights are none that 16 bits hold: give a smaller --lr, and another --out"
        )

    def save(self, path) -> bool:
        """Write the mean of the weights in 16 bit, heads beside them, under another name first.
        False, and nothing is written, where one of them is no number."""
        state = {
            name.removeprefix("model."): value.to(torch.float16).contiguous().cpu()
            for name, value in zip(self.named, self.mean)
            if name.startswith("model.")
        }
        heads = {n: v.cpu() for n, v in zip(self.named, self.mean) if n.startswith("heads.")}
        if not all(bool(value.isfinite().all()) for value in (*state.values(), *heads.values())):
            return False
        with becoming(path) as part:
            save_file({**state, **heads}, part, metadata={"format": "pt"})
        return True

    def run(self) -> None:
        """Train until the time is over, or the steps are made."""
        given, out = self.given, Path(self.given.out)
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(given.pool)
        workers = render.start(folder, given.assets, given.workers) if given.workers else []
        try:
            self._run(out, folder, workers)
        finally:
            for worker in workers:
                worker.terminate()

    def _run(self, out, folder, workers):
        given, log = self.given, out / LOG
        pool, held = Pool(self.device, self.capacity), Pool(self.device, 700)
        self._wait(pool, folder, workers)
        begun = told_at = time.monotonic()
        saved, seen = len(SAVED) - 1 if given.last_only else 0, 0
        while (done := self._done(begun)) < 1:
            parts = at_once(
                f"a step of {given.batch} images (--batch)", self.step, pool, given.lr * rate(done)
            )
            if self.steps % 20 == 0:
                pool.read(folder, most=3)
            if (since := time.monotonic() - told_at) > TOLD_S:
                line = {name: round(value.item(), 4) for name, value in parts.items()}
                told_at, per_s = time.monotonic(), round((self.steps - seen) / since, 2)
                line |= {"s": round(told_at - begun, 1), "step": self.steps, "per_s": per_s}
                line |= {"images": pool.count, "lr": given.lr * rate(done)}
                seen = self.steps
                self._tell(log, line | self._checked(parts))
            due = saved < len(SAVED) - 1 and done >= SAVED[saved]
            if due and self.save(out / f"mean_{round(100 * SAVED[saved]):03d}.safetensors"):
                held.read(folder / "heldout")
                self._tell(log, {"saved": SAVED[saved], "held_out": self.held_out(held)})
                saved += 1
        if not self.steps:
            raise InputError(f"no step was made in {given.minutes:g} minutes: give more --minutes")
        back = self._checked(parts)
        if (back and not self._fine_at) or not self.save(out / "mean_100.safetensors"):
            raise self._overflown()
        held.read(folder / "heldout")
        counts = {source: len(rows) for source, rows in pool.rows.items()}
        final = back | {"saved": 1.0, "held_out": self.held_out(held), "pool": counts}
        self._tell(log, final | {"step": self.steps, "batch": given.batch})

    def _wait(self, pool, folder, workers):
        """Until there is something to learn from; InputError where nothing will come."""
        begun = time.monotonic()
        while not pool.read(folder):
            if pool.is_read and not workers:
                raise InputError(
                    f"{folder} holds no chunk that can be read: training.fast.render writes them"
                )
            if any(worker.exitcode for worker in workers):
                raise InputError(f"the processes that render into {folder} ended: see above")
            if not workers and time.monotonic() - begun > LONGEST_WAIT_S:
                raise InputError(
                    f"{folder} held no chunk for {LONGEST_WAIT_S:.0f} s: fill it with python -m"
                    " training.fast.render, or give --workers"
                )
            time.sleep(0.5)

    def _done(self, begun) -> float:
        """The share of the steps, or of the time, that is over."""
        if self.given.steps:
            return self.steps / self.given.steps
        return (time.monotonic() - begun) / (60 * self.given.minutes)

    @staticmethod
    def _tell(log, line):
        text = json.dumps(json.loads(strict_json(line)))  # on one line
        print(text, flush=True)
        with open(log, "a", encoding="utf-8") as file:
            file.write(text + "\n")


def _check_folders(out, pool, workers) -> None:
    if (out / LOG).exists():
        raise InputError(
            f"{out} holds a run, and a run by the clock is not gone on with: give another --out,"
            " or delete that folder"
        )
    if not pool.is_dir() and not workers:
        raise InputError(
            f"there is no folder {pool}: fill it with python -m training.fast.render, or give"
            " --workers"
        )


def _check_base(checkpoint, recipe) -> None:
    """The loop over a model's layers is that of Qwen3-VL, and every style needs a wording."""
    if checkpoint.architecture != "qwen3_vl":
        raise InputError(
            f"training.fast trains models of the architecture qwen3_vl, and {checkpoint.name} is"
            f" of {checkpoint.architecture}: training.sft takes any"
        )
    asked = {style for _, styles in recipe.asked for style in styles}
    if missing := sorted(asked - set(checkpoint.wording)):
        raise InputError(
            f"training.fast asks in {', '.join(sorted(asked))}, and {checkpoint.name} has no"
            f" wording of {', '.join(missing)} in its depthlm.json: add it, or take training.sft"
        )


def train(arguments: list[str], recipe: Recipe) -> None:
    """Train as the command line says, by a recipe."""
    Trainer(_parser().parse_args(arguments), recipe).run()


def _parser():
    parser = parser_of("training.fast", __doc__)
    parser.add_argument("--base", default="tiny", help="tiny or a checkpoint folder")
    parser.add_argument("--pool", required=True, help="folder of chunks (training.fast.render)")
    parser.add_argument("--assets", default="", help="folder that training.scenes.assets wrote")
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=positive, default=7.0)
    parser.add_argument("--steps", type=from_zero, default=0, help="so many instead of --minutes")
    parser.add_argument("--last-only", action="store_true", help="write only the last mean")
    parser.add_argument("--batch", type=count, default=128)
    parser.add_argument("--lr", type=positive, default=1.5e-3)
    parser.add_argument(
        "--workers", type=from_zero, default=0, help="processes that render meanwhile"
    )
    parser.add_argument(
        "--capacity",
        type=count,
        help="images on the device (default: 45,000, or what half of its free memory holds)",
    )
    parser.add_argument("--seed", type=from_zero, default=1)
    return parser


def main(arguments=None) -> None:
    given = _parser().parse_args(arguments)
    with errors_told("training.fast"):
        Trainer(given, Recipe()).run()


if __name__ == "__main__":
    main()
