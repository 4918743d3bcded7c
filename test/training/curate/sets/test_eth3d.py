# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""ETH3D: files in its layout, written here, against the distances they were computed from."""

import shutil

import cv2
import numpy as np
import pytest
from testing.planes import OPTICAL, before, grid, photograph, reach, turn

from depthlm_ros.data.files import read_image
from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from training.curate.__main__ import main
from training.curate.formats.colmap import Model
from training.curate.sample import Skip
from training.curate.sets.eth3d import Eth3d

WIDTH, HEIGHT = 96, 72
# As in cameras.txt: k1 k2 p1 p2 k3 k4 sx1 sy1, and a second camera of the same scene.
LENS = (0.21, 0.21, 0.0021, -0.0017, -0.158, 0.407, -0.0013, 0.0031)
INTRINSICS = (61.3, 60.7, 45.1, 37.9)
OTHER = (70.0, 70.0, 48.0, 36.0)
EYE, LOOK = np.array([-6.0, 1.0, 1.7]), turn(0.2, 0.1, 0.15) @ OPTICAL
HEADER = "# Camera list with one line of data per camera:\n# Number of cameras: 2\n"


def bend(turned):
    """The thin prism polynomial of COLMAP."""
    k1, k2, p1, p2, k3, k4, sx1, sy1 = LENS
    u, v = turned.T
    r2 = u * u + v * v
    radial = k1 * r2 + k2 * r2**2 + k3 * r2**3 + k4 * r2**4
    du = u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u) + sx1 * r2
    dv = v * radial + 2 * p2 * u * v + p1 * (r2 + 2 * v * v) + sy1 * r2
    return turned + np.stack([du, dv], axis=1)


def fisheye_rays(intrinsics=INTRINSICS):
    """(H * W, 3): pixel centres lie half a pixel from the corner."""
    fx, fy, cx, cy = intrinsics
    turned = before(bend, (grid(WIDTH, HEIGHT) + 0.5 - (cx, cy)) / (fx, fy))
    angle = np.linalg.norm(turned, axis=1, keepdims=True)
    return np.concatenate([turned / angle * np.sin(angle), np.cos(angle)], axis=1)


def calibration(folder, model, width, height, parameters, images):
    folder.mkdir(parents=True)
    numbers = " ".join(map(str, parameters))
    other = " ".join(map(str, (*OTHER, *parameters[4:])))
    text = f"{HEADER}0 {model} {width} {height} {numbers}\n7 {model} {width} {height} {other}\n"
    (folder / "cameras.txt").write_text(text)
    lines = [f"{i} 1 0 0 0 0 0 0 {c} {name}\n{p}\n" for i, (name, c, p) in enumerate(images)]
    (folder / "images.txt").write_text("# Image list\n" + "".join(lines))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A root with one scene of two images through two cameras, and the true z of both."""
    root = tmp_path_factory.mktemp("eth3d")
    scene = root / "courtyard"
    images, depth = scene / "images/dslr_images", scene / "ground_truth_depth/dslr_images"
    for folder in (images, depth):
        folder.mkdir(parents=True)
    named = [("dslr_images/DSC_0001.JPG", 0, ""), ("dslr_images/DSC_0002.JPG", 7, "1.5 2.5 9")]
    calibration(
        scene / "dslr_calibration_jpg",
        "THIN_PRISM_FISHEYE",
        WIDTH,
        HEIGHT,
        (*INTRINSICS, *LENS),
        named,
    )
    truth = {}
    for name, intrinsics in (("DSC_0001.JPG", INTRINSICS), ("DSC_0002.JPG", OTHER)):
        rays = fisheye_rays(intrinsics)
        metres = reach(EYE, rays @ LOOK.T)
        z_m = (metres * rays[:, 2]).reshape(HEIGHT, WIDTH).astype("<f4")
        image = photograph(metres.reshape(HEIGHT, WIDTH))
        cv2.imwrite(str(images / name), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
        holes = z_m.copy()
        holes[:3] = np.inf
        holes.tofile(depth / name)
        truth[name] = z_m, metres.reshape(HEIGHT, WIDTH), rays
    return root, truth


@pytest.mark.parametrize(("name", "number"), [("DSC_0001.JPG", 0), ("DSC_0002.JPG", 1)])
def test_map_and_lens_are_those_of_the_distorted_image(place, name, number):
    root, truth = place
    data_set = Eth3d(root)
    keys = data_set.keys()
    assert len(keys) == 2
    sample = data_set.read(keys[number])
    z_m, metres, rays = truth[name]
    assert (sample.kind, sample.scene) == ("z", "courtyard")
    assert np.isnan(sample.depth[:3]).all()
    np.testing.assert_array_equal(sample.depth[3:], z_m[3:])
    assert read_image(sample.image).shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(sample.camera.rays(grid(WIDTH, HEIGHT)), rays, atol=1e-7)
    points = rays * metres.reshape(-1, 1)
    np.testing.assert_allclose(sample.camera.pixels(points), grid(WIDTH, HEIGHT), atol=1e-4)
    from_z = sample.depth.ravel() / sample.camera.rays(grid(WIDTH, HEIGHT))[:, 2]
    np.testing.assert_allclose(from_z[3 * WIDTH :], metres.ravel()[3 * WIDTH :], atol=1e-4)


def test_labels_on_disk_are_those_of_the_straightened_image(place, tmp_path):
    """Through the command line."""
    out = tmp_path / "out"
    main(["eth3d", "--root", str(place[0]), "--out", str(out), "--workers=1", "--pixels=400"])
    records = list(Records(out / "00000.jsonl"))
    assert len(records) == 2
    for record in records:
        rays = record.camera.rays(record.pixels)
        z_m = reach(EYE, rays @ LOOK.T) * rays[:, 2]
        off = np.abs(np.array(record.label_m) / z_m - 1)
        assert len(off) == 400 and record.kind == "z"
        assert np.quantile(off, 0.97) < 1e-3  # the rest lies on an edge, to 0.01 px


def test_lens_bends_as_eth3ds_own_implementation_does():
    """Pixels that the C++ of ETH3D/camera-model-implementations computes, in float32."""
    parameters = (3411.42, 3410.02, 3041.29, 2014.07, 0.21047, 0.21102, -5.36231e-4, 5.1541e-4,
                  -0.158023, 0.406856, -8.46499e-4, 8.61313e-4)  # fmt: skip
    lens = Model("THIN_PRISM_FISHEYE", 6048, 4032, parameters).lens()
    slopes = np.array([(0.8, 0.5), (-0.7, -0.5), (0.1, -0.3), (-0.6, 0.45)])
    told = [(5673.4570, 3659.3491), (740.9937, 372.4989), (3378.3318, 1001.1464),
            (1067.8683, 3492.7622)]  # fmt: skip
    rays = np.concatenate([slopes, np.ones((4, 1))], axis=1)
    np.testing.assert_allclose(lens.pixels(rays), told, atol=2e-3)


def test_lens_shows_nothing_behind_it_and_nothing_far_outside(place):
    lens = Eth3d(place[0]).read(("courtyard", "DSC_0001.JPG")).camera
    points = np.array([[0, 0, -1.0], [1, 0, 0], [50.0, 0, 1], [0, 0, 2]])
    seen = lens.pixels(points)
    assert np.isnan(seen[:3]).all()
    np.testing.assert_allclose(seen[3], (INTRINSICS[2] - 0.5, INTRINSICS[3] - 0.5))


def test_published_depthlm_writes_distances_through_four_coefficients(place):
    root, truth = place
    sample = Eth3d(root, as_published="depthlm").read(("courtyard", "DSC_0001.JPG"))
    fx, fy, cx, cy = INTRINSICS
    straight = np.array([(30 - cx) / fx, (50 - cy) / fy])
    angle = np.arctan(np.hypot(*straight))
    powers = angle ** np.array([2, 4, 6, 8]) @ (LENS[0], LENS[1], LENS[4], LENS[5])
    bent = straight / np.hypot(*straight) * angle * (1 + powers)
    column, row = np.floor(bent * (fx, fy) + (cx, cy)).astype(int)
    around = truth["DSC_0001.JPG"][0][row : row + 2, column : column + 2]  # OpenCV takes one
    assert sample.kind == "distance"
    expected = around * np.hypot(1, np.hypot(*straight))
    assert np.abs(expected - sample.depth[50, 30]).min() < 1e-4
    assert np.isnan(sample.depth[10]).all() and np.isnan(sample.depth[:, -10:]).all()
    assert sample.image.shape == (HEIGHT, WIDTH, 3) and sample.camera.distortion == "none"
    assert sample.camera.cx == cx
    other = Eth3d(root, as_published="depthlm").read(("courtyard", "DSC_0002.JPG"))
    assert other.camera.fx == fx  # the first camera of the scene, whoever took the image


def test_published_depthvlm_lays_the_map_on_the_other_grid(place, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(place[0], root)
    with pytest.raises(InputError, match="undistorted"):
        Eth3d(root, as_published="depthvlm")
    scene = root / "courtyard"
    name = "dslr_images_undistorted/DSC_0001.JPG"
    straight = (60.0, 60.0, 50.0, 38.0)
    folder = scene / "dslr_calibration_undistorted"
    calibration(folder, "PINHOLE", 100, 76, straight, [(name, 0, "")])
    (scene / "images" / name).parent.mkdir()
    cv2.imwrite(str(scene / "images" / name), np.zeros((76, 100, 3), np.uint8))
    data_set = Eth3d(root, as_published="depthvlm")
    sample = data_set.read(data_set.keys()[0])
    assert (sample.camera.width, sample.camera.distortion) == (100, "none")
    assert sample.camera.cx == 49.5
    np.testing.assert_array_equal(sample.depth[3:], place[1]["DSC_0001.JPG"][0][3:])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda scene: (scene / "images/dslr_images/DSC_0001.JPG").unlink(), "no image file"),
        (lambda scene: (depth_of(scene)).unlink(), "no depth file"),
        (lambda scene: depth_of(scene).write_bytes(b"\0" * 4000), "truncated depth"),
        (lambda scene: depth_of(scene).write_bytes(b"\0" * 27650), "truncated depth"),
        (
            lambda scene: (scene / "dslr_calibration_jpg/images.txt").write_text(
                "1 1 0 0 0 0 0 0 5 dslr_images/DSC_0001.JPG\n\n"
            ),
            "no calibration",
        ),
    ],
)
def test_broken_scenes_are_skipped_with_a_reason(place, tmp_path, damage, reason):
    root = tmp_path / "root"
    shutil.copytree(place[0], root)
    damage(root / "courtyard")
    with pytest.raises(Skip) as skipped:
        Eth3d(root).read(("courtyard", "DSC_0001.JPG"))
    assert skipped.value.reason == reason


def depth_of(scene):
    return scene / "ground_truth_depth/dslr_images/DSC_0001.JPG"


def test_unknown_cameras_and_folders_are_refused(place, tmp_path):
    with pytest.raises(InputError, match="dslr_calibration_jpg"):
        Eth3d(tmp_path)
    with pytest.raises(InputError, match="training"):
        Eth3d(place[0], split="test")
    root = tmp_path / "root"
    shutil.copytree(place[0], root)
    cameras = root / "courtyard/dslr_calibration_jpg/cameras.txt"
    whole = cameras.read_text()
    for wrong in ("FOV", "THIN_PRISM_FISHEYE 96"):
        cameras.write_text(whole.replace("THIN_PRISM_FISHEYE", wrong))
        with pytest.raises(InputError):
            Eth3d(root).read(("courtyard", "DSC_0001.JPG"))
