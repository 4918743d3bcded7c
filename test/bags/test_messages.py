# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What depthlm bag writes: points, depth images and overlays, with which stamps and names."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("rosbags")
from rosbags.rosbag2 import StoragePlugin

from depthlm_ros.bags.messages import STORE

NS = 10**9


@pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda s: s.name)
@pytest.mark.parametrize("bare", [False, True], ids=["folder", "file"])
def test_clouds_carry_the_stamps_of_their_images_and_the_times_of_recording(
    record, bag, storage, bare
):
    folder = record(storage=storage)
    suffix = {StoragePlugin.MCAP: "mcap", StoragePlugin.SQLITE3: "db3"}[storage]
    code, content, _ = bag(folder / f"in.{suffix}" if bare else folder)
    assert code == 0
    names = ("points", "overlay", "depth/image", "depth/stddev", "depth/camera_info")
    assert set(content) == {f"/depthlm/{name}" for name in names}
    for messages in content.values():
        assert [time_ns for time_ns, _ in messages] == [i * NS + NS // 5 + 7 for i in (1, 2, 3, 4)]
        assert [m.header.stamp.sec for _, m in messages] == [1, 2, 3, 4]
        assert {m.header.frame_id for _, m in messages} == {"eye"}


def test_points_and_depth_image_hold_what_was_answered(record, bag, camera):
    _, content, _ = bag(record())
    cloud, depth, info = (
        content[f"/depthlm/{name}"][2][1]
        for name in ("points", "depth/image", "depth/camera_info")
    )
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        (name, 4 * i, 7) for i, name in enumerate(["x", "y", "z", "rgb", "distance", "stddev"])
    ]
    assert (cloud.width, cloud.height, cloud.point_step, cloud.is_dense) == (4, 2, 24, True)
    values = cloud.data.view(np.float32).reshape(2, 4, 6)
    assert values[..., 4] == pytest.approx(2.0)
    assert np.linalg.norm(values[..., :3], axis=2) == pytest.approx(2.0)
    pixels = camera.pixels(values[..., :3]).reshape(2, 4, 2)
    assert pixels[1, 2] == pytest.approx([40, 36])  # rounded middle of the third cell, second row
    assert bytes(cloud.data[12:16]) == bytes([80, 80, 80, 0])
    assert (depth.encoding, depth.width, depth.height, depth.step) == ("32FC1", 4, 2, 16)
    assert np.array_equal(depth.data.view(np.float32), values[..., 2].ravel())
    assert (info.width, info.height) == (4, 2)


@pytest.mark.parametrize("step", [2, 4, 16])
def test_a_depth_image_and_its_camera_info_are_the_points(record, shots, bag, step):
    """Of cells of whole pixels, by the pinhole's rule: x = (u - cx) / fx z, y likewise."""
    _, content, _ = bag(record(shots(1)), grid=f"{64 // step}x{48 // step}")
    cloud, depth, info = (
        content[f"/depthlm/{name}"][0][1]
        for name in ("points", "depth/image", "depth/camera_info")
    )
    z = depth.data.view(np.float32).reshape(depth.height, depth.width)
    fx, _, cx, _, fy, cy = info.k[:6]
    x = (np.arange(depth.width) - cx) / fx * z
    y = (np.arange(depth.height)[:, None] - cy) / fy * z
    points = cloud.data.view(np.float32).reshape(depth.height, depth.width, -1)
    assert np.ptp(z) > 0.1
    np.testing.assert_allclose(points[..., :3], np.stack([x, y, z], 2), atol=1e-6)


def test_compressed_images_give_a_compressed_overlay(record, shots, bag):
    def compressed():
        for time_ns, topic, message in shots():
            if topic == "/cam/image_raw":
                file = BytesIO()
                Image.fromarray(message.data.reshape(48, 64, 3)).save(file, "png")
                data = np.frombuffer(file.getvalue(), np.uint8)
                kind = STORE.types["sensor_msgs/msg/CompressedImage"]
                message = kind(header=message.header, format="png", data=data)
                topic += "/compressed"
            yield time_ns, topic, message

    _, content, _ = bag(record(compressed()))
    overlays = content["/depthlm/overlay/compressed"]
    assert [message.format for _, message in overlays] == ["jpeg"] * 4
    assert Image.open(BytesIO(overlays[0][1].data)).size == (64, 48)
    assert "/depthlm/overlay" not in content and len(content["/depthlm/points"]) == 4


def test_each_second_image_into_a_folder_under_another_name(tmp_path, record, shots, bag):
    folder = record(shots(5))
    _, content, _ = bag(folder, "--every", "2", "--node", "rear/depthlm/", out="out")
    assert [m.header.stamp.sec for _, m in content["/rear/depthlm/points"]] == [1, 3, 5]
    assert (tmp_path / "out" / "metadata.yaml").is_file()
