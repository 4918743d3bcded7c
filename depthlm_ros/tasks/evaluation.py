# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records x task x predictor -> how good the replies are.

Every reply is judged by its text, as greedy decoding gave it; failures count as wrong. Knows
nothing about how an engine answers.
"""

from dataclasses import asdict, dataclass

import numpy as np

from depthlm_ros.errors import RecordError
from depthlm_ros.records import strict_json
from depthlm_ros.tasks.poses import area_under_recall


@dataclass(frozen=True)
class TaskReport:
    """name: of the checkpoint. questions: asked. skipped: messages about records that could not
    carry the question. scores: name -> figure, see the task's judge and scores_of."""

    task: str
    name: str
    style: str
    questions: int
    skipped: tuple
    scores: dict

    def to_json(self) -> str:
        """All of it; null where a figure is not defined."""
        return strict_json(asdict(self))

    def table(self) -> str:
        """All of it for reading."""
        head = f"{self.name}: {self.questions} questions of the task {self.task} ({self.style})"
        left_out = [f"{len(self.skipped)} records skipped, the first: {m}" for m in self.skipped]
        figures = [f"{name:<12}{value:10.4f}" for name, value in self.scores.items()]
        return "\n".join([head, *left_out[:1], "", *figures])


def evaluate_task(task, records, predictor, style="", each=1, progress=None) -> TaskReport:
    """The TaskReport of a predictor on records, `each` questions a record, always the same ones.

    progress(records): called after each. Raises ImageError, InputError or the engine's error.
    """
    checkpoint = predictor.checkpoint
    scores, skipped, shown = [], [], style or checkpoint.style
    for number, record in enumerate(records):
        for turn in range(each):
            rng = np.random.default_rng([number, turn])
            try:
                item = task.item(record, checkpoint, rng, style)
            except RecordError as error:
                skipped.append(str(error))
                break
            scores.append(task.judge(asked(predictor.engine, item), item.truth))
            shown = item.style.name
        if progress:
            progress(number + 1)
    return TaskReport(
        task.name, checkpoint.name, shown, len(scores), tuple(skipped), scores_of(scores)
    )


def asked(engine, item) -> str:
    """What the engine replies to an item."""
    scene = engine.open(list(item.views), item.style)
    try:
        (reply,) = engine.step([(scene, item.question)])
        return reply.text
    finally:
        scene.close()


def scores_of(scores) -> dict:
    """Means of the judge's scores, over the answered ones where a missing answer has none.

    Of angles also their median and auc_30 (see poses.area_under_recall), missing ones wrong.
    """
    columns = {name: np.array([s[name] for s in scores]) for name in (scores[0] if scores else ())}
    found = {name: _mean(values) for name, values in columns.items()}
    if "l2" in found:
        found["rmse"] = float(np.sqrt(found.pop("l2")))
    if "error_deg" in columns:
        found["median_deg"] = float(np.median(np.nan_to_num(columns["error_deg"], nan=180.0)))
        found["auc_30"] = area_under_recall(columns["error_deg"])
    return found


def _mean(values) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
