# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The command line: what it prints, what it writes, and one sentence where it cannot."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from depthlm_ros.data.files import read_picture

ROOT = Path(__file__).resolve().parents[1]
FAKE = ["--engine", "scripted", "--checkpoint", "facebook/VLM3-depth"]  # answers 2 m everywhere
CALIBRATION = """
image_width: 64
image_height: 48
camera_matrix: {data: [40.0, 0.0, 31.5, 0.0, 40.0, 23.5, 0.0, 0.0, 1.0]}
"""
WITHOUT_ROS = """
import sys
for name in ("rclpy", "std_msgs", "sensor_msgs"):
    sys.modules[name] = None
from depthlm_ros.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_ros(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_ROS, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def test_ask_prints_a_line_for_each_pixel_in_order(run, picture):
    at = ["--at", "31.5,23.5", "--at", "0,0", "--at", "99,3", "--at", "nan,1"]
    code, out, err = run("ask", picture, "--fx", 40, *at, *FAKE)
    lines = [line.split() for line in out.splitlines()]
    assert (code, err, len(lines)) == (0, "", 6)
    assert lines[1][:7] == ["31.5,", "23.5", "2.00", "1.80", "to", "2.20", "2.00"]
    assert lines[1][-1] == "OK"
    assert lines[2][2] == "2.00" and float(lines[2][6]) == pytest.approx(1.42, abs=0.02)
    assert lines[3][-1] == "OUTSIDE" and lines[4][-1] == "INVALID"
    assert out.splitlines()[5].endswith("is not calibrated.")


def test_ask_as_json_holds_every_figure(run, picture):
    at = ["--at", "31.5,23.5", "--at=-9,0"]
    code, out, _ = run("ask", picture, "--fx", 40, *at, "--json", *FAKE)
    first, second = json.loads(out)["answers"]
    assert code == 0
    assert first["distance_m"] == 2.0
    assert first["point"] == pytest.approx([0, 0, 2], abs=0.03)
    assert (first["lower_m"], first["upper_m"]) == pytest.approx((1.8, 2.2))
    assert first["stddev_m"] == pytest.approx(0.4 / 3.29)
    assert (second["status"], second["distance_m"]) == ("OUTSIDE", None)


def test_a_snapped_pixel_is_named_with_the_one_that_was_asked(run, picture):
    fake = ["--engine", "scripted", "--checkpoint", "facebook/DepthLM"]
    _, out, _ = run("ask", picture, "--fx", 750, "--at", "1,20", *fake)
    assert out.splitlines()[1].endswith("SNAPPED to 5.5, 20.5")


def test_no_answer_at_all_is_exit_code_1(run, picture):
    assert run("ask", picture, "--fx", 40, "--at", "99,99", *FAKE)[0] == 1


def test_without_a_focal_length_it_says_what_to_give(run, picture):
    code, out, err = run("ask", picture, "--at", "1,2", *FAKE)
    assert (code, out) == (2, "")
    assert "--fx PIXELS" in err and "--camera camera_info.yaml" in err


def test_the_focal_length_from_exif_is_used_and_told(run, tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    Image.new("RGB", (640, 480)).save(tmp_path / "a.jpg", exif=exif)
    code, _, err = run("ask", tmp_path / "a.jpg", "--at", "1,2", *FAKE)
    assert code == 0
    assert err.startswith("depthlm: fx = 481 px, from the film-equivalent focal length")


def test_a_camera_file_gives_the_intrinsics(run, picture, tmp_path):
    (tmp_path / "c.yaml").write_text(CALIBRATION)
    camera = ["--camera", tmp_path / "c.yaml"]
    _, out, _ = run("ask", picture, *camera, "--at", "51.5,23.5", "--json", *FAKE)
    point = json.loads(out)["answers"][0]["point"]
    assert point[0] / point[2] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ask", "PICTURE", "--fx", "0", "--at", "1,2"], "must be positive"),
        (["ask", "PICTURE", "--fx", "9", "--camera", "c.yaml", "--at", "1,2"], "not both"),
        (["ask", "PICTURE", "--camera", "c.yaml", "--at", "1,2"], "c.yaml is no camera_info"),
        (["ask", "nowhere.png", "--fx", "9", "--at", "1,2"], "nowhere.png cannot be read"),
        (["ask", "PICTURE", "--fx", "9", "--at", "1,2", "--checkpoint", "x"], "'x' is neither"),
        (["ask", "PICTURE", "--fx", "9", "--at", "1,2", "--style", "marker"], "is 'marker'"),
        (["scan", "PICTURE", "--fx", "9", "--style", "marker"], "grid_style is 'marker'"),
        (["scan", "PICTURE", "--fx", "9", "--grid", "2000x2000"], "2000 x 2000 is not possible"),
        (["scan", "PICTURE", "--fx", "9", "--out", "/dev/null/out"], "--out /dev/null/out"),
        (["eval", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["checkpoints", "--row", "x"], "'x' is neither"),
        (["calibrate", "nowhere.jsonl", "--checkpoint", "tiny"], "nowhere.jsonl cannot be read"),
        (["calibrate", "r.jsonl"], "is no folder here: download it"),
        (["calibrate", "r.jsonl", "--checkpoint", "tiny", "--out", "."], "--out . exists"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(run, picture, arguments, words):
    given = [picture if argument == "PICTURE" else argument for argument in arguments]
    fake = [] if arguments[0] == "checkpoints" or "--checkpoint" in arguments else FAKE
    code, out, err = run(*given, *fake)
    assert (code, out) == (2, "")
    assert err.startswith("depthlm: ") and words in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ask", "a.png", "--at", "12"], "a pixel is u,v such as 320,240, got '12'"),
        (["scan", "a.png", "--grid", "32"], "a grid is COLUMNSxROWS such as 32x24, got '32'"),
        (["scan", "a.png", "--grid", "0x3"], "a grid is COLUMNSxROWS such as 32x24, got '0x3'"),
        (["eval", "r.jsonl", "--limit", "0"], "a whole number of 1 or more"),
        (["eval", "r.jsonl", "--constant", "nan"], "a number above 0, got 'nan'"),
        (["ask", "a.png", "--at", "1,2", "--threads", "0"], "a whole number of 1 or more"),
        (["eval", "r.jsonl", "--constant", "2", "--checkpoint", "x"], "not allowed with"),
        (["eval", "r.jsonl", "--kind", "depth"], "distance"),
        (["eval", "r.jsonl", "--worst", "0", "a.png"], "a whole number of 1 or more"),
        (["eval", "r.jsonl", "--worst", "3", "a.txt"], "a .png or .jpg file"),
        (["measure"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_a_malformed_command_line_says_what_is_allowed(run, capsys, arguments, words):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_one_sentence(run, picture, tmp_path):
    (tmp_path / "out" / "overlay.png").mkdir(parents=True)
    code, _, err = run("scan", picture, "--fx", 40, "--out", tmp_path / "out", *FAKE)
    assert code == 2 and err.endswith("overlay.png: Is a directory\n")


def test_scan_writes_overlay_cloud_picture_and_ply(run, picture, tmp_path):
    out = tmp_path / "deep" / "out"
    code, text, _ = run("scan", picture, "--fx", 40, "--grid", "8x6", "--out", out, *FAKE)
    assert code == 0
    assert text.startswith("48 of 48 pixels answered")
    assert "median 2.00 m" in text
    assert sorted(path.name for path in out.iterdir()) == ["cloud.ply", "cloud.png", "overlay.png"]
    assert read_picture(out / "overlay.png").shape == (48, 64, 3)
    assert b"element vertex 48" in (out / "cloud.ply").read_bytes()


def test_checkpoints_lists_the_published_models(run):
    code, out, _ = run("checkpoints")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()][-4:] == [
        "facebook/DepthLM",
        "facebook/DepthLM-3B",
        "facebook/DepthLM-7B",
        "facebook/VLM3-depth",
    ]


def test_checkpoints_prints_a_row_as_json(run):
    row = json.loads(run("checkpoints", "--row", "facebook/DepthLM")[1])
    assert (row["focal_px"], row["wording"]) == (750.0, {"marker": "tags"})


def test_bench_measures_answers_where_there_is_no_ros():
    done = run_without_ros("bench", *FAKE)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "cores" in lines[0]
    assert lines[1] == "conversions: not measured, they need ROS 2"
    assert lines[-2].startswith("one pixel, coordinates") and lines[-2].endswith((" ms", " s"))
    assert lines[-1].startswith("a grid of 32 x 24, coordinates")


@pytest.mark.parametrize("arguments", [("call", "--at", "3,4"), ("demo",)])
def test_talking_to_a_node_without_ros_is_one_sentence(arguments):
    done = run_without_ros(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ROS 2 is not in this environment" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_module_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "depthlm_ros", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0
    for command in ("ask", "scan", "eval", "calibrate", "intervals", "checkpoints", "bench"):
        assert f"    {command}" in done.stdout


def test_a_reader_who_has_seen_enough_causes_no_traceback():
    """As in `depthlm checkpoints | head -1`."""
    command = [sys.executable, "-m", "depthlm_ros", "checkpoints"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, cwd=ROOT) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_bar_of_loading_is_drawn_for_large_models_only(monkeypatch):
    from contextlib import contextmanager

    from depthlm_ros.cli import bars

    drawn, now = [], [0.0]

    @contextmanager
    def recording(title):
        yield lambda done, total: drawn.append((done, total))

    monkeypatch.setattr(bars, "progress_bar", recording)
    with bars.loading_bar(clock=lambda: now[0]) as progress:
        progress(0.1, "reading")
        now[0] = 2.5
        progress(0.251, "reading")
        progress(1.0, "ready")
    assert drawn == [(25, 100), (100, 100)]


def test_threads_and_dtype_reach_the_model(run, picture):
    asked = ["ask", picture, "--fx", 40, "--at", "30,20", "--engine", "local"]
    code, _, err = run(*asked, "--threads", 100_000)
    assert code != 0 and "threads is 100000, allowed: 0" in err
    code, _, err = run(*asked, "--dtype", "int8")
    assert code != 0 and "dtype is 'int8', allowed: auto" in err
