# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Waymo v2: a segment in its parquet layout, written here, against computed distances."""

import shutil
from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from testing.planes import brown, far_from_home, moved, placed, reach, turn

from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from training.curate.__main__ import main
from training.curate.formats import waymo_rows
from training.curate.sample import Skip
from training.curate.sets.waymo import Waymo

SEGMENT = "10023947602400723454_1120_000_1140_000"
START = 1552440195362591
SIZE = (96, 64)
F_U, F_V, C_U, C_V = 102.5, 101.9, 46.7, 33.1
LENS = {"k1": 0.045, "k2": -0.34, "p1": 0.0016, "p2": -0.0011, "k3": 0.02}
SHUTTER, READOUT, LATE = 0.008, 0.044, 0.07  # seconds; from the frame's stamp to the trigger
CAMERAS = {  # number: (mount in the car, x forward; direction of the readout)
    1: (placed(turn(0.05, 0.02, 0.06), (1.5, -0.1, 1.9)), 4),
    2: (placed(turn(0.8, 0.01, -0.08), (1.4, 0.2, 1.9)), 3),
    3: (placed(turn(-0.7, 0.03, 0.02), (1.4, -0.2, 1.9)), 5),  # a global shutter
}
BEAMS = np.sort(0.25 * np.cos(np.linspace(0, np.pi, 20)) ** 3 - 0.2)  # not evenly spread
TOP = placed(turn(2.6, 0.01, -0.02), (1.43, 0, 2.2))
FRONT = placed(turn(0.1, 0.0, 0.0), (4.0, 0, 0.7))
EVEN = (-0.5, 0.3, 12)  # lowest, highest, rows of the front lidar
COLUMNS = 150
SPIN, SPEED = 0.6, (11.0, 3.0, -0.4)


def car(seconds):
    """The car in the world: constant speed, constant spin about its own upright axis."""
    turned = turn(0.3, 0.02, -0.03) @ turn(SPIN * seconds)
    return placed(turned, np.array([-6, -0.5, 0.2]) + np.array(SPEED) * seconds)


def range_image(mount, beams, poses):
    """(rows, columns, 4) and the world's points; the first row is the highest beam."""
    image = np.full((len(beams), COLUMNS, 4), -1, np.float32)
    world = np.full((len(beams), COLUMNS, 3), np.nan)
    heading = np.arctan2(mount[1, 0], mount[0, 0])
    for column in range(COLUMNS):
        around = np.pi - 2 * np.pi * (column + 0.5) / COLUMNS - heading
        sensor = poses[column] @ mount
        up = beams[::-1]
        flat = [np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)]
        rays = np.stack(flat, axis=1) @ sensor[:3, :3].T
        metres = reach(sensor[:3, 3], rays).astype(np.float32)
        image[:, column, 0] = metres
        world[:, column] = sensor[:3, 3] + metres[:, None] * rays
    lost = np.random.default_rng(len(beams)).random(image.shape[:2]) < 0.2
    image[lost, 0] = np.where(np.arange(lost.sum()) % 2, -1, 0)
    return image, world[~lost], ~lost


def angles(pose):
    """Roll, pitch, yaw, x, y, z."""
    r = pose[:3, :3]
    turned = np.arctan2(r[2, 1], r[2, 2]), -np.arcsin(r[2, 0]), np.arctan2(r[1, 0], r[0, 0])
    return [*turned, *pose[:3, 3]]


def write(root, component, prefix, keys, columns):
    folder = root / "training" / component
    folder.mkdir(parents=True, exist_ok=True)
    count = len(next(iter(keys.values())))
    table = {"key.segment_context_name": [SEGMENT] * count}
    table |= {f"key.{name}": values for name, values in keys.items()}
    table |= {f"[{prefix}].{name}": values for name, values in columns.items()}
    # Several row groups in one component, one in the others.
    size = 2 if component == "lidar" else 1000
    parquet.write_table(pa.table(table), folder / f"{SEGMENT}.parquet", row_group_size=size)


def transforms(poses, kind):
    return pa.array([one.ravel().tolist() for one in poses], pa.list_(kind, 16))


def images(arrays):
    """The columns of a list of range images."""
    values = pa.array([one.ravel() for one in arrays], pa.list_(pa.float32()))
    shapes = pa.array([list(one.shape) for one in arrays], pa.list_(pa.int32(), 3))
    name = "range_image_return1"
    return {
        f"{name}.values": values,
        f"{name}.shape": shapes,
        "range_image_return2.values": values,
    }


def bend(points):
    """Pixels of a camera that looks along x, (0, 0) being a corner."""
    xy = np.stack([-points[:, 1] / points[:, 0], -points[:, 2] / points[:, 0]], axis=1)
    return brown(xy, **LENS) * (F_U, F_V) + (C_U, C_V)


def pixels_of(number, seconds, world):
    """Where a point is seen at one time, and in the camera's frame."""
    points = moved(np.linalg.inv(car(seconds) @ CAMERAS[number][0]), world)
    return bend(points), points


def shown(points, at):
    """Far outside, the lens's polynomial turns back into the image."""
    radius = np.hypot(points[:, 1], points[:, 2])
    inside = (at > 0).all(axis=1) & (at < SIZE).all(axis=1)
    return (points[:, 0] > 0.3) & (radius < 0.75 * points[:, 0]) & inside


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """root, and by frame the world's points of both lidars, those of the top one alone, and where
    they stand in its range image with their pixels in camera 1."""
    root = tmp_path_factory.mktemp("waymo")
    stamps = [START, START + 100_000]
    truth, lidar, projections, top_poses = [], [], [], []
    for frame in range(2):
        columns = [car(0.1 * frame + 0.1 * i / COLUMNS) for i in range(COLUMNS)]
        top, top_world, there = range_image(TOP, BEAMS, columns)
        low, high, rows = EVEN
        beams = low + (np.arange(rows) + 0.5) * (high - low) / rows
        front, front_world, _ = range_image(FRONT, beams, [car(0.1 * frame)] * COLUMNS)
        at, points = pixels_of(1, 0.1 * frame + LATE, top_world)
        seen = shown(points, at)
        shared = np.flatnonzero(seen)
        at[shared[2::4]], at[shared[3::4]] = at[shared[1::4]][: len(shared[2::4])], at[shared[0]]
        projection = np.zeros((*there.shape, 6), np.float32)
        second = np.arange(len(seen)) % 2 == 0
        for shift, chosen in ((0, seen & ~second), (3, seen & second)):
            put = np.zeros((len(seen), 6), np.float32)
            put[chosen, shift], put[chosen, shift + 1 : shift + 3] = 1, np.floor(at[chosen])
            projection[there] += put
        truth.append((np.concatenate([top_world, front_world]), top_world[seen], at[seen]))
        lidar += [top, front]
        projections += [projection, np.zeros((*front.shape[:2], 6), np.float32)]
        top_poses.append(np.array([[angles(far_from_home(one)) for one in columns]] * len(BEAMS)))
    lasers = {
        "frame_timestamp_micros": np.repeat(stamps, 2),
        "laser_name": pa.array([1, 2] * 2, pa.int8()),
    }
    write(root, "lidar", "LiDARComponent", lasers, images(lidar))
    write(
        root,
        "lidar_camera_projection",
        "LiDARCameraProjectionComponent",
        lasers,
        images(projections),
    )
    tops = {"frame_timestamp_micros": stamps, "laser_name": pa.array([1, 1], pa.int8())}
    write(root, "lidar_pose", "LiDARPoseComponent", tops, images(np.float32(top_poses)))
    write(
        root,
        "lidar_calibration",
        "LiDARCalibrationComponent",
        {"laser_name": pa.array([1, 2], pa.int8())},
        {
            "extrinsic.transform": transforms([TOP, FRONT], pa.float64()),
            "beam_inclination.min": [BEAMS[0], EVEN[0]],
            "beam_inclination.max": [BEAMS[-1], EVEN[1]],
            "beam_inclination.values": pa.array([BEAMS.tolist(), None], pa.list_(pa.float64())),
        },
    )
    vehicle = [far_from_home(car(0.1 * frame)) for frame in range(2)]
    write(
        root,
        "vehicle_pose",
        "VehiclePoseComponent",
        {"frame_timestamp_micros": stamps},
        {"world_from_vehicle.transform": transforms(vehicle, pa.float32())},
    )
    write_cameras(root, stamps)
    return root, truth


def write_cameras(root, stamps):
    numbers = pa.array(list(CAMERAS), pa.int8())
    intrinsics = {"f_u": F_U, "f_v": F_V, "c_u": C_U, "c_v": C_V, **LENS}
    count = len(CAMERAS)
    write(
        root,
        "camera_calibration",
        "CameraCalibrationComponent",
        {"camera_name": numbers},
        {
            **{f"intrinsic.{name}": [value] * count for name, value in intrinsics.items()},
            "extrinsic.transform": transforms([c[0] for c in CAMERAS.values()], pa.float64()),
            "width": [SIZE[0]] * count,
            "height": [SIZE[1]] * count,
            "rolling_shutter_direction": pa.array([c[1] for c in CAMERAS.values()], pa.int8()),
        },
    )
    jpeg = BytesIO()
    Image.new("RGB", SIZE, (200, 100, 50)).save(jpeg, "JPEG")
    keys, columns = {"frame_timestamp_micros": [], "camera_name": []}, {}
    for frame, stamp in enumerate(stamps):
        for number in reversed(CAMERAS):
            keys["frame_timestamp_micros"].append(stamp)
            keys["camera_name"].append(number)
            begin = 0.1 * frame + LATE
            row = {
                "image": jpeg.getvalue(),
                "pose.transform": far_from_home(car(pose_time(frame))).ravel().tolist(),
                **{f"velocity.linear_velocity.{a}": v for a, v in zip("xyz", SPEED, strict=True)},
                **{f"velocity.angular_velocity.{a}": SPIN * (a == "z") for a in "xyz"},
                "pose_timestamp": START / 1e6 + pose_time(frame),
                "rolling_shutter_params.shutter": SHUTTER,
                "rolling_shutter_params.camera_trigger_time": START / 1e6 + begin,
                "rolling_shutter_params.camera_readout_done_time": START / 1e6
                + begin
                + SHUTTER
                + READOUT,
            }
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    keys["camera_name"] = pa.array(keys["camera_name"], pa.int8())
    write(root, "camera_image", "CameraImageComponent", keys, columns)


def pose_time(frame):
    return 0.1 * frame + LATE + 0.021


def exposed(number, frame, pixels):
    """Seconds at which pixels (from a corner) are exposed."""
    u, v = pixels.T / np.array(SIZE)[:, None]
    along = {4: 1 - u, 3: 1 - v}[CAMERAS[number][1]]
    return 0.1 * frame + LATE + SHUTTER / 2 + READOUT * along


FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # from x right, y down, z forward


def back_in_the_world(number, points, times):
    poses = [car(then) @ CAMERAS[number][0] for then in times]
    return np.array([moved(pose, one)[0] for pose, one in zip(poses, points, strict=True)])


def gaps(ones, others):
    """(N,) metres from each of (N, 3) points to the nearest of others."""
    return np.linalg.norm(ones[:, None] - others, axis=2).min(axis=1)


@pytest.mark.parametrize("frame", [1, 0])
@pytest.mark.parametrize("number", [1, 2])
def test_each_point_is_seen_from_where_the_camera_was_when_it_exposed_it(place, frame, number):
    root, truth = place
    sample = Waymo(root).read((SEGMENT, START + 100_000 * frame, number))
    world = truth[frame][0]
    points = sample.points @ FORWARD.T
    at = bend(points)
    inside = shown(points, at)
    assert inside.sum() > 60 and sample.kind == "z"
    pixels = sample.camera.pixels(sample.points)[inside]
    np.testing.assert_allclose(pixels, at[inside] - 0.5, atol=1e-3)
    back = back_in_the_world(number, points[inside], exposed(number, frame, at)[inside])
    assert gaps(back, world).max() < 1e-3
    assert sample.time_gap_s == pytest.approx(LATE + 0.021, abs=1e-6)
    assert (
        sample.image.shape == (SIZE[1], SIZE[0], 3) and abs(int(sample.image[5, 5, 0]) - 200) < 4
    )
    # One pose for the whole image would be off by more than the allowed half a pixel.
    still = pixels_of(number, pose_time(frame), back)[0]
    assert np.abs(still - at[inside]).max() > 1
    # None is lost that one pose would show ten pixels from the border.
    still, points = pixels_of(number, pose_time(frame), world)
    middle = shown(points, still) & (
        np.abs(still - np.array(SIZE) / 2) < np.array(SIZE) / 2 - 10
    ).all(1)
    assert middle.sum() > 30 and gaps(world[middle], back).max() < 1e-3


def test_labels_on_disk_are_those_of_the_first_surface(place, tmp_path):
    """Through the command line, of the cameras with one pose for the image."""
    out = tmp_path / "out"
    main(["waymo", "--root", str(place[0]), "--out", str(out), "--workers=1"])
    records = list(Records(out / "00000.jsonl"))[2::3]
    assert len(records) == 2
    for frame, record in enumerate(records):
        eye = car(pose_time(frame)) @ CAMERAS[3][0]
        rays = record.camera.rays(record.pixels)
        z_m = reach(eye[:3, 3], rays @ (eye[:3, :3] @ FORWARD).T) * rays[:, 2]
        off = np.abs(np.array(record.label_m) - z_m)
        assert len(off) > 40 and record.kind == "z"
        assert np.quantile(off, 0.9) < 1e-2  # pixels are written to 0.01


def test_global_shutter_has_one_pose(place):
    root, truth = place
    sample = Waymo(root).read((SEGMENT, START, 3))
    at, expected = pixels_of(3, pose_time(0), truth[0][0])
    found = sample.points @ FORWARD.T
    assert gaps(expected[shown(expected, at)], found).max() < 1e-3
    assert gaps(found, expected).max() < 1e-3


def test_keys_are_sorted(place):
    keys = Waymo(place[0]).keys()
    stamps = [START, START + 100_000]
    assert keys == [(SEGMENT, stamp, number) for stamp in stamps for number in (1, 2, 3)]


def published(place, frame):
    """By pixel of the distorted image the least distance from the camera at the frame's pose."""
    _, world, at = place[1][frame]
    points = moved(np.linalg.inv(car(0.1 * frame) @ CAMERAS[1][0]), world)
    found = np.full(SIZE[::-1], np.inf)
    for (column, row), metres in zip(
        np.floor(at).astype(int), np.linalg.norm(points, axis=1), strict=True
    ):
        found[row, column] = min(found[row, column], metres)
    return found, points


def maps():
    """Where the pixels of the straight image lie in the distorted one, as OpenCV counts."""
    v, u = np.mgrid[: SIZE[1], : SIZE[0]]
    straight = np.stack([(u - SIZE[0] / 2) / F_U, (v - SIZE[1] / 2) / F_V], axis=-1)
    bent = brown(straight.reshape(-1, 2), **LENS) * (F_U, F_V) + (C_U, C_V)
    return bent.reshape(SIZE[1], SIZE[0], 2)


def test_published_depthvlm(place):
    sample = Waymo(place[0], "training", "depthvlm").read((SEGMENT, START + 100_000, 1))
    nearest, points = published(place, 1)
    column, row = np.moveaxis(np.round(maps()).astype(int), 2, 0)
    inside = (column >= 0) & (row >= 0) & (column < SIZE[0]) & (row < SIZE[1])
    expected = np.full(SIZE[::-1], np.inf)
    expected[inside] = nearest[row[inside], column[inside]]
    expected[np.isinf(expected)] = np.nan
    assert np.isfinite(expected).sum() > 30 and sample.kind == "distance"
    same = np.isclose(sample.depth, expected, atol=2e-3, equal_nan=True)
    assert same.mean() > 0.99
    assert (sample.camera.cx, sample.camera.distortion) == (SIZE[0] / 2, "none")
    assert np.median(np.linalg.norm(points, axis=1) / points[:, 0]) > 1.02  # a z would differ


def test_published_depthlm_goes_through_the_map_backwards(place):
    sample = Waymo(place[0], "training", "depthlm").read((SEGMENT, START, 1))
    nearest, _ = published(place, 0)
    rows, columns = np.nonzero(np.isfinite(nearest))
    sent = maps()[rows, columns].astype(int)
    inside = ((sent >= 0) & (sent < SIZE)).all(axis=1)
    found = np.isfinite(sample.depth)
    assert {(v, u) for u, v in sent[inside].tolist()} == set(
        zip(*map(np.ndarray.tolist, np.nonzero(found)))
    )
    known = np.sort(nearest[rows, columns])
    near = np.abs(known - sample.depth[found][:, None]).min(axis=1)
    assert near.max() < 2e-3


def rewrite(component, change):
    def damage(root):
        path = root / "training" / component / f"{SEGMENT}.parquet"
        parquet.write_table(change(parquet.read_table(path)), path)

    return damage


def gone(component):
    def damage(root):
        (root / "training" / component / f"{SEGMENT}.parquet").unlink()

    return damage


def cut(root):
    path = root / "training" / "lidar" / f"{SEGMENT}.parquet"
    path.write_bytes(path.read_bytes()[:400])


def replaced(ending, value):
    """A change that sets a column to one value in all rows."""

    def change(table):
        number = next(i for i, name in enumerate(table.column_names) if name.endswith(ending))
        column = pa.array([value] * table.num_rows, table.schema.field(number).type)
        return table.set_column(number, table.column_names[number], column)

    return rewrite_with(change)


def rewrite_with(change):
    return lambda table: change(table)


def without_returns(table):
    values = [
        np.full(len(one), -1, np.float32)
        for one in table["[LiDARComponent].range_image_return1.values"].to_pylist()
    ]
    name = "[LiDARComponent].range_image_return1.values"
    column = pa.array(values, pa.list_(pa.float32()))
    return table.set_column(table.column_names.index(name), name, column)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (gone("camera_calibration"), "no camera_calibration"),
        (gone("lidar_pose"), "no lidar_pose"),
        (cut, "broken lidar"),
        (rewrite("lidar_calibration", lambda table: table.slice(1, 1)), "no lidar_calibration"),
        (rewrite("camera_image", replaced(".image", b"\xff\xd8\xff")), "truncated image"),
        (rewrite("camera_image", replaced(".image", None)), "truncated image"),
        (rewrite("camera_image", replaced("pose.transform", [float("nan")] * 16)), "broken pose"),
        (rewrite("lidar", replaced("return1.shape", [9, 9, 4])), "broken range image"),
        (rewrite("lidar", without_returns), "no points"),
        (
            rewrite("lidar_calibration", replaced("inclination.values", [0.1, 0.2])),
            "broken range image",
        ),
    ],
)
def test_broken_segments_are_skipped_with_a_reason(place, tmp_path, damage, reason):
    root = tmp_path / "root"
    shutil.copytree(place[0], root)
    data_set = Waymo(root)
    damage(root)
    with pytest.raises(Skip) as skipped:
        data_set.read((SEGMENT, START, 1))
    assert skipped.value.reason == reason


def test_a_segment_that_is_cut_off_is_skipped_and_the_others_are_read(place, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(place[0], root)
    images = root / "training" / "camera_image"
    whole = images / f"{SEGMENT}.parquet"
    (images / "0.parquet").write_bytes(whole.read_bytes()[:400])
    keys = Waymo(root).keys()
    assert len(keys) == 1 + len(Waymo(place[0]).keys()) and keys[0][0] == "0"
    with pytest.raises(Skip) as skipped:
        Waymo(root).read(keys[0])
    assert skipped.value.reason == "broken camera_image"


def test_order_of_the_rows_does_not_matter(place, tmp_path, monkeypatch):
    monkeypatch.setattr(waymo_rows, "RECENT", 1)  # so that reading back begins again
    root = tmp_path / "root"
    shutil.copytree(place[0], root)
    rewrite("lidar", lambda table: table.sort_by([("key.laser_name", "descending")]))(root)
    rewrite("camera_image", lambda table: table.sort_by("key.camera_name"))(root)
    there, here = Waymo(place[0]), Waymo(root)
    for key in [*there.keys(), there.keys()[0]]:
        gap = gaps(here.read(key).points, there.read(key).points)
        assert len(gap) > 60 and gap.max() == 0


def test_other_versions_are_refused(place, tmp_path):
    root = tmp_path / "root"
    (root / "training").mkdir(parents=True)
    (root / "training" / "segment-1.tfrecord").write_bytes(b"")
    with pytest.raises(InputError, match="camera_image"):
        Waymo(root)
    shutil.rmtree(root)
    shutil.copytree(place[0], root)
    name = "[CameraCalibrationComponent].intrinsic.k3"
    rewrite("camera_calibration", lambda table: table.drop([name]))(root)
    with pytest.raises(InputError, match=r"camera_calibration.*k3"):
        Waymo(root).read((SEGMENT, START, 1))
    shutil.rmtree(root / "training" / "lidar_camera_projection")
    Waymo(root)
    with pytest.raises(InputError, match="lidar_camera_projection"):
        Waymo(root, "training", "depthvlm")
