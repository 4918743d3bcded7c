# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Files of images with distances: what is read is what was written, or writing is refused."""

from dataclasses import replace

import numpy as np
import pytest

from depthlm_ros.errors import InputError
from training.data.shards import Shards, millimetres_of, write_shard
from training.scenes.exhibits import write_demo
from training.synthetic import shot as rendered


def test_far_distances_are_stored_as_they_are(tmp_path, shot):
    """In 16 bits of millimetres 70 m would become 4.464 m."""
    near = shot(0)
    far = np.full_like(near.distance_m, 70.0)
    far[0, :4] = np.nan, 0.0004, 4000.0, 65.536
    write_shard(tmp_path / "a.npz", [near, replace(near, distance_m=far)])
    write_shard(tmp_path / "b.npz", [near])
    one, other, alone = Shards(tmp_path)
    np.testing.assert_allclose(one.distance_m, near.distance_m, atol=6e-4)
    np.testing.assert_array_equal(alone.distance_m, one.distance_m)
    expected = [np.nan, 0.001, 4000, 65.536, 70]
    np.testing.assert_allclose(other.distance_m[0, :5], expected, rtol=1e-6)


@pytest.mark.parametrize("wrong", [-1.0, 0.0, np.inf, 5e6])
def test_what_is_no_distance_is_not_written(tmp_path, shot, wrong):
    one = shot(0)
    one.distance_m[3, 4] = wrong
    with pytest.raises(InputError):
        write_shard(tmp_path / "a.npz", [one])
    assert not list(tmp_path.iterdir())


def test_a_png_of_16_bits_refuses_what_it_cannot_hold(tmp_path, shot):
    one = shot(0)
    with pytest.raises(InputError):
        write_demo(replace(one, distance_m=one.distance_m + 65.0), tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_rendered_scene_can_be_written():
    """Indoors, and outdoors where the sky has no distance."""
    shots = [rendered(seed) for seed in (0, 3, 15)]
    assert any(np.isnan(one.distance_m).any() for one in shots)
    for one in shots:
        stored = millimetres_of(one.distance_m, one.kind)
        assert ((stored == 0) == np.isnan(one.distance_m)).all()
