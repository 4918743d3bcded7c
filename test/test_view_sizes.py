# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Images of common cameras go through every published entry at their full size: what is too large
is cut, what is too small is padded, and nothing is ever resized to another focal length."""

import json
from dataclasses import replace
from functools import cache
from itertools import product
from math import radians, tan

import numpy as np
import pytest

pytest.importorskip("torch")

from testing.tiny_models import tokenizer_of

from depthlm_ros.bench import configs
from depthlm_ros.bench.shapes import Size, Text, Vision
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import PUBLISHED
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ranges import Status
from depthlm_ros.view import MOST_ROUNDING, Frame, View, ViewLimits, unify_focal

# As in the published models: what their image processors allow.
PROCESSORS = {
    "qwen2_5_vl": {"min_pixels": 3136, "max_pixels": 12_845_056},
    "qwen3_vl": {"size": {"shortest_edge": 65_536, "longest_edge": 16_777_216}},
    "llava": {"size": {"longest_edge": 1024}, "do_resize": True, "do_rescale": True},
}


def wide(degrees, width):
    """The focal length of a lens that sees so many degrees across."""
    return width / 2 / tan(radians(degrees) / 2)


CAMERAS = {  # width, height, focal length
    "D435": (1280, 720, 921.0),
    "ZED 2": (1920, 1080, 1058.0),
    "OAK-D": (1920, 1080, 1500.0),
    "90 degrees": (1280, 960, wide(90, 1280)),
    "120 degrees": (1920, 1200, wide(120, 1920)),
    "4K": (3840, 2160, 2400.0),
    "640 x 480": (640, 480, 560.0),
    "portrait phone": (1080, 1920, 1500.0),
    "64 px of interest": (64, 64, 921.0),
    "a line": (1280, 4, 921.0),
}


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    """architecture -> (folder of a thin model in the published entry's way)."""

    @cache
    def made(architecture):
        from transformers import AutoModelForImageTextToText

        folder = tmp_path_factory.mktemp(architecture)
        tokenizer = tokenizer_of(architecture)
        text = Text(32, layers=1, heads=2, kv_heads=1, head=16, mlp=32, vocabulary=len(tokenizer))
        vision = Vision(16, layers=1, heads=1, mlp=16, special=(0,))
        size = Size(architecture, text, vision, (640, 480, 1000.0))
        model = AutoModelForImageTextToText.from_config(configs.config_of(size, tokenizer))
        for saved in (model, tokenizer, configs.processor_of(size)):
            saved.save_pretrained(folder)
        path = folder / "preprocessor_config.json"
        entry = {k: v for k, v in json.loads(path.read_text()).items() if k != "size"}
        path.write_text(json.dumps({**entry, **PROCESSORS[architecture]}))
        return folder

    return made


@pytest.fixture(scope="module")
def predictors(thin):
    """name of a published entry -> its predictor on a thin model, and the views that it opens."""

    @cache
    def made(name):
        entry = replace(PUBLISHED[name], model=str(thin(PUBLISHED[name].architecture)))
        engine, opened = LocalEngine(entry, "cpu", check="off"), []
        really = engine.open
        engine.open = lambda images, style: opened.append(images[0]) or really(images, style)
        return AskingPredictor(engine, entry), opened

    return made


ASKED = [name for name, entry in PUBLISHED.items() if entry.wording]  # the others only tell maps


@pytest.mark.parametrize(("name", "camera"), list(product(ASKED, CAMERAS)))
def test_no_view_is_refused_or_resized_for_its_size(predictors, name, camera):
    predictor, opened = predictors(name)
    width, height, focal = CAMERAS[camera]
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    frame = Frame(image, Camera(width, height, focal, focal, width / 2, height / 2))
    corners = [(u, v) for u in (0, width / 2, width - 1) for v in (0, height - 1)]
    opened.clear()
    found = predictor.ranges(frame, corners)
    assert set(found.status) <= {Status.OK, Status.SNAPPED, Status.NO_NUMBER}
    assert opened
    most = PUBLISHED[name].largest_view
    for view in opened:
        seen = predictor.engine.loaded.vision.prepare([view.image]).size[::-1]
        size = view.camera.width, view.camera.height
        assert view.camera.fx == view.camera.fy == pytest.approx(PUBLISHED[name].focal_px)
        assert all(abs(a - b) <= MOST_ROUNDING * b for a, b in zip(seen, size, strict=True))
        token = predictor.engine.limits.token  # padded to whole ones
        assert size[0] < most[0] + token and size[1] < most[1] + token


def test_a_padded_view_keeps_its_pixels_and_rays():
    camera = Camera(64, 40, 921.0, 900.0, 30.0, 21.0)
    frame = Frame(np.random.default_rng(1).integers(0, 256, (40, 64, 3), np.uint8), camera)
    whole = unify_focal(frame, 921.0)
    (padded,) = whole.windows(limits=ViewLimits(32, least_pixels=65_536))
    assert (padded.camera.width, padded.camera.height) == (256, 256)
    for pixel in ((0, 0), (63, 39), (12, 30)):
        u, v = padded.to_view(pixel)[0]
        assert (padded.image[v, u] == frame.image[pixel[1], pixel[0]]).all()
        assert np.allclose(padded.camera.rays([(u, v)]), camera.rays([pixel]))
        assert np.allclose(padded.to_frame([(u, v)]), np.add(pixel, 0.5))


@pytest.mark.parametrize(
    ("limits", "size", "windows"),
    [
        (ViewLimits(32, most_pixels=1_310_720), (1300, 1100), None),
        (ViewLimits(16, "up", longest_side=1024), (1042, 586), 2),
        (ViewLimits(32, "exact"), (1450, 700), 2),
        (ViewLimits(16, "none"), (15, 900), 1),
        (ViewLimits(), (1400, 1200), 1),
    ],
)
def test_windows_cover_a_view_within_the_processors_bounds(limits, size, windows):
    width, height = size
    camera = Camera(width, height, 500.0, 500.0, width / 2, height / 2)
    frame = Frame(np.zeros((height, width, 3), np.uint8), camera)
    found = View(frame.image, camera, frame, (1.0, 1.0)).windows(limits=limits)
    assert windows is None or len(found) == windows
    covered = np.zeros((height, width), bool)
    for view in found:
        w, h = view.camera.width, view.camera.height
        a, b = limits.rounded(w, h)
        assert limits.least_pixels <= a * b <= limits.most_pixels
        assert max(w, h) <= limits.longest_side
        assert limits.rounding != "exact" or not (w % limits.token or h % limits.token)
        left, top = np.maximum(view.offset, 0)
        covered[top : view.offset[1] + h, left : view.offset[0] + w] = True
    assert covered.all()


@pytest.mark.parametrize("name", ["facebook/VLM3-depth", "JonnyYu828/DepthVLM-4B"])
@pytest.mark.parametrize(
    ("size", "fx"),
    [((1600, 900), 809.2), ((6205, 4135), 3411.0)],
    ids=["nuScenes, rear", "ETH3D"],
)
def test_who_learnt_from_whole_images_sees_the_largest_of_its_sets_whole(name, size, fx):
    width, height = (round(side * 1000 / fx) for side in size)
    assert width > 1400 or height > 1200
    camera = Camera(width, height, 1000.0, 1000.0, width / 2, height / 2)
    image = np.zeros((height, width, 3), np.uint8)
    entry = PUBLISHED[name]
    assert len(entry.view(Frame(image, camera)).windows(entry.largest_view)) == 1


def test_pixtrals_entry_ends_where_its_positions_do():
    assert PUBLISHED["facebook/DepthLM"].largest_view == (1024, 1024)
