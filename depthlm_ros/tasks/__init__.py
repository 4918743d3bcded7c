# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tasks: what can be asked about a record, what the answer is, how a reply is judged.

Each task stands in one place and is called by training, reward and evaluation alike:

    item = TASKS["speed"].item(record, checkpoint, rng)
    item.images, item.question.text, item.answer      # what the model sees, reads and learns
    TASKS["speed"].judge(reply, item.truth)             # {"answered": 1.0, "delta1": 1.0, ...}

Knows nothing about models or engines; training may name several tasks to be mixed equally.
"""

from depthlm_ros.errors import InputError
from depthlm_ros.tasks.item import Item, Task
from depthlm_ros.tasks.pairs import Correspondence, Direction, Moved, Orientation, Rotation
from depthlm_ros.tasks.points import Axis, Distance, Points, Quotient

# The six of DepthLM (section 4), which it mixes equally.
DEPTHLM_TASKS = (
    Distance(),
    Axis(),
    Quotient("speed"),
    Quotient("time"),
    Points(),
    Moved("moved"),
)
# VLM3's tasks about two images; its pose is four questions.
VLM3_TASKS = (Correspondence(), Rotation(), Orientation(), Direction(), Moved("translation"))
TASKS = {task.name: task for task in DEPTHLM_TASKS + VLM3_TASKS}

__all__ = ["DEPTHLM_TASKS", "TASKS", "VLM3_TASKS", "Item", "Task", "find_task"]


def find_task(name: str) -> Task:
    """The task of this name; InputError with the names there are."""
    if name not in TASKS:
        raise InputError(f"task '{name}' is unknown, allowed: {', '.join(TASKS)}")
    return TASKS[name]
