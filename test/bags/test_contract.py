# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm bag with a predictor that has neither engine nor model."""

import numpy as np
import pytest

pytest.importorskip("rosbags")
from testing.array_predictor import ArrayPredictor

from depthlm_ros.cli import main
from depthlm_ros.predict import PREDICTORS

DISTANCE_M = 1.0 + np.arange(48 * 64).reshape(48, 64) / 1000


def test_a_recording_is_answered_from_an_array(record, read, tmp_path, monkeypatch):
    monkeypatch.setitem(
        PREDICTORS, "array", lambda checkpoint, **_: ArrayPredictor(DISTANCE_M, checkpoint)
    )
    out = tmp_path / "out.mcap"
    code = main(["bag", str(record()), str(out), "--grid", "4x2", "--engine", "array"])
    assert code == 0
    clouds = [message for _, message in read(out)["/depthlm/points"]]
    assert len(clouds) == 4
    points = np.frombuffer(clouds[0].data, np.float32).reshape(8, -1)[:, :3]
    # The middles of a grid of 4 x 2 cells, to whole pixels.
    expected = [DISTANCE_M[v, u] for v in (12, 36) for u in (8, 24, 40, 56)]
    assert np.allclose(np.linalg.norm(points, axis=1), expected, atol=1e-5)
