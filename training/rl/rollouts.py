# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Items of the tasks as the data set that trl wants: drawn when they are read, each once a group.

Knows nothing about models; rewards.py reads the columns task, truth and template.
"""

from functools import lru_cache

from datasets import Dataset
from PIL import Image

from depthlm_ros.errors import InputError
from depthlm_ros.tasks import find_task
from depthlm_ros.tasks.item import judge_number


class Rollouts:
    """A Mixture of Items as chats. parts: of the checkpoint (engines.loading.load_parts).

    skipped: number of an item -> the records that were skipped on the way to it; where: number
    -> its record. Both grow until they are forgotten.
    """

    def __init__(self, mixture, parts, group=8):
        system = parts.checkpoint.system
        self._mixture = mixture
        self._vision = parts.vision
        self._system = [{"role": "system", "content": system}] if system else []
        self._item = lru_cache(maxsize=4 * group)(self._drawn)  # a group reads one item
        self.skipped, self.where = {}, {}

    def forget(self, done) -> None:
        """Drop what is known of the items before number `done`."""
        for known in (self.skipped, self.where):
            for number in [n for n in known if n < done]:
                del known[number]

    def dataset(self) -> Dataset:
        """With the columns prompt, images (PIL), task, truth, template."""
        numbers = {"number": list(range(len(self._mixture)))}
        return Dataset.from_dict(numbers).with_transform(self._columns)

    def _columns(self, batch) -> dict:
        rows = [self._item(number) for number in batch["number"]]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def _drawn(self, number) -> dict:
        item, skipped = self._mixture[number]
        self.skipped[number], self.where[number] = skipped, item.where
        for image in item.images:
            self._vision.prepare([image])  # EngineError where it would be resized again
        return {
            "prompt": [*self._system, {"role": "user", "content": item.question.text}],
            "images": [Image.fromarray(image) for image in item.images],
            "task": item.task,
            "truth": item.truth,
            "template": item.question.form.template,
        }


def check_tasks(names) -> None:
    """InputError for a task without a number to reward."""
    for name in names:
        if find_task(name).judge is not judge_number:
            raise InputError(f"the task {name} has no number, and rewards are made of numbers")


def check_model(parts, style) -> None:
    """InputError for what trl cannot ask a model."""
    if not parts.vision.multimodal_positions:
        raise InputError(
            f"training.grpo works with Qwen-VL models, not with {parts.checkpoint.architecture}:"
            " its processor is not among ours"
        )
    if style == "position":
        raise InputError(
            "trl lets the model place its own tokens, so the token that points would point"
            " nowhere: set style: marker or style: coordinates"
        )
