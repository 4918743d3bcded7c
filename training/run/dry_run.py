# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Whether a run fits into memory and onto the disk, and what it takes: said before it starts.

check_fits counts weights, gradients and AdamW's two averages (Muon keeps one). rehearse takes two
steps of the largest shape that a config can make, through the real Trainer, so that what they cost
holds for the wrapper, accumulation and checkpointing of the run itself; it saves nothing.
"""

import os
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import TrainerCallback

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError, OutOfMemory
from depthlm_ros.models.memory import free_bytes
from depthlm_ros.view import Frame
from training.data.examples import Dense
from training.data.rows import Row, make_row
from training.run.supervised import RecipeTrainer, training_arguments

LEARNS = 16  # bytes a parameter: fp32 weight, gradient, two averages
STEPS = 2  # the first allocates, the second is timed
TRIED = 64  # rows looked at for the largest image where no crop bounds it
REPORT = """\
largest shape: {width} x {height} pixels, {questions} questions, {batch} images a step
memory: {peak:.2f} GB at most on {device}, {weights:.2f} GB for weights, gradients and optimizer
disk: {disk:.2f} GB in {out}, {checkpoint:.2f} GB a checkpoint
time: {seconds:.2f} s a step, {hours:.1f} h for {steps} steps of this shape"""


@dataclass(frozen=True)
class Needs:
    """Bytes.

    memory: of one process.
    checkpoint: of one checkpoint on the disk.
    disk: of the whole run on the disk.
    """

    memory: int
    checkpoint: int
    disk: int


def needs(config, student, processes: int = 1) -> Needs:
    """What the run of a Student needs at least."""
    learns = sum(p.numel() for p in student.parameters() if p.requires_grad)
    everything = sum(p.numel() for p in student.parameters())
    memory = LEARNS * learns + sum(p.nbytes for p in student.parameters() if not p.requires_grad)
    checkpoint = 4 * everything + 8 * learns
    shipped = 2 * everything * (2 if config.dtype == "float32" else 1)
    best = 1 if config.heldout else 0
    disk = checkpoint * (config.keep + 1 + best) + 2 * shipped
    return Needs(memory // (processes if config.fsdp else 1), checkpoint, disk)


def check_fits(config, student, device: torch.device, processes: int = 1) -> Needs:
    """Needs; raises OutOfMemory or InputError where they are not there."""
    found = needs(config, student, processes)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
    held = sum(p.nbytes for p in student.parameters()) if device.type == "cpu" else 0
    free = free_bytes(device) // here + held
    if found.memory > free:
        raise OutOfMemory(
            f"weights, gradients and optimizer need {found.memory / 1e9:.3g} GB on each"
            f" {device.type} and {free / 1e9:.3g} GB are free: share them out over more GPUs"
            " (fsdp), or learn adapters only (lora)"
        )
    _check_disk(config, found)
    return found


def _check_disk(config, found) -> None:
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    files = (p.lstat() for p in out.rglob("*") if p.is_file() and not p.is_symlink())
    there = sum(found.st_size for found in files if found.st_nlink == 1)  # not a base's weights
    free = shutil.disk_usage(out).free
    if found.disk > free + there:
        raise InputError(
            f"checkpoints need {found.disk / 1e9:.3g} GB in {out} ({found.checkpoint / 1e9:.3g} GB"
            f" each, keep: {config.keep}) and {(free + there) / 1e9:.3g} GB are free:"
            " make room, lower keep, or give --out on another disk"
        )


def rehearse(config, student, rows, collator) -> str:
    """What the run will take, in lines to print."""
    row = largest_row(config, rows)
    short = replace(config, stages=[replace(_costliest(config), steps=STEPS)])
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        arguments = training_arguments(replace(short, out=out), processes)
        arguments.save_strategy, arguments.report_to = "no", []
        trainer = RecipeTrainer(
            short,
            model=student,
            args=arguments,
            train_dataset=Repeated(row, STEPS * config.batch),
            data_collator=collator,
            callbacks=[clock],
        )
        trainer.train()
    needed, device, camera = needs(config, student, processes), arguments.device, row.view.camera
    return REPORT.format(
        width=camera.width,
        height=camera.height,
        questions=len(row.asked),
        batch=config.batch,
        peak=_peak(device) / 1e9,
        device=device,
        weights=needed.memory / 1e9,
        disk=needed.disk / 1e9,
        out=config.out,
        checkpoint=needed.checkpoint / 1e9,
        seconds=clock.seconds[-1],
        hours=clock.seconds[-1] * config.steps / 3600,
        steps=config.steps,
    )


def largest_row(config, rows) -> Row:
    """A row with the most questions about the largest crop, or the largest of some views."""
    stage = _costliest(config)
    stage = replace(stage, ask={style: int(np.ceil(n)) for style, n in stage.ask.items()})
    tried = [rows[i] for i in range(0, len(rows), max(len(rows) // TRIED, 1))][:TRIED]
    largest = max(tried, key=lambda row: row.view.camera.width * row.view.camera.height)
    if stage.tasks:
        return largest
    width, height = largest.view.camera.width, largest.view.camera.height
    if config.crop:
        width, height = config.crop.width[1], config.crop.height[1]
    focal = largest.view.camera.fx
    camera = Camera(width, height, focal, focal, width / 2, height / 2)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (height, width, 3), np.uint8)
    example = Dense(Frame(image, camera), np.full((height, width), 123.45), "the largest shape")
    return make_row(example, replace(config.entry(""), focal_px=focal), stage, rng)


def _costliest(config):
    return max(config.stages, key=lambda stage: sum(stage.ask.values()) or len(stage.tasks) > 0)


def _peak(device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Repeated(Dataset):
    """The same row again and again."""

    def __init__(self, row, length):
        self.row, self.length = row, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.row


class Clock(TrainerCallback):
    """Seconds of each step."""

    def __init__(self):
        self.seconds = []

    def on_step_begin(self, *_, **__):
        """Remember when."""
        self._began = time.perf_counter()

    def on_step_end(self, *_, **__):
        """Note how long it took."""
        self.seconds.append(time.perf_counter() - self._began)
