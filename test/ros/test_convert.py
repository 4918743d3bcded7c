# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""CameraInfo -> Camera, and arrays -> messages, to the number."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sensor_msgs.msg")
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField
from std_msgs.msg import Header

from depthlm_ros.camera import Camera
from depthlm_ros.errors import CameraError, Code
from depthlm_ros.msgs import fields
from depthlm_ros.ranges import Ranges, Status
from depthlm_ros.ros import convert
from depthlm_ros.scan import Scan

CAMERA = Camera(640, 480, 500.0, 505.0, 320.5, 239.5)


def header(frame_id="eye"):
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = 12, 34
    return made


def info_of(camera=CAMERA, **changes):
    info = convert.camera_info_message(header(), camera)
    for name, value in changes.items():
        setattr(info, name, value)
    return info


def ranges_of(distance, points=None):
    """Ranges of N pixels with every field told apart."""
    distance = np.asarray(distance, np.float64)
    count = len(distance)
    if points is None:
        points = distance[:, None] * (0.25, 0.5, 0.75)
    return Ranges(
        distance_m=distance,
        z_m=points[:, 2],
        lower_m=distance - 0.5,
        upper_m=distance + 1.5,
        stddev_m=distance / 8,
        points=points,
        status=np.where(np.isfinite(distance), Status.OK, Status.OUTSIDE).astype(np.uint8),
        asked=np.stack([np.arange(count), np.arange(count) + 0.5], axis=1),
        uncertain=np.arange(count) % 2 == 1,
    )


def test_k_and_d_make_the_camera_of_a_raw_image():
    lens = Camera(640, 480, 500, 505, 320.5, 239.5, "plumb_bob", (0.1, -0.2, 0.01, 0.02, 0.0))
    assert fields.camera_from(info_of(lens), 640, 480) == lens


@pytest.mark.parametrize(
    "model, coefficients",
    [
        ("rational_polynomial", (0.1, 0.2, 0, 0, 0.3, 0.4, 0.5, 0.6)),
        ("equidistant", (0.1, 0, 0, 0)),
    ],
)
def test_other_lenses_are_carried_over(model, coefficients):
    lens = Camera(640, 480, 500, 505, 320.5, 239.5, model, coefficients)
    assert fields.camera_from(info_of(lens), 640, 480) == lens


def test_no_model_and_no_coefficients_is_a_pinhole():
    info = info_of(distortion_model="", d=[])
    assert fields.camera_from(info, 640, 480) == CAMERA


def test_a_rectified_image_goes_by_p_and_ignores_d():
    info = info_of(d=[0.3, 0.0, 0.0, 0.0, 0.0])
    info.p = [400.0, 0, 300.0, 0, 0, 401.0, 200.0, 0, 0, 0, 1.0, 0]
    camera = fields.camera_from(info, 640, 480, rectified=True)
    assert camera == Camera(640, 480, 400.0, 401.0, 300.0, 200.0)


def test_a_region_of_interest_moves_the_principal_point():
    info = info_of()
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 60, 320, 240
    camera = fields.camera_from(info, 320, 240)
    assert camera == Camera(320, 240, 500.0, 505.0, 220.5, 179.5)


@pytest.mark.parametrize("binning", [0, 1])
def test_binning_of_zero_means_one(binning):
    info = info_of(binning_x=binning, binning_y=binning)
    assert fields.camera_from(info, 640, 480) == CAMERA


def test_binning_divides_the_intrinsics_after_the_region_is_cut():
    info = info_of(binning_x=2, binning_y=4)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 60, 320, 240
    camera = fields.camera_from(info, 160, 60)
    assert camera == Camera(160, 60, 250.0, 126.25, 110.25, 44.875)


@pytest.mark.parametrize(
    "info, words",
    [
        (CameraInfo(width=640, height=480), ["K and D", "fx = 0", "uncalibrated"]),
        (info_of(k=[float("nan")] * 9), ["K and D", "finite"]),
        (info_of(width=1280, height=960), ["640 x 480", "1280 x 960"]),
        (info_of(binning_x=2), ["640 x 480", "binned by 2 x 1"]),
        (info_of(distortion_model="kannala", d=[1.0]), ["'kannala'", "equidistant"]),
        (info_of(d=[0.1, 0.2]), ["plumb_bob", "got 2"]),
    ],
)
def test_intrinsics_that_cannot_be_true_are_refused(info, words):
    with pytest.raises(CameraError) as caught:
        fields.camera_from(info, 640, 480)
    assert all(word in str(caught.value) for word in words)


def test_a_rectified_image_without_p_is_refused():
    with pytest.raises(CameraError, match="camera_info, P: .* fx = 0"):
        fields.camera_from(info_of(p=[0.0] * 12), 640, 480, rectified=True)


def test_a_frame_has_the_stamp_frame_and_pixels_of_its_message():
    image = np.arange(640 * 480 * 3, dtype=np.uint32).astype(np.uint8).reshape(480, 640, 3)
    message = convert.image_message(header("eye"), image)
    frame = fields.frame_from(message, info_of())
    assert (frame.stamp_ns, frame.frame_id) == (12_000_000_034, "eye")
    assert np.array_equal(frame.image, image) and frame.camera == CAMERA


def test_answers_stand_in_the_order_asked_with_nan_where_unknown():
    answers = SimpleNamespace()
    convert.fill_answers(answers, ranges_of([2.0, np.nan, 4.0]), "eye")
    assert answers.frame_id == "eye"
    assert list(answers.status) == [Status.OK, Status.OUTSIDE, Status.OK]
    columns = {name: np.array(values) for name, values in vars(answers).items()}
    expected = {
        "distance": [2, np.nan, 4],
        "lower": [1.5, np.nan, 3.5],
        "upper": [3.5, np.nan, 5.5],
        "stddev": [0.25, np.nan, 0.5],
        "x": [0.5, np.nan, 1],
        "y": [1, np.nan, 2],
        "z": [1.5, np.nan, 3],
        "asked_u": [0, 1, 2],
        "asked_v": [0.5, 1.5, 2.5],
    }
    for name, values in expected.items():
        assert np.array_equal(columns[name], np.array(values, np.float32), equal_nan=True), name


def test_answers_fit_the_real_message():
    messages = pytest.importorskip("depthlm_interfaces.msg", exc_type=ImportError)
    if not hasattr(messages, "PixelDistances"):
        pytest.skip("depthlm_interfaces is not built")
    answers = messages.PixelDistances()
    convert.fill_answers(answers, ranges_of([2.0, np.nan]), "eye")
    assert answers.distance[0] == 2.0 and np.isnan(answers.distance[1])
    assert {s.name: getattr(messages.PixelDistances, s.name) for s in Status} == {
        s.name: int(s) for s in Status
    }
    assert {c.name: getattr(messages.ResultCode, c.name) for c in Code} == {
        c.name: int(c) for c in Code
    }


def test_points_may_stand_in_another_frame_than_the_ranges():
    answers = SimpleNamespace()
    convert.fill_answers(answers, ranges_of([2.0]), "map", np.array([[7.0, 8.0, 9.0]]))
    assert answers.frame_id == "map"
    assert (answers.x[0], answers.y[0], answers.z[0]) == (7.0, 8.0, 9.0)


def scan_of(rows, columns, unknown=()):
    distance = np.arange(1, rows * columns + 1, dtype=np.float64)
    distance[list(unknown)] = np.nan
    colours = np.arange(rows * columns * 3).astype(np.uint8).reshape(rows, columns, 3)
    return Scan(ranges_of(distance), columns, rows, colours)


def test_a_cloud_is_organised_with_x_y_z_rgb_first_then_distance_and_stddev():
    cloud = convert.cloud_message(header("eye"), scan_of(rows=3, columns=5))
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (3, 5, 24, 120)
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        (name, 4 * i, PointField.FLOAT32, 1)
        for i, name in enumerate(["x", "y", "z", "rgb", "distance", "stddev"])
    ]
    assert (cloud.header, cloud.is_bigendian, cloud.is_dense) == (header("eye"), False, True)
    values = np.frombuffer(cloud.data, np.float32).reshape(3, 5, 6)
    assert values[1, 2, [0, 1, 2, 4, 5]].tolist() == [2.0, 4.0, 6.0, 8.0, 1.0]  # the eighth: 8 m
    assert bytes(cloud.data[12:16]) == bytes([2, 1, 0, 0])  # blue, green, red of 0x00RRGGBB


def test_an_unknown_point_is_nan_and_the_cloud_says_that_it_is_not_dense():
    cloud = convert.cloud_message(header(), scan_of(2, 2, unknown=[3]))
    values = np.frombuffer(cloud.data, np.float32).reshape(4, 6)
    assert not cloud.is_dense
    assert np.isnan(values[3, [0, 1, 2, 4, 5]]).all() and np.isfinite(values[:3]).all()


def test_sensor_msgs_py_reads_the_cloud_as_it_was_meant():
    library = pytest.importorskip("sensor_msgs_py.point_cloud2", exc_type=ImportError)
    read = library.read_points(convert.cloud_message(header(), scan_of(2, 3)), ["x", "stddev"])
    assert read["x"].tolist() == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
    assert read["stddev"].tolist() == [0.125, 0.25, 0.375, 0.5, 0.625, 0.75]


@pytest.mark.parametrize("seconds, sec, nanosec", [(0.0, 0, 0), (1.25, 1, 250_000_000)])
def test_durations_keep_their_fraction(seconds, sec, nanosec):
    duration = convert.duration_message(seconds)
    assert (duration.sec, duration.nanosec) == (sec, nanosec)


def test_a_720p_image_and_ten_thousand_points_take_under_ten_milliseconds_each():
    """Setting the fields value by value would take hundreds."""
    image = convert.image_message(header(), np.zeros((720, 1280, 3), np.uint8))
    image.encoding = "bgr8"
    info = info_of(Camera(1280, 720, 900, 900, 640, 360))
    scan = scan_of(100, 100)
    assert fastest(lambda: fields.frame_from(image, info)) < 0.010
    assert fastest(lambda: convert.cloud_message(header(), scan)) < 0.010
    assert isinstance(convert.cloud_message(header(), scan), PointCloud2)


def fastest(action, times=5):
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        spent.append(time.perf_counter() - start)
    return min(spent)
