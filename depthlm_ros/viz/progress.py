# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Progress bars on stderr for what takes long; none where stderr is not a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

LONG_S = 2.0  # what takes less needs no bar

Report = Callable[[int, int | None], object]


@contextmanager
def progress_bar(title: str) -> Iterator[Report]:
    """A function (done, total) that draws a bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    if not console.is_terminal:  # rich would end with an empty line
        yield lambda done, total: None
        return
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def loading_bar(
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[float, str], object]]:
    """A function (fraction, what) that draws a bar in percent where loading takes long."""
    begun, drawn = clock(), []

    def progress(fraction, what):
        if not drawn and clock() - begun > LONG_S:
            drawn.append(stack.enter_context(progress_bar("loading the model, %")))
        for bar in drawn:
            bar(round(100 * fraction), 100)

    with ExitStack() as stack:
        yield progress
