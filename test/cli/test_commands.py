# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The command line: what it prints, what it writes, and one sentence where it cannot."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from depthlm_ros.cli import parser
from depthlm_ros.data.files import read_image

COMMANDS = ("ask", "scan", "bag", "eval", "calibrate", "intervals", "checkpoints", "bench", "call")
ROOT = Path(__file__).resolve().parents[2]
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


def test_ask_prints_a_line_for_each_pixel_in_order(run, image_file):
    at = ["--at", "31.5,23.5", "--at", "0,0", "--at", "99,3", "--at", "nan,1"]
    code, out, err = run("ask", image_file, "--fx", 40, *at, *FAKE)
    lines = [line.split() for line in out.splitlines()]
    assert (code, len(lines)) == (0, 6)
    assert len(err.splitlines()) == 1 and "64 x 48" in err  # of the pixel outside
    assert lines[1][:6] == ["31.5,", "23.5", "2.00", "1.80", "to", "2.20"]
    assert lines[1][6] == "2.00" and lines[1][-1] == "OK"
    assert lines[2][2] == "2.00" and float(lines[2][6]) == pytest.approx(1.42, abs=0.02)
    assert lines[3][-1] == "OUTSIDE" and lines[4][-1] == "INVALID"


def test_a_pixel_with_a_minus_sign_is_a_value_and_no_option(run, image_file):
    at = ["--at", "-5,10", "--at", "-.4,10", "--at=-9,0"]
    code, out, err = run("ask", image_file, "--fx", 40, *at, "--json", *FAKE)
    pixels = [(one["pixel"], one["status"]) for one in json.loads(out)["answers"]]
    assert (code, len(err.splitlines())) == (0, 1)
    assert pixels == [([-5, 10], "OUTSIDE"), ([-0.4, 10], "SNAPPED"), ([-9, 0], "OUTSIDE")]


def test_ask_as_json_holds_every_figure(run, image_file):
    at = ["--at", "31.5,23.5", "--at=-9,0"]
    code, out, _ = run("ask", image_file, "--fx", 40, *at, "--json", *FAKE)
    first, second = json.loads(out)["answers"]
    assert code == 0
    assert first["distance_m"] == 2.0
    assert first["point"] == pytest.approx([0, 0, 2], abs=0.03)
    assert (first["lower_m"], first["upper_m"]) == pytest.approx((1.8, 2.2))
    assert first["stddev_m"] == pytest.approx(0.4 / 3.29)
    assert (second["status"], second["distance_m"]) == ("OUTSIDE", None)


def test_a_snapped_pixel_is_named_with_the_one_that_was_asked(run, image_file):
    fake = ["--engine", "scripted", "--checkpoint", "facebook/DepthLM"]
    _, out, _ = run("ask", image_file, "--fx", 750, "--at", "1,20", *fake)
    assert out.splitlines()[1].split()[-4:] == ["SNAPPED", "to", "5.5,", "20.5"]


def test_no_answer_at_all_is_exit_code_1(run, image_file):
    assert run("ask", image_file, "--fx", 40, "--at", "99,99", *FAKE)[0] == 1


def test_without_a_focal_length_the_options_that_give_one_are_named(run, image_file):
    code, out, err = run("ask", image_file, "--at", "1,2", *FAKE)
    assert (code, out) == (2, "")
    assert "--fx" in err and "--camera" in err


def test_the_focal_length_from_exif_is_used_and_told(run, tmp_path):
    """26 mm on film whose diagonal is 43.27 mm: 26 / 43.27 of the image's 800 px."""
    exif = Image.Exif()
    exif[0x8769] = {0xA405: 26}
    Image.new("RGB", (640, 480)).save(tmp_path / "a.jpg", exif=exif)
    code, _, err = run("ask", tmp_path / "a.jpg", "--at", "1,2", *FAKE)
    assert (code, len(err.splitlines())) == (0, 1)
    assert "fx = 481 px" in err


def test_a_camera_file_gives_the_intrinsics(run, image_file, tmp_path):
    (tmp_path / "c.yaml").write_text(CALIBRATION)
    camera = ["--camera", tmp_path / "c.yaml"]
    _, out, _ = run("ask", image_file, *camera, "--at", "51.5,23.5", "--json", *FAKE)
    point = json.loads(out)["answers"][0]["point"]
    assert point[0] / point[2] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["ask", "IMAGE", "--fx", "0", "--at", "1,2"], "fx"),
        (["ask", "IMAGE", "--fx", "9", "--camera", "c.yaml", "--at", "1,2"], "camera"),
        (["ask", "IMAGE", "--camera", "c.yaml", "--at", "1,2"], "c.yaml"),
        (["ask", "nowhere.png", "--fx", "9", "--at", "1,2"], "nowhere.png"),
        (["ask", "IMAGE", "--fx", "9", "--at", "1,2", "--checkpoint", "x"], "'x'"),
        (["ask", "IMAGE", "--fx", "9", "--at", "1,2", "--style", "marker"], "marker"),
        (["scan", "IMAGE", "--fx", "9", "--style", "marker"], "marker"),
        (["scan", "IMAGE", "--fx", "9", "--grid", "2000x2000"], "2000 x 2000"),
        (["scan", "IMAGE", "--fx", "9", "--out", "/dev/null/out"], "/dev/null/out"),
        (["eval", "nowhere.jsonl"], "nowhere.jsonl"),
        (["checkpoints", "--entry", "x"], "'x'"),
        (["calibrate", "nowhere.jsonl", "--checkpoint", "tiny"], "nowhere.jsonl"),
        (["calibrate", "r.jsonl"], "facebook/VLM3-depth"),
        (["calibrate", "r.jsonl", "--checkpoint", "tiny", "--out", "."], "--out ."),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(run, image_file, arguments, named):
    given = [image_file if argument == "IMAGE" else argument for argument in arguments]
    fake = [] if arguments[0] == "checkpoints" or "--checkpoint" in arguments else FAKE
    code, out, err = run(*given, *fake)
    assert (code, out) == (2, "")
    assert err.startswith("depthlm: ") and named in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "a.png", "--at", "12"],
        ["ask", "a.png", "--at", "-12,b"],
        ["scan", "a.png", "--grid", "32"],
        ["scan", "a.png", "--grid", "0x3"],
        ["eval", "r.jsonl", "--limit", "0"],
        ["eval", "r.jsonl", "--constant", "nan"],
        ["ask", "a.png", "--at", "1,2", "--threads", "0"],
        ["eval", "r.jsonl", "--constant", "2", "--checkpoint", "x"],
        ["eval", "r.jsonl", "--kind", "depth"],
        ["demo", "--timeout", "nan"],
        ["eval", "r.jsonl", "--worst", "0", "a.png"],
        ["eval", "r.jsonl", "--worst", "3", "a.txt"],
    ],
    ids=" ".join,
)
def test_a_malformed_value_is_refused_with_the_option_that_has_it(run, capsys, arguments):
    """--constant and --checkpoint exclude each other; of the others the last option is wrong."""
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert [word for word in arguments if word.startswith("--")][-1] in said.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["measure"], []])
def test_a_command_that_does_not_exist_is_refused(run, arguments):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2


def test_a_file_that_cannot_be_written_is_one_sentence(run, image_file, tmp_path):
    (tmp_path / "out" / "overlay.png").mkdir(parents=True)
    code, _, err = run("scan", image_file, "--fx", 40, "--out", tmp_path / "out", *FAKE)
    assert code == 2 and "overlay.png" in err and len(err.splitlines()) == 1


def test_scan_writes_overlay_cloud_image_and_ply(run, image_file, tmp_path):
    out = tmp_path / "deep" / "out"
    code, text, _ = run("scan", image_file, "--fx", 40, "--grid", "8x6", "--out", out, *FAKE)
    assert code == 0
    assert text.split()[:3] == ["48", "of", "48"] and "2.00 m" in text
    assert sorted(path.name for path in out.iterdir()) == ["cloud.ply", "cloud.png", "overlay.png"]
    assert read_image(out / "overlay.png").shape == (48, 64, 3)
    assert b"element vertex 48" in (out / "cloud.ply").read_bytes()


def test_checkpoints_lists_the_published_models(run):
    code, out, _ = run("checkpoints")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()][-5:] == [
        "facebook/DepthLM",
        "facebook/DepthLM-3B",
        "facebook/DepthLM-7B",
        "facebook/VLM3-depth",
        "JonnyYu828/DepthVLM-4B",
    ]


def test_checkpoints_prints_an_entry_as_json(run):
    entry = json.loads(run("checkpoints", "--entry", "facebook/DepthLM")[1])
    assert (entry["focal_px"], entry["wording"]) == (750.0, {"marker": "tags"})


def test_bench_measures_answers_where_there_is_no_ros():
    done = run_without_ros("bench", *FAKE)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "cores" in lines[0]
    assert "coordinates" in lines[-2] and lines[-2].endswith((" ms", " s"))
    assert "32 x 24" in lines[-1] and lines[-1].endswith((" ms", " s"))


@pytest.mark.parametrize("arguments", [("call", "--at", "3,4"), ("demo",)])
def test_talking_to_a_node_without_ros_is_one_sentence(arguments):
    done = run_without_ros(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ROS 2" in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_module_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "depthlm_ros", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0
    for command in (
        "ask",
        "scan",
        "bag",
        "eval",
        "calibrate",
        "intervals",
        "checkpoints",
        "bench",
    ):
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

    from depthlm_ros.viz import progress as bars

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


def test_threads_and_dtype_reach_the_model(run, image_file):
    asked = ["ask", image_file, "--fx", 40, "--at", "30,20", "--engine", "local"]
    code, _, err = run(*asked, "--threads", 100_000)
    assert code == 2 and "100000" in err
    code, _, err = run(*asked, "--dtype", "int8")
    assert code == 2 and "int8" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_writes_a_percent_sign_once(command, capsys):
    """argparse formats the help of an option with %, and a description only sometimes."""
    with pytest.raises(SystemExit):
        parser().parse_args([command, "--help"])
    assert "%%" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "a.png", "--fx", "40", "--at", "1,2", "--checkpoint", ""],
        ["ask", "a.png", "--at", "1,2", "--camera", ""],
        ["bag", "in.mcap", "out.mcap", "--camera", " "],
        ["eval", "r.jsonl", "--against", ""],
        ["demo", "--image", ""],
    ],
    ids=" ".join,
)
def test_an_empty_name_is_refused_and_stands_for_no_default(run, words, capsys):
    """Of `--checkpoint "$FOLDER"`, where nobody set FOLDER."""
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2
    assert words[-2] in capsys.readouterr().err.splitlines()[-1]
