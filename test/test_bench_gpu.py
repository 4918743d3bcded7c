# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The run for a GPU, tried on a processor at tiny size: every part tells what it is for, the time
is kept, and what fails does not take the rest with it."""

import json

import numpy as np
import pytest
import torch

from depthlm_ros.bench.gpu import plan, right, run
from depthlm_ros.cli import main
from depthlm_ros.errors import InputError


def _run(folder, *more):
    code = main(["bench", "--gpu", "--device", "cpu", "--out", str(folder), *more])
    return code, json.loads((folder / run.FILE).read_text())


def test_every_part_runs_on_a_processor_and_tells_its_figures(tmp_path, capsys):
    code, report = _run(tmp_path / "out")
    assert code == 0
    assert report["finished"] is True
    parts = report["parts"]
    assert list(parts) == list(run.NAMES)
    assert [name for name, part in parts.items() if "error" in part or "skipped" in part] == []
    assert parts["machine"]["ceilings"]["tflops"] > 0
    for dtype in ("float32", "bfloat16", "float16"):
        assert parts["attention"][dtype]["right"] is True
        for name in ("embedded", *right.SMALL):
            assert parts["precision"][f"{name}, {dtype}"]["right"] is True
    for part, counts in (("main", plan.TINY.counts), ("heavy", plan.TINY.few)):
        for style, numbers in counts.items():
            for count in numbers:
                cell = parts[part][f"{style} {count}"]
                assert cell["questions"] == count
                assert sum(int(n) * k for n, k in cell["batcher_steps"].items()) == count
                assert min(cell["direct_ms"], cell["batcher_ms"], cell["estimate_gb"]) > 0
    for style, numbers in plan.TINY.graphed.items():
        for count in numbers:
            cell = parts["graphs"][f"{style} {count}"]
            assert cell["right"] is True and cell["recorded"] > 0
            assert min(cell["computed_ms"], cell["repeated_ms"], cell["first_ms"]) > 0
    marked = parts["profile"]["marker 1"]["step"]
    assert 0 < marked["vision_ms"] + marked["rounds_ms"] <= marked["wall_ms"] * 1.05
    assert parts["reference"]["marker 1"]["reference_ms"] > 0
    halved = parts["halving"]["coordinates"]
    assert halved["answered"] == halved["same"] == halved["questions"]
    assert "skipped" not in capsys.readouterr().out


def test_a_part_that_does_not_fit_into_the_time_is_skipped_and_told(tmp_path):
    code, report = _run(tmp_path, "--minutes", "0.12", "--parts", "machine,main")
    assert code == 0
    assert report["finished"] is True
    assert "versions" in report["parts"]["machine"]
    assert list(report["parts"]["main"]) == ["skipped"]


def test_a_part_that_fails_leaves_its_error_and_the_next_one_runs(tmp_path, monkeypatch):
    def broken(_):
        yield "before", 1.0
        raise RuntimeError("no kernel image")

    parts = (run.Part("broken", 1, broken), *run.PARTS[:1])
    monkeypatch.setattr(run, "PARTS", parts)
    lines = list(run.run(tmp_path, device="cpu"))
    content = json.loads((tmp_path / run.FILE).read_text())["parts"]
    assert content["broken"]["before"] == 1.0
    assert "no kernel image" in content["broken"]["error"]
    assert "versions" in content["machine"]
    assert any("FAILED" in line for line in lines)


def test_wrong_attention_and_wrong_states_are_called_wrong(tmp_path, monkeypatch):
    from depthlm_ros.models import attention

    plain = attention._plain
    monkeypatch.setattr(
        attention,
        "_plain",
        lambda q, k, v, scale, causal: plain(q, k, v, 1.02 * scale, causal),
    )
    _, report = _run(tmp_path, "--parts", "attention")
    assert {report["parts"]["attention"][d]["right"] for d in ("float32", "bfloat16")} == {False}
    states, roots, metres = np.ones((3, 8)), np.full((3, 11), 0.1), np.full(3, 2.0)
    apart = right.apart((states * 1.2, roots, metres), (states, roots, metres))
    assert apart["states"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    "more",
    [
        ["--parts", "machine,laser"],
        ["--size", "tiny"],
        ["--checkpoint", "tiny"],
        ["--out", "/dev/null/nowhere"],
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, capsys, more):
    given = ["bench", "--gpu", "--device", "cpu", "--out", str(tmp_path), *more]
    assert main(given) == 2
    assert capsys.readouterr().err.strip()


def test_without_a_gpu_the_trial_on_a_processor_must_be_asked_for(tmp_path, monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr("depthlm_ros.models.loading.find_device", lambda name: cpu)
    with pytest.raises(InputError):
        next(run.run(tmp_path))
    assert not (tmp_path / run.FILE).exists()
