# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
import errno
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import namedtuple
from contextlib import closing, contextmanager

import numpy as np
import pytest
from testing.toy_set import CAMERAS, Toy, plane_of, write_toys

from depthlm_ros.data.jsonl import pattern_of
from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from training.curate import __main__ as command
from training.curate import sets, writer
from training.curate.rectify import pinhole_of
from training.curate.sample import Skip

FORMS = [
    f"{kind}_{form}_{camera}"
    for kind in ("z", "distance")
    for form in ("points", "map")
    for camera in CAMERAS
]
FAULTS = {
    "z_points_pinhole_nodepth": "no depth file",
    "z_points_pinhole_bug": "unreadable data",
    "z_points_pinhole_empty": "no points",
    "z_map_pinhole_truncated": "truncated image",
    "z_map_pinhole_small": "image of another size",
}
DRIVER = """
import sys
from testing.toy_set import Toy
from training.curate import __main__ as command, sets, writer
sets.SETS["toy"] = Toy
writer.SHARD = 8
command.main(sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setitem(sets.SETS, "toy", Toy)
    monkeypatch.setattr(writer, "SHARD", 8)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_toys(tmp_path_factory.mktemp("toys"), FORMS * 2 + list(FAULTS))


def curated(root, out, *options):
    command.main(["toy", "--root", str(root), "--out", str(out), "--workers", "1", *options])
    return Records(pattern_of(out))


def content_of(folder):
    """File -> hash, of everything in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_labels_and_depth_images_are_the_true_metres_of_their_kind(root, tmp_path):
    records = curated(root, tmp_path, "--depth", "--pixels", "200")
    assert len(records) == len(FORMS) * 2
    for record in records:
        kind, _, which = record.image.stem.split("-")[0].split("_")
        camera = record.camera
        assert record.kind == kind and record.source == "toy" and len(record) == 200
        assert camera == pinhole_of(CAMERAS[which])
        assert record.frame().image.shape == (camera.height, camera.width, 3)
        true = plane_of(kind, camera, record.pixels)
        slope = np.abs(plane_of(kind, camera, record.pixels + 0.01) - true)
        assert (np.abs(record.label_m - true) <= 1e-4 + slope).all()
        assert record.pixels.max() > 40 and record.scene in record.image.as_posix()
        depth = record.depth_map()
        v, u = np.nonzero(np.isfinite(depth))
        assert len(u) > 0.8 * depth.size
        true = plane_of(kind, camera, np.stack([u, v], 1))
        # A cell is that of the nearest place of the map: half a pixel of the plane.
        assert np.abs(depth[v, u] / true - 1).max() < (0.02 if which == "barrel" else 0.001)


def test_a_pinhole_image_stays_the_same_file(root, tmp_path):
    curated(root, tmp_path)
    copies = list((tmp_path / "images").rglob("*pinhole-*.jpg"))
    assert copies
    for path in copies:
        assert path.read_bytes() == (root / "train" / path.name).read_bytes()


def test_the_manifest_counts_what_was_kept_and_dropped(root, tmp_path):
    curated(root, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["images"] == 16 and manifest["labels"] == 1600 and manifest["scenes"] == 3
    assert manifest["skipped"] == {reason: 1 for reason in FAULTS.values()}
    assert manifest["examples"]["no depth file"] == ["z_points_pinhole_nodepth-0016.jpg"]
    assert manifest["kinds"] == ["distance", "z"] and manifest["licence"] == Toy.licence
    assert manifest["dropped"]["behind another"] > 0 and manifest["dropped"]["out of range"] > 0
    assert manifest["longest_time_gap_s"] == 0.01
    assert manifest["arguments"]["as_published"] == ""
    assert (
        manifest["arguments"]["root"] == str(root)
        and manifest["versions"]["numpy"] == np.__version__
    )


def test_even_labels_show_the_far_end_more_often(tmp_path):
    root = write_toys(tmp_path / "root", ["z_map_pinhole"])
    plain, even = (
        curated(root, tmp_path / name, "--pixels", "60", *options)[0].label_m
        for name, options in (("plain", ()), ("even", ("--even",)))
    )
    assert np.log(even).std() > 1.1 * np.log(plain).std()


def test_limit_spreads_over_the_set(root, tmp_path):
    records = curated(root, tmp_path, "--limit", "3")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (
        manifest["images"] + sum(manifest["skipped"].values()) == 3
        and len(records) == manifest["images"]
    )
    names = sorted(Toy(root).keys())
    assert records[0].image.name == names[0]


class Million(Toy):
    """A set of a million images whose keys are made when they are asked for; it ends soon."""

    def keys(self):
        return range(1_000_000)

    def read(self, key):
        if key == 250:
            raise InputError("enough")
        raise Skip("no depth file", str(key))


def test_the_keys_of_a_large_set_are_never_held(tmp_path, monkeypatch):
    root = write_toys(tmp_path / "root", ["z_map_pinhole"])
    monkeypatch.setitem(sets.SETS, "toy", Million)
    monkeypatch.setattr(writer, "_check_disk", lambda *_: None)
    monkeypatch.setattr(writer, "SHARD", 200)
    tracemalloc.start()
    try:
        with pytest.raises(SystemExit, match="enough"):
            curated(root, tmp_path / "out")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "out" / "00000.jsonl").exists()  # as far as it came
    assert most < 30e6  # a list of the keys alone is 40 MB


def test_a_killed_run_of_two_processes_goes_on_and_gives_the_bytes_of_one(tmp_path):
    root = write_toys(tmp_path / "root", FORMS * 6)
    curated(root, tmp_path / "whole")
    (root / "slow").touch()
    out = tmp_path / "killed"
    line = [sys.executable, "-c", DRIVER, "toy", "--root", str(root), "--out", str(out)]
    run = subprocess.Popen([*line, "--workers", "2"], env=environment(), start_new_session=True)
    try:
        wait_for(lambda: (out / "00001.jsonl").exists(), run)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        first = (out / "00000.jsonl").stat().st_mtime_ns
        wait_for(lambda: not group_lives(run.pid))  # its processes end with it
    finally:
        if group_lives(run.pid):
            os.killpg(run.pid, signal.SIGKILL)
    assert not (out / "manifest.json").exists()
    (root / "slow").unlink()
    curated(root, out)
    assert (out / "00000.jsonl").stat().st_mtime_ns == first
    assert content_of(out) == content_of(tmp_path / "whole")


class Strange(Toy):
    """A set whose lists or tables are not what they should be."""

    def keys(self):
        return self.root["scenes"]


@pytest.mark.parametrize("kind, names", [(Toy, []), (Strange, ["z_map_pinhole"]), (Toy, None)])
def test_a_set_that_cannot_be_listed_is_told_with_the_command_that_shows_its_layout(
    kind, names, tmp_path, monkeypatch
):
    """No images, a fault of the reader's, no folder of the split."""
    monkeypatch.setitem(sets.SETS, "toy", kind)
    if names is not None:
        write_toys(tmp_path, names)
    with pytest.raises(SystemExit) as end:
        curated(tmp_path, tmp_path / "out")
    assert "python -m training.curate toy --help" in str(end.value)
    assert ("TypeError" in str(end.value)) == (kind is Strange)
    assert not (tmp_path / "out").exists()


def test_the_same_command_tries_again_what_gave_no_image(tmp_path):
    root, out = write_toys(tmp_path / "root", ["z_map_pinhole_truncated"]), tmp_path / "out"
    with pytest.raises(SystemExit, match="truncated image"):
        curated(root, out)
    write_toys(tmp_path / "other", ["z_map_pinhole"])
    (broken,) = (root / "train").iterdir()
    (whole,) = (tmp_path / "other" / "train").iterdir()
    broken.write_bytes(whole.read_bytes())
    assert len(curated(root, out)) == 1


def test_a_folder_without_records_takes_other_arguments(root, tmp_path, monkeypatch):
    """As somebody gives them who follows the advice of a refusal."""
    out, usage = tmp_path / "out", namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 9000, 9000))
        with pytest.raises(SystemExit, match="--limit"):
            curated(root, out)
    (out / "images").mkdir()
    (out / "images" / "of an ended run.jpg").touch()
    curated(root, out, "--limit", "4")
    curated(root, tmp_path / "new", "--limit", "4")
    assert content_of(out) == content_of(tmp_path / "new")


def test_broken_counts_are_told_with_the_file_that_is_to_go(tmp_path):
    root, out = write_toys(tmp_path / "root", ["z_map_pinhole"] * 9), tmp_path / "out"
    curated(root, out)
    before = content_of(out)
    counts, records = out / "counts" / "00001.json", out / "00001.jsonl"
    for content in (None, b'{"images": '):
        counts.unlink()
        if content is not None:
            counts.write_bytes(content)
        with pytest.raises(SystemExit) as end:
            curated(root, out)
        assert str(counts) in str(end.value) and str(records) in str(end.value)
        records.unlink()
        curated(root, out)
        assert content_of(out) == before


def test_two_runs_never_write_one_folder(root, tmp_path):
    job = {"format": writer.FORMAT, "set": "toy", "keys": 1}
    with closing(writer.Folder(tmp_path, job)), pytest.raises(SystemExit, match=str(tmp_path)):
        curated(root, tmp_path)
    assert len(curated(root, tmp_path)) == len(FORMS) * 2


def test_a_file_system_without_locks_is_written_too(root, tmp_path, monkeypatch):
    def no_lock(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(writer.fcntl, "flock", no_lock)
    with closing(writer.Folder(tmp_path, {"format": writer.FORMAT, "set": "toy", "keys": 1})):
        (tmp_path / "images").mkdir()  # of a run that may still be writing
    with pytest.raises(SystemExit, match="other arguments"):
        curated(root, tmp_path)
    assert (tmp_path / "images").exists()
    shutil.rmtree(tmp_path)
    assert len(curated(root, tmp_path)) == len(FORMS) * 2


def test_listing_and_writing_show_how_far_they_are(root, tmp_path, monkeypatch):
    shown = []

    @contextmanager
    def bar(title):
        shown.append(title)
        yield lambda *progress: shown.append(progress)
        shown.append("end")

    monkeypatch.setattr(writer, "progress_bar", bar)
    curated(root, tmp_path)
    count = len(FORMS) * 2 + len(FAULTS)
    assert shown[:3] == ["looking for images", "end", "images"]
    assert shown[3:] == [*((i + 1, count) for i in range(count)), "end"]


def test_names_may_hold_what_patterns_are_made_of(tmp_path):
    root = write_toys(tmp_path / "a [b] * ?" / "root", ["z_map_pinhole"])
    out = tmp_path / "a [b] * ?" / "out"
    curated(root, out)
    assert len(Records(pattern_of(out))) == 1 and len(Records(out / "00000.jsonl")) == 1


def environment():
    path = os.pathsep.join([*map(str, (writer.__file__.split("/training/")[0], TEST))])
    return {**os.environ, "PYTHONPATH": path}


TEST = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def wait_for(happened, run=None, seconds=60):
    end = time.monotonic() + seconds
    while not happened():
        assert run is None or run.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_second_run_waits_for_nobody_and_other_arguments_are_refused(root, tmp_path, capsys):
    curated(root, tmp_path)
    with pytest.raises(SystemExit) as end:
        curated(root, tmp_path, "--pixels", "7")
    assert re.search(r"\bpixels\b.*\b100\b.*\b7\b", str(end.value))
    before = content_of(tmp_path)
    capsys.readouterr()
    curated(root, tmp_path)
    assert re.match(r"21 .*--out", capsys.readouterr().out)  # where skipped ones are tried again
    assert content_of(tmp_path) == before


def test_a_folder_with_other_files_is_refused_and_stays_as_it_is(root, tmp_path):
    before = content_of(root)
    with pytest.raises(SystemExit, match="train"):
        curated(root, root)
    assert content_of(root) == before
    (tmp_path / "mine" / "images").mkdir(parents=True)
    (tmp_path / "mine" / "images" / "a.jpg").touch()
    for content in ('{"format": 1}', "[1]"):
        (tmp_path / "mine" / "job.json").write_text(content)
        with pytest.raises(SystemExit, match="job.json"):
            curated(root, tmp_path / "mine")
        assert (tmp_path / "mine" / "job.json").read_text() == content
        assert (tmp_path / "mine" / "images" / "a.jpg").exists()
    shutil.rmtree(tmp_path / "mine")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".hidden").touch()
    assert len(curated(root, tmp_path)) == len(FORMS) * 2


@pytest.mark.parametrize("option", ["--seed=-1", "--seed=1.5", "--pixels=0", "--limit=-2"])
def test_numbers_that_cannot_be_are_refused_before_anything_is_written(option, root, tmp_path):
    with pytest.raises(SystemExit) as end:
        curated(root, tmp_path / "out", option)
    assert end.value.code == 2 and not (tmp_path / "out").exists()


def test_the_command_that_shows_a_folder_can_be_pasted(tmp_path, capsys):
    root = write_toys(tmp_path / "the root", ["z_map_pinhole"])
    curated(root, tmp_path / "what I made", "--limit", "1")
    line = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(line.partition(": ")[2])
    assert words[:4] == ["python", "-m", "training.preview", str(tmp_path / "what I made")]


def test_help_shows_the_layout_of_a_set(capsys):
    with pytest.raises(SystemExit):
        command.main(["ibims", "--help"])
    told = capsys.readouterr().out
    assert "ibims1_core_raw/rgb/<name>.png" in told and "default test" in told


def test_a_small_disk_is_refused_before_it_is_full(root, tmp_path, monkeypatch):
    free = namedtuple("usage", "total used free")(10**9, 10**9 - 9000, 9000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(SystemExit) as end:
        curated(root, tmp_path)
    assert "--limit" in str(end.value)
    assert not list(tmp_path.glob("*.jsonl")) and not (tmp_path / "images").exists()


def test_images_that_are_not_there_need_no_disk(tmp_path, monkeypatch):
    """Of a set that is downloaded in part, or whose parts are."""
    usage, told = namedtuple("usage", "total used free"), []
    for name in ("z_map_pinhole", "z_map_pinhole_nodepth"):
        root = write_toys(tmp_path / name, ["z_map_pinhole", *([name] * 3)] * 4)
        data_set = Toy(root)
        maker = writer.Maker(data_set, tmp_path / "out", writer.Wishes())
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 10**9))
        writer._check_disk(maker, data_set.keys(), 1000, told.append)
    all_of_them, a_quarter = (float(re.search(r" ([\d.]+) MB", text)[1]) for text in told)
    assert a_quarter == pytest.approx(all_of_them / 4, rel=0.05)


def test_a_full_disk_ends_the_run_instead_of_skipping_images(root, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer, "_check_disk", lambda *_: None)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(SystemExit) as end:
        curated(root, tmp_path)
    assert os.strerror(errno.ENOSPC) in str(end.value)
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["unheardof", "--root", "."], "unheardof"),
        (["toy"], "--root"),
        (["toy", "--root", "nowhere"], "nowhere"),
        (["toy", "--root", ".", "--split", "test"], "train"),
        (["toy", "--root", "."], "train"),
        (["toy", "--root", ".", "--workers", "0"], "workers"),
    ],
)
def test_what_cannot_be_is_refused_in_words(arguments, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        command.main([*arguments, "--out", "out"])
    assert end.value.code != 0
    assert named in capsys.readouterr().err + str(end.value)


@pytest.mark.parametrize(
    "names", [[], ["z_points_pinhole_empty"], ["z_points_pinhole", "z_points_pinhole_unusable"]]
)
def test_a_set_that_gives_nothing_is_an_error(names, tmp_path):
    root = write_toys(tmp_path / "root", names)
    with pytest.raises(SystemExit) as end:
        curated(root, tmp_path / "out")
    assert end.value.code != 0 and not (tmp_path / "out" / "manifest.json").exists()
