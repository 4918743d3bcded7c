# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The trainer's own preprocessing equals the stock processor's to the bit."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from depthlm_ros.errors import EngineError
from depthlm_ros.models.vision import Preparer, looked_up
from training.tools import bench_data


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "llava"])
def test_images_of_many_sizes_equal_the_stock_ones(parts_of, name):
    vision, rng = parts_of(name).vision, np.random.default_rng(0)
    preparer = Preparer(vision)
    for height, width in ((56, 84), (64, 96), (75, 131), (100, 130), (133, 91)):
        for _ in range(3):
            image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            own, stock = preparer.prepare(image), vision.prepare([image])
            assert own.size == stock.size and own.grid == stock.grid
            assert own.tensors.keys() == stock.tensors.keys()
            assert all(torch.equal(own.tensors[k], stock.tensors[k]) for k in stock.tensors)


@pytest.mark.parametrize("name", ["qwen2_5_vl", "llava"])
def test_bytes_that_are_looked_up_on_a_device_give_the_same_values(parts_of, name):
    vision, cpu = parts_of(name).vision, torch.device("cpu")
    image = np.random.default_rng(0).integers(0, 256, (112, 84, 3), dtype=np.uint8)
    tiles = vision._bytes(image).reshape(-1, 3, 1, 12)
    found = looked_up(vision.levels, torch.from_numpy(tiles), cpu)
    assert torch.equal(found, vision._looked_up(tiles, cpu))
    assert len(found.unique()) > 256


def test_a_processor_that_does_something_else_is_refused(parts_of, monkeypatch):
    vision = parts_of("qwen3_vl").vision
    prepare = type(vision).prepare

    def brighter(self, images):
        return prepare(self, [np.minimum(image, 250) + 5 for image in images])

    monkeypatch.setattr(type(vision), "prepare", brighter)
    with pytest.raises(EngineError, match=r"preprocessor_config\.json"):
        Preparer(vision).prepare(np.zeros((64, 64, 3), np.uint8))


def test_the_benchmark_compares_equal_patches(tmp_path):
    found = bench_data.ways(bench_data.write_image(tmp_path / "scene.jpg"))
    assert bench_data.equal(found, samples=2)
    assert found["ours"].sample(0).shape == (34 * 46, 3 * 2 * 14 * 14)


@pytest.mark.parametrize("option", ["--workers 0", "--count 0", "--count -1"])
def test_what_cannot_be_counted_is_refused(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        bench_data.main(option.split())
    assert option.split()[0] in capsys.readouterr().err
