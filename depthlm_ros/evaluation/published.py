# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""delta1 that others have published, by data set; the figures stand in published.json."""

import json
from pathlib import Path

_CONTENT = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
DATASETS = tuple(_CONTENT["datasets"])


def published(dataset: str) -> list[dict]:
    """[{"model", "delta1", "source"}] of one of DATASETS."""
    column = DATASETS.index(dataset)
    return [
        {
            "model": row["model"],
            "delta1": row["values"][column],
            "source": _CONTENT["sources"][row["source"]],
        }
        for row in _CONTENT["delta1"]
        if row["values"][column] is not None
    ]


def rows(sources: tuple[str, ...]) -> list[tuple[str, str, dict[str, float | None]]]:
    """(model, source, delta1 by data set) of each row of these sources."""
    return [
        (row["model"], row["source"], dict(zip(DATASETS, row["values"], strict=True)))
        for row in _CONTENT["delta1"]
        if row["source"] in sources
    ]
