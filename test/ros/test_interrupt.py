# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Ctrl+C while a client hears messages."""

import os
import signal
import threading

import pytest

pytest.importorskip("rclpy")
from sensor_msgs.msg import Image

from depthlm_ros.ros.process import interrupt_after
from depthlm_ros.ros.tools.client import Client


def test_a_message_is_heard_to_its_end_before_the_interrupt(robot):
    received = []

    def hear(message):
        os.kill(os.getpid(), signal.SIGINT)
        received.append(message)
        robot.images.publish(message)  # is not heard any more

    with Client("") as client:
        client.listen(Image, "image", hear)
        robot.wait(lambda: robot.images.get_subscription_count())
        robot.images.publish(robot.new_image())
        with pytest.raises(KeyboardInterrupt):
            client.spin(10.0)
    assert len(received) == 1


def test_the_handler_of_before_is_there_again_and_an_ignored_signal_stays_ignored():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupt_after() as came:
        assert not came()
        signal.raise_signal(signal.SIGINT)
        assert came()
    assert signal.getsignal(signal.SIGINT) is before
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt_after() as came:
            signal.raise_signal(signal.SIGINT)
        assert not came()
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_waits_without_touching_the_handler():
    seen = []

    def wait():
        with interrupt_after() as came:
            seen.append(came())

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert seen == [False]
