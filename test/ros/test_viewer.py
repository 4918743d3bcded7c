# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How long answers take while somebody watches the overlay with a stock Fast DDS."""

import time
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("rclpy")
from depthlm_ros.ros.dds import private_graph
from depthlm_ros.ros.tools.child import Child

CALLS, STALL_S = 100, 0.5

# Watches the overlay and asks, in one process without a profile; prints the seconds of each call.
VIEWER = """
import time
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image
from depthlm_interfaces.srv import QueryDistance

rclpy.init()
node, seen = Node("viewer"), []
node.create_subscription(Image, "/depthlm/overlay", lambda image: seen.append(1), 1)
client = node.create_client(QueryDistance, "/depthlm/query_distance")
client.wait_for_service(60.0)

def asked():
    begin = time.monotonic()
    future = client.call_async(QueryDistance.Request(u=[320.0], v=[240.0]))
    rclpy.spin_until_future_complete(node, future, timeout_sec=30.0)
    return future.result(), time.monotonic() - begin

end = time.monotonic() + 60
while time.monotonic() < end:
    response, _ = asked()
    if response and response.success and seen:
        break
    rclpy.spin_once(node, timeout_sec=0.1)
for _ in range(CALLS):
    response, seconds = asked()
    print("spent", seconds if response and response.success else 99.0, flush=True)
print("seen", len(seen), flush=True)
""".replace("CALLS", str(CALLS))


@pytest.mark.slow
def test_no_answer_stalls_while_a_viewer_of_a_stock_dds_watches_the_overlay(
    graph, tmp_path, monkeypatch
):
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)  # node and camera set it for themselves
    (tmp_path / "viewer_of_a_test.py").write_text(VIEWER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    given = "-p", "rate:=30.0", "-r", "image_raw:=image"
    with (
        private_graph() as alone,
        Child(
            "depthlm_ros.ros.tools.demo_camera",
            ["--ros-args", *given],
            environment={"ROS_DOMAIN_ID": alone["ROS_DOMAIN_ID"]},
            log=tmp_path / "camera.log",
        ),
        Child(
            "depthlm_ros.ros.tools.bench_node",
            ["--ros-args", "-p", "grid.rate:=0"],
            environment={"ROS_DOMAIN_ID": alone["ROS_DOMAIN_ID"]},
            log=tmp_path / "node.log",
        ),
        Child(
            "viewer_of_a_test",
            environment={"ROS_DOMAIN_ID": alone["ROS_DOMAIN_ID"]},
            log=tmp_path / "viewer.log",
        ) as viewer,
    ):
        end = time.monotonic() + 240
        while viewer.status is None and time.monotonic() < end:
            time.sleep(0.1)
        lines = viewer.output().split()
    spent = np.array([float(s) for w, s in pairwise(lines) if w == "spent"])
    assert len(spent) == CALLS and int(lines[lines.index("seen") + 1]) > CALLS / 2
    # On a busy machine every answer takes longer; a stall is one that stands out.
    assert spent.max() < max(STALL_S, 5 * np.percentile(spent, 90)), np.sort(spent)[-5:]
