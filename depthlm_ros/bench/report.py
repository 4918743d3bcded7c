# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A comparison as a table, as JSON and as a plot. Measures nothing."""

import json
import os
import platform
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from depthlm_ros.bench.compare import PUBLISHED_TOKENS
from depthlm_ros.errors import InputError, MissingDependency

HEADER = (
    f"{'engine':<10}{'style':<12}{'n':>6}{'batch':>7}{'timed':>7}{'s/question':>12}"
    f"{'first, s':>10}{'ratio':>9}{'TFLOP/s':>9}{'of peak':>9}{'GB':>7}"
)
COLOURS = {"marker": "tab:red", "coordinates": "tab:blue", "position": "tab:green"}
BUSY = 0.5  # processes, above which timings are not to be trusted
REFUSED = "{option} {path} cannot be written: {error}"


def preface(setting):
    """Lines that say what is compared and how, and the header of the table."""
    tokens = ", ".join(f"{style} {work.tokens:.0f}" for style, work in setting.work.items())
    yield (
        f"{setting.size}: {setting.parameters / 1e6:,.0f} M random parameters in {setting.dtype}"
        f" on {setting.device}, a matrix product reaches {setting.peak_flops / 1e12:.3g} TFLOP/s"
    )
    yield f"tokens of text per question behind those that are shared: {tokens}"
    yield (
        f"reference: transformers' generate, an image per question, {PUBLISHED_TOKENS} new tokens"
        " (the end suppressed)"
    )
    yield f"local: {setting.tree}; check: {setting.check}"
    yield from warnings(setting.load_before)
    yield f"* extrapolated: what takes over {setting.limit_s:g} s is timed on a sample"
    yield HEADER


def warnings(load_before):
    """A line where other processes kept the machine busy."""
    if load_before > BUSY:
        yield (
            f"BUSY: {load_before:.1f} other processes ran before this began, so all times are too"
            " long: measure again on a quiet machine"
        )


def this_machine() -> str:
    """In words: processor, cores, accelerator if there is one."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((x.partition(": ")[2] for x in lines if x.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores{_accelerator()}, Python {platform.python_version()}"


def _accelerator() -> str:
    try:
        import torch
    except ImportError:
        return ", no torch"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return "".join(f", {name}" for name in names) + f", torch {torch.__version__}"


def line(setting, row) -> str:
    """A row of the table; * marks an extrapolated one."""
    timed = f"{row.measured_n}{'*' if row.extrapolated else ' '}"
    return (
        f"{row.engine:<10}{row.style:<12}{row.n:>6}{row.batch:>7}{timed:>7}"
        f"{row.seconds_per_question:>12.4g}{row.first_answer_s:>10.3g}{row.ratio:>8.2f}x"
        f"{_speed(setting, row)}{row.peak_bytes / 1e9:>7.2f}"
    )


def write_json(setting, rows, machine, path) -> None:
    """Write {"rows": [...], "machine": machine, ...}; InputError where it cannot be written."""
    content = {"rows": [asdict(row) for row in rows], "machine": machine, **asdict(setting)}
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(REFUSED.format(option="--json", path=path, error=error)) from error


def write_plot(setting, rows, machine, path) -> None:
    """Draw seconds against the number of questions, the roofline dashed; hollow points are
    extrapolated. Raises MissingDependency, or InputError where it cannot be written."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency("--plot needs matplotlib: pip install matplotlib") from error
    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _draw(axes, setting, rows)
    axes.set_title(f"{setting.size}, {setting.dtype}: {machine}", fontsize=9)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise InputError(REFUSED.format(option="--plot", path=path, error=error)) from error


def _speed(setting, row) -> str:
    """The least arithmetic over the time taken; reference does more than that on purpose."""
    if row.engine == "reference":
        return " " * 18
    achieved = setting.achieved_flops(row)
    return f"{achieved / 1e12:>9.3g}{achieved / setting.peak_flops:>9.0%}"


def _draw(axes, setting, rows):
    for key, series in groupby(rows, _series):
        _draw_series(axes, *key, list(series))
    ns = sorted({row.n for row in rows})
    for style in setting.work:
        floor = [setting.roofline_s(style, n) for n in ns]
        axes.plot(ns, floor, "--", color=COLOURS[style], label=f"roofline {style}", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="questions about one image", ylabel="seconds")
    axes.grid(which="major", alpha=0.3)
    axes.legend(fontsize=8)


def _draw_series(axes, engine, style, batch, rows):
    label = f"{engine} {style}" + (f", batch {batch}" if batch else "")
    points = [(row.n, row.n * row.seconds_per_question) for row in rows]
    axes.plot(*zip(*points, strict=True), ":" if batch else "-", color=COLOURS[style], label=label)
    for row, point in zip(rows, points, strict=True):
        face = "white" if row.extrapolated else COLOURS[style]
        axes.plot(*point, "s" if batch > 1 else "o", color=COLOURS[style], markerfacecolor=face)


def _series(row):
    """Rows of one line of the plot: local's batch grows along it."""
    return row.engine, row.style, row.batch if row.engine == "reference" else 0
