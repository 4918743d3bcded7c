# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records x task x predictor -> how good the replies are.

Every reply is judged by its text, as greedy decoding gave it; failures count as wrong. Knows
nothing about how an engine answers.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from depthlm_ros.data.records import strict_json
from depthlm_ros.errors import RecordError
from depthlm_ros.evaluation.metrics import share_interval
from depthlm_ros.predict import Predictor
from depthlm_ros.tasks.item import Item, Task
from depthlm_ros.tasks.poses import recall_to
from depthlm_ros.viz.tables import text_table

AUC_LIMIT_DEG = 30.0
FEW = 10  # questions, fewer of which may well have one answer


@dataclass(frozen=True)
class TaskReport:
    """How well a task was done.

    name: of the checkpoint.
    questions: asked.
    skipped: messages about records that could not carry the question.
    scores: name -> (mean, low, high), see the task's judge and scores_of.
    map_replies: how many replies are what the checkpoint says to the prompt for a map; a dense
        model that learns from maps alone comes to say it to everything.
    same_replies: how many are the commonest one.
    """

    task: str
    name: str
    style: str
    questions: int
    skipped: tuple[str, ...]
    scores: dict[str, tuple[float, float, float]]
    map_replies: int
    same_replies: int

    def to_json(self) -> str:
        """All of it; null where a figure is not defined."""
        return strict_json(asdict(self))

    def table(self) -> str:
        """All of it for reading."""
        head = f"{self.name}: {self.questions} questions of the task {self.task} ({self.style})"
        left_out = [f"{len(self.skipped)} records skipped, the first: {m}" for m in self.skipped]
        notes = [*left_out[:1], *self._one_for_everything()]
        columns = "score", "mean", "95 % over records"
        rows = [
            (name, f"{mean:.4f}", f"{low:.4f} to {high:.4f}")
            for name, (mean, low, high) in self.scores.items()
        ]
        return "\n".join([head, *notes, "", text_table(columns, rows)])

    def _one_for_everything(self) -> list[str]:
        """Whether the model says one thing to everything, and what to do."""
        advice = "train it with other questions beside (ask: or tasks: of a stage)"
        if self.map_replies:
            found = f"{self.map_replies} of {self.questions} replies are what it says for a map"
            return [f"{found}: {advice}"]
        if self.questions >= FEW and self.same_replies == self.questions:
            return [f"all {self.questions} replies are the same: {advice}"]
        return []


def evaluate_task(
    task: Task,
    records: Iterable[Any],
    predictor: Predictor,
    style: str = "",
    each: int = 1,
    progress: Callable[[int], None] | None = None,
) -> TaskReport:
    """The TaskReport of a predictor on records, `each` questions a record, always the same ones.

    progress(records): called after each. Raises ImageError, InputError or the engine's error.
    """
    checkpoint = predictor.checkpoint.speaking()  # a task is a question in words
    scores, numbers, skipped, shown = [], [], [], style or checkpoint.style
    replies: Counter[str] = Counter()
    for number, record in enumerate(records):
        for turn in range(each):
            rng = np.random.default_rng([number, turn])
            try:
                item = task.item(record, checkpoint, rng, style)
            except RecordError as error:
                skipped.append(str(error))
                break
            reply = asked(predictor, item)
            replies[reply.strip()] += 1
            scores.append(task.judge(reply, item.truth))
            numbers.append(number)
            shown = item.style.name
        if progress:
            progress(number + 1)
    found = scores_of(scores, numbers)
    of_maps = checkpoint.head.reply.strip() if checkpoint.head else ""
    return TaskReport(
        task.name,
        checkpoint.name,
        shown,
        len(scores),
        tuple(skipped),
        found,
        map_replies=replies[of_maps] if of_maps else 0,
        same_replies=max(replies.values(), default=0),
    )


def asked(predictor: Predictor, item: Item) -> str:
    """The text that a predictor replies to an item."""
    return predictor.ask(item.views, item.style, item.question).text


def scores_of(
    scores: list[dict[str, float]], records: Sequence[int]
) -> dict[str, tuple[float, float, float]]:
    """name -> (mean, low, high): of the judge's scores, where a missing answer has none over the
    others; low and high are 95 % over resamples of the records that the questions belong to.

    Of angles also auc_30, the area under the recall up to 30 degrees, missing ones wrong.
    """
    columns = {name: np.array([s[name] for s in scores]) for name in (scores[0] if scores else ())}
    if "error_deg" in columns:
        columns["auc_30"] = recall_to(columns["error_deg"], AUC_LIMIT_DEG)
    _, numbers = np.unique(records, return_inverse=True)
    found = {name: _mean(values, numbers) for name, values in columns.items()}
    if "l2" in found:
        found["rmse"] = tuple(np.sqrt(found.pop("l2")).tolist())
    return found


def _mean(values: np.ndarray, records: np.ndarray) -> tuple[float, float, float]:
    known = np.isfinite(values)
    sums = np.bincount(records[known], values[known], minlength=records.max() + 1)
    counts = np.bincount(records[known], minlength=records.max() + 1)
    mean = float(sums.sum() / counts.sum()) if known.any() else float("nan")
    return (mean, *share_interval(sums, counts))
