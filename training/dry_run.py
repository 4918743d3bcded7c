# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Two steps of the largest shape that a config can make: memory, disk, time to finish.

Goes through the real Trainer, so that what it costs holds for the wrapper, accumulation and
checkpointing of the run itself. Saves nothing.
"""

import os
import resource
import tempfile
import time
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import TrainerCallback

from depthlm_ros.camera import Camera
from depthlm_ros.view import Frame
from training import room
from training.examples import Dense
from training.rows import make_row
from training.trainer import RecipeTrainer, training_arguments

TRIED = 64  # rows looked at for the largest picture where no crop bounds it
REPORT = """\
largest shape: {width} x {height} pixels, {questions} questions, {batch} pictures a step
memory: {peak:.2f} GB at most on {device}, {weights:.2f} GB for weights, gradients and optimizer
disk: {disk:.2f} GB in {out}, {checkpoint:.2f} GB a checkpoint
time: {seconds:.2f} s a step, {hours:.1f} h for {steps} steps of this shape"""
STEPS = 2  # the first allocates, the second is timed


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
        self._began = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self._began)


def rehearse(config, student, rows, collator, base) -> str:
    """What the run will take, in lines to print."""
    row = largest_row(config, rows)
    stage = _costliest(config)
    short = replace(config, stages=[replace(stage, steps=STEPS)])
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    needed = room.needs(config, student, processes)
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        arguments = training_arguments(replace(short, out=out), processes)
        arguments.save_strategy, arguments.report_to = "no", []
        repeated = Repeated(row, STEPS * config.batch)
        trainer = RecipeTrainer(
            short, base, None, model=student, args=arguments, train_dataset=repeated,
            data_collator=collator, callbacks=[clock],
        )
        trainer.train()
    return _report(config, row, needed, clock.seconds[-1], arguments.device)


def _costliest(config):
    return max(config.stages, key=lambda stage: sum(stage.ask.values()) or len(stage.tasks) > 0)


def largest_row(config, rows):
    """A row with the most questions about the largest crop, or the largest of some views."""
    stage = _costliest(config)
    stage = replace(stage, ask={style: int(np.ceil(n)) for style, n in stage.ask.items()})
    tried = [rows[i] for i in range(0, len(rows), max(len(rows) // TRIED, 1))][:TRIED]
    largest = max(tried, key=lambda row: row.view.camera.width * row.view.camera.height)
    if stage.tasks:
        return largest
    width, height = largest.view.camera.width, largest.view.camera.height
    if config.crop:
        width, height = config.crop["width"][1], config.crop["height"][1]
    focal = largest.view.camera.fx
    camera = Camera(width, height, focal, focal, width / 2, height / 2)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (height, width, 3), np.uint8)
    example = Dense(Frame(image, camera), np.full((height, width), 123.45), "the largest shape")
    row = replace(config, crop={}).row("")
    return make_row(example, replace(row, focal_px=focal), stage, rng)


def _report(config, row, needed, seconds, device) -> str:
    camera = row.view.camera
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
        seconds=seconds,
        hours=seconds * config.steps / 3600,
        steps=config.steps,
    )


def _peak(device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
