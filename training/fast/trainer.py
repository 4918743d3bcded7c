# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A run by the clock: steps until the time is over, a log of them, and a running mean of the
weights, which is what is written.

The rate rises for a twentieth of the time and falls to nothing over the rest after a third. Knows
nothing about the command line.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from depthlm_ros.checkpoints import find_checkpoint
from depthlm_ros.data.records import strict_json
from depthlm_ros.data.whole import becoming
from depthlm_ros.engines.progress import silent
from depthlm_ros.errors import InputError
from depthlm_ros.models.compat import quiet
from depthlm_ros.models.loading import load_parts
from depthlm_ros.models.memory import at_once
from depthlm_ros.models.weights import read_weights
from training.fast import render
from training.fast.lesson import Lesson
from training.fast.muon import Muon
from training.fast.pool import Pool, capacity_of
from training.fast.recipe import Recipe
from training.fast.teacher import WIDTH
from training.model import Student
from training.run.optimizers import split

HEADS_ONLY, RISING, STEADY = 0.02, 0.06, 0.33  # shares of the time
SAVED = (0.35, 0.55, 0.7, 0.82, 0.91)  # before the end, when a mean is written too
TOLD_S = 5.0  # seconds between lines of the log
HELD_SIZE = (160, 224)
HELD = 700  # images, of which the first of each source are measured on
MEAN_SHARE = 0.06  # of the steps, averaged
LONGEST_WAIT_S = 120.0  # for the first chunk of processes that others have started
MOST_BACK = 3  # times in a row that the weights of a line before are taken back
LOG = "log.jsonl"


@dataclass(frozen=True)
class Options:
    """How a run is made; what is learnt from is a Recipe's.

    pool: folder of chunks (render.py).
    out: folder that is written.
    base: "tiny" or a checkpoint folder, to go on from.
    assets: folder of furniture for the workers, "" for none.
    minutes: after which it ends.
    steps: so many instead of minutes; 0: the time counts.
    last_only: write only the mean at the end.
    batch: views a step.
    lr: the largest rate.
    workers: processes that render meanwhile.
    capacity: images on the device, None: see pool.capacity_of.
    seed: of what is drawn.
    """

    pool: str
    out: str
    base: str = "tiny"
    assets: str = ""
    minutes: float = 7.0
    steps: int = 0
    last_only: bool = False
    batch: int = 128
    lr: float = 1.5e-3
    workers: int = 0
    capacity: int | None = None
    seed: int = 1


def rate(done) -> float:
    """The learning rate of the model after a share of the time, as a share of the largest; none
    while the fresh heads learn what the model sees already."""
    if done < RISING:
        return max(done - HEADS_ONLY, 0.0) / (RISING - HEADS_ONLY)
    return min(1.0, max(1 - (done - STEADY) / (1 - STEADY), 0.0))


class Trainer:
    """InputError where `out` holds a run, the pool is not there and nobody is to render it, or the
    base is no Qwen3-VL model that is asked in every style."""

    def __init__(self, options: Options, recipe: Recipe):
        self.options, self.recipe = options, recipe
        self.out, self.folder = Path(options.out), Path(options.pool)
        _check_folders(self.out, self.folder, options.workers)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.capacity = capacity_of(self.device, options.capacity)
        torch.manual_seed(options.seed)
        torch.set_float32_matmul_precision("high")
        checkpoint = find_checkpoint(options.base)
        self.parts = load_parts(checkpoint)
        _check_base(self.parts.checkpoint, recipe)
        self.student = _student(checkpoint, self.parts.config, recipe).to(self.device)
        self.lesson = Lesson(self.student, self.parts, self.device, recipe)
        inner, others = split(self.student)
        groups = [
            {"params": [p for n, p in others.items() if n.startswith("heads.") == heads]}
            for heads in (False, True)
        ]
        self.muon = Muon(inner.values(), weight_decay=0.02)
        fused = self.device.type == "cuda"
        self.adam = torch.optim.AdamW(
            groups, lr=options.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=fused
        )
        self.named = dict(self.student.named_parameters())
        self.mean = [p.detach().clone() for p in self.named.values()]
        self.rng = np.random.default_rng(options.seed)
        self.steps = 0
        self._remember()

    def run(self) -> None:
        """Train until the time is over, or the steps are made."""
        options = self.options
        self.out.mkdir(parents=True, exist_ok=True)
        workers = []
        if options.workers:
            workers = render.start(self.folder, options.assets, options.workers)
        try:
            pool = Pool(self.device, self.capacity)
            self._wait(pool, workers)
            self._train(pool, _Log(self.out / LOG))
        finally:
            for worker in workers:
                worker.terminate()

    def _train(self, pool, log) -> None:
        """All steps, with a line of the log every few seconds and a mean now and then."""
        options, held, begun = self.options, Pool(self.device, HELD), time.monotonic()
        left = [] if options.last_only else list(SAVED)
        while (done := self._done(begun)) < 1:
            lr = options.lr * rate(done)
            what = f"a step of {options.batch} images (--batch)"
            parts = at_once(what, self.step, pool, lr)
            if self.steps % 20 == 0:
                pool.read(self.folder, most=3)
            if log.is_due:
                line = log.of_steps(parts, self.steps) | {"images": pool.count, "lr": lr}
                log.tell(line | self._checked(parts))
            if left and done >= left[0] and self.save(self._mean_path(left[0])):
                log.tell({"saved": left.pop(0), "held_out": self.held_out(held)})
        if not self.steps:
            raise InputError(
                f"no step was made in {options.minutes:g} minutes: give more --minutes"
            )
        back = self._checked(parts)
        if (back and not self._fine_at) or not self.save(self._mean_path(1.0)):
            raise self._overflown()
        final = back | {"saved": 1.0, "held_out": self.held_out(held)}
        final |= {"pool": {source: len(rows) for source, rows in pool.rows.items()}}
        log.tell(final | {"step": self.steps, "batch": options.batch})

    def step(self, pool, lr) -> dict:
        """One step; the losses, still on the device."""
        sizes, asking = self.recipe.sizes, self.recipe.asked
        size = list(sizes)[self.rng.choice(len(sizes), p=list(sizes.values()))]
        asked = asking[self.rng.choice(len(asking), p=[share for share, _ in asking])][1]
        views = self.lesson.views(pool, self.options.batch, size, self.rng)
        parts = self.lesson.losses(views, asked)
        parts["loss"].backward()
        parameters = [p for p in self.named.values() if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.muon.step(lr)
        model, heads = self.adam.param_groups
        model["lr"] = lr
        heads["lr"] = max(lr, self.options.lr / 2) if self.steps < 500 else lr
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
        trained on, of which what is new is read into the pool."""
        pool.read(self.folder / "heldout")
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

    def save(self, path) -> bool:
        """Write the mean of the weights in 16 bit, heads beside them, under another name first.
        False, and nothing is written, where one of them is no number."""
        state = {
            name.removeprefix("model."): value.to(torch.float16).contiguous().cpu()
            for name, value in zip(self.named, self.mean, strict=True)
            if name.startswith("model.")
        }
        state |= {
            name: value.cpu()
            for name, value in zip(self.named, self.mean, strict=True)
            if name.startswith("heads.")
        }
        if not all(bool(value.isfinite().all()) for value in state.values()):
            return False
        with becoming(path) as part:
            save_file(state, part, metadata={"format": "pt"})
        return True

    def _mean_path(self, share) -> Path:
        """The file of the mean after a share of the time."""
        return self.out / f"mean_{round(100 * share):03d}.safetensors"

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

    def _put(self, values) -> None:
        torch._foreach_copy_([p.data for p in self.named.values()], values)

    def _overflown(self) -> InputError:
        return InputError(
            f"the losses are no numbers after step {self.steps} at --lr {self.options.lr:g}, or"
            " the weights are none that 16 bits hold: give a smaller --lr, and another --out"
        )

    def _wait(self, pool, workers) -> None:
        """Until there is something to learn from; InputError where nothing will come."""
        folder, begun = self.folder, time.monotonic()
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
        if self.options.steps:
            return self.steps / self.options.steps
        return (time.monotonic() - begun) / (60 * self.options.minutes)


class _Log:
    """Lines of JSON about a run that begins now, onto the screen and into a file."""

    def __init__(self, path):
        self._path = path
        self._begun = self._told_at = time.monotonic()
        self._step = 0  # that was told last

    @property
    def is_due(self) -> bool:
        """Whether steps were made for long enough to be told."""
        return time.monotonic() - self._told_at > TOLD_S

    def of_steps(self, parts, step) -> dict:
        """What to tell of the steps since the last such line; parts: the losses of the last."""
        now = time.monotonic()
        since, self._told_at = now - self._told_at, now
        made, self._step = step - self._step, step
        line = {name: round(value.item(), 4) for name, value in parts.items()}
        return line | {
            "s": round(now - self._begun, 1),
            "step": step,
            "per_s": round(made / since, 2),
        }

    def tell(self, line) -> None:
        """One line more."""
        text = json.dumps(json.loads(strict_json(line)))  # on one line
        print(text, flush=True)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(text + "\n")


def _student(checkpoint, config, recipe) -> Student:
    """The model of a checkpoint, all of it to be trained, with the heads that a recipe needs."""
    with quiet():
        model = read_weights(checkpoint, config, torch.float32, torch.device("cpu"), silent)
    model.train().requires_grad_(True)
    student = Student(model)
    if recipe.weights.get("teacher"):
        width = model.config.get_text_config().hidden_size
        student.heads["teacher"] = torch.nn.Linear(width, WIDTH)
    return student


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
