# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Which camera_info holds for an image, for messages in every order."""

from math import inf
from types import SimpleNamespace

import pytest

from depthlm_ros.msgs.pairing import IMAGES, PATIENCE, WINDOW_S, Pairing


def header(stamp):
    return SimpleNamespace(stamp=SimpleNamespace(sec=stamp, nanosec=5))


def image(stamp, width=640, height=480):
    return SimpleNamespace(header=header(stamp), width=width, height=height)


def info(stamp, focal=500.0, width=640, height=480):
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    k = [focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0]
    return SimpleNamespace(
        header=header(stamp),
        width=width,
        height=height,
        k=k,
        d=[],
        p=[0.0] * 12,
        roi=roi,
        binning_x=0,
        binning_y=0,
        distortion_model="",
    )


def paired(pairing, now):
    """(stamp of the image, focal length) of what is settled."""
    return [(p.image.header.stamp.sec, p.info.k[0]) for p in pairing.settled(now)]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("live", [False, True])
def test_the_camera_info_of_the_own_stamp_holds_whichever_comes_first(exact, live):
    pairing = Pairing(exact, live)
    pairing.put_info(info(1, 100.0))
    pairing.put_info(info(2, 200.0))
    pairing.put_image(image(1), 0.0)
    assert paired(pairing, 0.0) == [(1, 100.0)]
    pairing.put_image(image(3), 0.1)
    assert paired(pairing, 0.15) == []
    pairing.put_info(info(3, 300.0))
    assert paired(pairing, 0.2) == [(3, 300.0)]


def test_an_image_without_its_own_gets_the_newest_after_the_window_and_never_if_exact():
    for exact, expected in ((False, [(7, 100.0)]), (True, [])):
        pairing = Pairing(exact)
        pairing.put_info(info(1, 100.0))
        pairing.put_image(image(7), 10.0)
        assert paired(pairing, 10.0 + 0.9 * WINDOW_S) == []
        assert paired(pairing, 10.0 + 1.1 * WINDOW_S) == expected


def test_a_camera_that_stamps_differently_is_not_waited_for_again():
    pairing = Pairing()
    pairing.put_info(info(0))
    for n in range(1, PATIENCE + 1):
        pairing.put_image(image(n), 10.0 * n)
        assert paired(pairing, 10.0 * n) == []
        assert paired(pairing, 10.0 * n + 1) == [(n, 500.0)]
    pairing.put_image(image(50), 100.0)
    assert paired(pairing, 100.0) == [(50, 500.0)]
    pairing.put_info(info(50, 300.0))  # now it does: that holds, and the next image waits again
    assert paired(pairing, 100.0) == [(50, 300.0)]
    pairing.put_image(image(51), 100.1)
    assert paired(pairing, 100.1) == []


def test_a_newer_image_with_its_own_is_not_kept_waiting_by_one_whose_own_got_lost():
    pairing = Pairing()
    pairing.put_info(info(1, 100.0))
    pairing.put_image(image(2), 0.0)
    pairing.put_image(image(3), 0.01)
    assert paired(pairing, 0.01) == []
    pairing.put_info(info(3, 300.0))
    assert paired(pairing, 0.02) == [(2, 100.0), (3, 300.0)]


def test_in_a_recording_it_may_come_after_that_of_the_next_image():
    pairing = Pairing(live=False)
    pairing.put_info(info(1, 100.0))
    pairing.put_image(image(2), 0.0)
    pairing.put_image(image(3), 0.03)
    pairing.put_info(info(3, 300.0))
    assert paired(pairing, 0.04) == []
    pairing.put_info(info(2, 200.0))
    assert paired(pairing, 0.05) == [(2, 200.0), (3, 300.0)]


def test_in_a_recording_no_image_is_left_out_nor_given_twice():
    pairing = Pairing(live=False, info=info(0, 50.0))
    for n in range(100):
        pairing.put_image(image(n + 1), 0.01 * n)
    assert [n for n, _ in paired(pairing, 0.495)] == [*range(1, 31)]
    pairing.put_info(info(3, 70.0))
    assert paired(pairing, inf) == [(n, 50.0) for n in range(31, 101)]


def test_a_lens_that_changes_holds_for_the_newest_image_unless_that_has_its_own():
    pairing = Pairing()
    pairing.put_info(info(0, 100.0))
    pairing.put_image(image(5), 0.0)
    assert paired(pairing, 1.0) == [(5, 100.0)]
    pairing.put_info(info(0, 100.0))
    assert paired(pairing, 1.0) == []  # it says the same
    pairing.put_info(info(0, 200.0))
    assert paired(pairing, 1.0) == [(5, 200.0)]
    pairing.put_info(info(5, 300.0))
    assert paired(pairing, 1.0) == [(5, 300.0)]
    pairing.put_info(info(6, 400.0))
    assert paired(pairing, 1.0) == []


@pytest.mark.parametrize("live", [False, True])
def test_where_no_stamp_agrees_a_size_that_changed_with_the_image_decides(live):
    pairing = Pairing(live=live)
    pairing.put_info(info(0, 500.0))
    pairing.put_image(image(9, 320, 240), 0.0)
    pairing.put_info(info(1, 250.0, 320, 240))
    assert paired(pairing, 1.0) == [(9, 250.0)]


def test_no_more_images_wait_than_a_camera_may_keep():
    pairing = Pairing()
    for n in range(20):
        pairing.put_image(image(n), 0.0)
        assert paired(pairing, 0.0) == []
    pairing.put_info(info(99))
    assert len(paired(pairing, 1.0)) == IMAGES
