# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Bars on stderr for what takes long; nothing where rich is missing or nobody looks."""

import time
from contextlib import ExitStack, contextmanager

LONG_S = 2.0  # what is over sooner needs no bar


@contextmanager
def progress_bar(title):
    """A function (done, total) that draws a bar."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    except ImportError:
        yield lambda done, total: None
        return
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def loading_bar(clock=time.monotonic):
    """A function (fraction, what) that draws a bar in percent once a model is large."""
    begun, drawn = clock(), []

    def progress(fraction, what):
        if not drawn and clock() - begun > LONG_S:
            drawn.append(stack.enter_context(progress_bar("loading the model, %")))
        for bar in drawn:
            bar(round(100 * fraction), 100)

    with ExitStack() as stack:
        yield progress
