# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""training.scenes.assets: sizes, frames and licences of what it takes from a package."""

import io
import json
import re
import resource
import tarfile
import zipfile

import numpy as np
import pytest

from training.scenes.assets.__main__ import main
from training.scenes.assets.wavefront import Mesh
from training.scenes.furnished.library import Library


def named(assets, name):
    """(piece, row of models.json) of the model with this name."""
    rows = json.loads((assets / "models.json").read_text())["models"]
    number = next(i for i, row in enumerate(rows) if row["name"] == name)
    return Library(assets, False).piece(number), rows[number]


def test_a_model_has_the_catalogues_size_in_metres_and_its_back_at_zero(assets):
    piece, row = named(assets, "Chair 1")
    low, high = piece.extent()
    np.testing.assert_allclose(low, [-0.225, 0, 0], atol=1e-6)
    np.testing.assert_allclose(high, [0.225, 0.51, 0.9], atol=1e-6)
    upper = piece.corners[piece.corners[..., 2] > 0.46]
    assert upper[:, 1].max() == pytest.approx(0.051, abs=1e-6)
    assert row["size"] == [0.45, 0.51, 0.9] and row["creator"] == "A. Joiner"


def test_a_turned_face_still_looks_outwards(assets):
    """The frame is turned and not mirrored: writing on a model stays readable."""
    piece, _ = named(assets, "Cup")
    across = np.cross(
        piece.corners[:, 1] - piece.corners[:, 0], piece.corners[:, 2] - piece.corners[:, 0]
    )
    middle = (np.add(*piece.extent()) / 2).astype(np.float32)
    side = np.einsum("fd,fd->f", across, piece.corners.mean(1) - middle)
    assert len(side) == 12 and (side > 0).all()


def test_panes_are_left_out_and_frames_keep_their_size(assets):
    piece, _ = named(assets, "Window")
    assert len(piece.corners) == 12
    assert piece.extent()[1][2] == pytest.approx(0.1 * 1.2)


def test_textures_are_shrunk_and_kept_once(assets):
    with np.load(assets / "models.npz") as file:
        np.testing.assert_array_equal(file["texture_size"], [[96, 192]])
        assert file["texels"][0].tolist() == [0, 0, 255, 255]
        assert file["texels"][191].tolist() == [0, 0, 0, 255]
        assert file["colours"][file["texture_of"] < 0].max() == 1.0


def test_what_has_no_free_licence_is_left_out_counted_and_taken_when_asked(tmp_path, sh3f, capsys):
    free = sh3f(tmp_path / "free.sh3f", "Creative Commons Attribution 3.0 license (c) X")
    other = sh3f(tmp_path / "other.sh3f", "GNU GPL / CC-BY 3.0 (c) X")
    command = ["--from", str(free), str(other), "--out", str(tmp_path / "out")]
    main(command)
    output = capsys.readouterr().out
    assert re.search(r"^ *8 +used +free\.sh3f: CC BY 3\.0$", output, re.MULTILINE)
    assert re.search(r"^ *8 +left out +other\.sh3f: GPL .*CC BY 3\.0", output, re.MULTILINE)
    assert "A. Joiner" in output and counted(tmp_path / "out") == (8, 0)
    main([*command, "--everything"])
    assert counted(tmp_path / "out") == (16, 0)


def counted(folder):
    """(models, images) of a collection."""
    index = json.loads((folder / "models.json").read_text())
    return len(index["models"]), len(index["images"])


def test_a_full_disk_leaves_the_collection_that_was_there(tmp_path, sh3f):
    command = ["--from", str(sh3f(tmp_path / "a.sh3f")), "--out", str(tmp_path / "out")]
    main(command)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    try:
        with pytest.raises(SystemExit, match="space"):
            main(command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("packing", ["gz", "xz"])
def test_a_debian_package_needs_no_installing(tmp_path, sh3f, capsys, packing):
    library = sh3f(tmp_path / "inner.sh3f").read_bytes()
    inside, member = io.BytesIO(), tarfile.TarInfo("./usr/share/inner.sh3f")
    member.size = len(library)
    with tarfile.open(fileobj=inside, mode=f"w:{packing}") as files:
        files.addfile(member, io.BytesIO(library))
    parts = {"debian-binary": b"2.0", f"data.tar.{packing}": inside.getvalue()}
    raw = b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(data):<10}`\n".encode()
        + data
        + b"\n" * (len(data) % 2)
        for name, data in parts.items()
    )
    (tmp_path / "deb").mkdir()
    (tmp_path / "deb/things.deb").write_bytes(raw)
    main(["--from", str(tmp_path / "deb"), "--out", str(tmp_path / "out")])
    assert re.search(r"\b8 +used +inner\.sh3f: CC0$", capsys.readouterr().out, re.MULTILINE)
    for part in (raw[:-100], raw[: len(raw) // 2], b"a page that says 404, not found" * 9):
        (tmp_path / "deb/half.deb").write_bytes(part)
        with pytest.raises(SystemExit, match=r"half\.deb"):
            main(["--from", str(tmp_path / "deb/half.deb"), "--out", str(tmp_path / "half")])
    assert not (tmp_path / "half").exists()


def test_a_wheel_gives_images_with_the_metres_they_show(tmp_path, sh3f, capsys):
    import cv2

    wheel = tmp_path / "miniworld-1-py3-none-any.whl"
    brick = cv2.imencode(".png", np.full((512, 512, 3), 90, np.uint8))[1].tobytes()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("miniworld/textures/brick_wall_1.png", brick)
    out = tmp_path / "out"
    main(["--from", str(sh3f(tmp_path / "a.sh3f")), str(wheel), "--out", str(out)])
    table = json.loads((out / "models.json").read_text())
    (row,) = table["images"]
    assert (row["role"], row["metres"], row["licence"]) == ("wall", 2.0, "Apache-2.0")
    table["pictures"] = table.pop("images")  # as earlier versions wrote it
    (out / "models.json").write_text(json.dumps(table))
    parts = [Library(out, unseen).images for unseen in (False, True)]
    assert [part for part in parts if part] == [{"wall": [row]}]


def test_corners_counted_from_the_end_and_polygons_are_understood():
    mesh = Mesh.read("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvn 0 0 1\nf -4//1 -3//1 3//1 4//1\n")
    np.testing.assert_array_equal(mesh.faces[:, :3], [[0, 1, 2], [0, 2, 3]])
    assert (mesh.faces[:, 3:6] == -1).all() and (mesh.faces[:, 6:9] == 0).all()


def test_sources_of_another_kind_and_empty_ones_are_refused(tmp_path):
    (tmp_path / "chair.stl").write_text("")
    with pytest.raises(SystemExit, match=r"\.sh3f"):
        main(["--from", str(tmp_path / "chair.stl"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"gone\.deb"):
        main(["--from", str(tmp_path / "gone.deb"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="sweethome3d-furniture"):
        main(["--from", str(tmp_path), "--out", str(tmp_path / "out")])
