# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Intrinsics that can be used and hardly be right: answered, and told of on stderr."""

import json

import pytest

FAKE = ["--engine", "scripted", "--checkpoint", "facebook/VLM3-depth"]  # answers 2 m everywhere
SQUARE, OBLONG = (40.0, 40.0, 31.5, 23.5), (60.0, 40.0, 31.5, 23.5)
OF_ANOTHER_SIZE = (80.0, 80.0, 64.0, 48.0)
CALIBRATION = """
image_width: 64
image_height: 48
camera_matrix: {{data: [{0}, {skew}, {2}, 0.0, {1}, {3}, 0.0, 0.0, 1.0]}}
"""


@pytest.mark.parametrize(
    ("intrinsics", "skew", "options", "figures"),
    [
        (SQUARE, 0.0, [], []),
        (OBLONG, 0.0, [], [["60", "40", "1.22"]]),
        (OBLONG, 0.0, ["--axes", "both"], []),
        (OF_ANOTHER_SIZE, 0.0, [], [["(64, 48)", "64 x 48"]]),
        (SQUARE, 2.0, [], [["K[1] = 2 "]]),
        ((60.0, 40.0, -1.0, 23.5), 2.0, [], [["(-1, 23.5)"], ["K[1] = 2 "], ["1.22"]]),
    ],
)
@pytest.mark.parametrize("command", ["ask", "scan"])
def test_an_image_is_answered_and_its_doubts_are_told(
    command, intrinsics, skew, options, figures, run, image_file, tmp_path
):
    path = tmp_path / "camera.yaml"
    path.write_text(CALIBRATION.format(*intrinsics, skew=skew))
    how = {"ask": ["--at", "30,20"], "scan": ["--grid", "2x2", "--out", tmp_path / "out"]}[command]
    code, _, err = run(command, image_file, "--camera", path, *how, *options, *FAKE)
    lines = err.splitlines()
    assert (code, len(lines)) == (0, len(figures))
    for line, numbers in zip(lines, figures, strict=True):
        assert all(number in line for number in numbers)


def test_axes_of_another_name_are_refused(run, image_file, capsys):
    with pytest.raises(SystemExit) as ended:
        run("ask", image_file, "--fx", 40, "--at", "1,1", "--axes", "fy", *FAKE)
    assert ended.value.code == 2 and "--axes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "lines"), [([], 4), (["--axes", "both"], 0), (["--constant", "2"], 0)]
)
def test_eval_tells_the_first_cameras_and_counts_the_others(
    options, lines, run, image_file, tmp_path
):
    """Two good cameras, one doubtful camera twice, and four more."""
    focal = [40, 40, 50, 50, 60, 70, 80, 90]
    record = {"image": "a.png", "pixel_coords": [[30, 20]], "depth": [2.0]}
    written = [{**record, "intrinsics": [fx, 40, 31.5, 23.5, 64, 48]} for fx in focal]
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(map(json.dumps, written)))
    who = [] if "--constant" in options else FAKE
    code, _, err = run("eval", path, "--kind", "z", *options, *who)
    doubts = err.splitlines()
    assert (code, len(doubts)) == (0, lines), err
    if doubts:
        assert [f"fx = {fx}," in line for fx, line in zip((50, 60, 70), doubts)] == [True] * 3
        assert doubts[3].endswith(": 2")


@pytest.mark.parametrize("far", [1, 2])
@pytest.mark.parametrize("command", ["eval", "intervals"])
def test_labels_of_which_most_are_too_far_for_metres_are_answered_and_told(
    command, far, run, image_file, tmp_path
):
    """One of three may be a mountain; two are the numbers of a depth image."""
    depth = [2410.0, 1800.0 if far > 1 else 1.8, 2.0]
    record = {"image": "a.png", "pixel_coords": [[30, 20], [10, 10], [5, 5]], "depth": depth}
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps({**record, "intrinsics": [40, 40, 31.5, 23.5, 64, 48]}))
    code, _, err = run(command, path, "--kind", "z", *FAKE)
    assert code == 0 and len(err.splitlines()) == far - 1
    if far > 1:
        assert "2 of 3" in err
