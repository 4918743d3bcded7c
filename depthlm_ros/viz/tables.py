# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tables as text, drawn by rich: plain columns for a terminal, or Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from io import StringIO

import numpy as np

from depthlm_ros.ranges import Ranges, Status


def text_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    left: Sequence[int] = (0,),
    markdown: bool = False,
) -> str:
    """A table as text, without the last line break; left: columns that are aligned to the left.

    The text is as wide as its contents, whatever the terminal: a table that goes into a file or a
    pipe is not cut. It holds no characters but those of the contents, spaces and "|" and "-".
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.MARKDOWN if markdown else None, pad_edge=markdown, padding=(0, 1))
    for index, column in enumerate(columns):
        justify = "left" if index in left else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    file = StringIO()
    Console(
        file=file, width=10_000, color_system=None, markup=False, emoji=False, highlight=False
    ).print(table)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).strip("\n")


def answers_table(
    names: Sequence[str],
    ranges: Ranges,
    more: Mapping[str, Sequence[str]] | None = None,
    title: str = "pixel u, v",
) -> str:
    """The table of N answers, one row per name.

    title: heading of the names. more: heading -> N texts, shown instead of z and points.
    """
    if more is None:
        more = {"z m": [numbers([z]) for z in ranges.z_m], **points_column(ranges.points)}
    columns = (title, "distance m", "5 to 95 % m", *more, "status")
    rows = (
        (
            name,
            numbers([ranges.distance_m[i]]),
            numbers([ranges.lower_m[i], ranges.upper_m[i]], between=" to "),
            *(texts[i] for texts in more.values()),
            _status(ranges, i),
        )
        for i, name in enumerate(names)
    )
    return text_table(columns, rows, left=[len(columns) - 1])


def points_column(points: np.ndarray) -> dict[str, list[str]]:
    """The column of points (N, 3) for answers_table."""
    return {"point x, y, z m": [numbers(point) for point in points]}


def numbers(values: Sequence[float], form: str = "{:.2f}", between: str = ", ") -> str:
    """Numbers as text, "-" where one of them is unknown."""
    return between.join(form.format(v) for v in values) if np.isfinite(values).all() else "-"


def _status(ranges, i) -> str:
    status = Status(ranges.status[i])
    where = f" to {numbers(ranges.asked[i], '{:.1f}')}" if status == Status.SNAPPED else ""
    return status.name + where + (", uncertain" if ranges.uncertain[i] else "")
