# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Real images: the published preprocessing to the pixel, and the best-known constant."""

import json
from functools import cache

import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.cli import main
from depthlm_ros.data.files import read_image
from depthlm_ros.question import MarkerStyle
from depthlm_ros.view import Frame, unify_focal


@pytest.fixture(scope="module")
def marked_views(ibims1):
    return json.loads((ibims1 / "marked_views.json").read_text())


@pytest.fixture(scope="module")
def view_of(ibims1):
    @cache
    def of(image, focal_px, fx, fy, cx, cy, width, height):
        camera = Camera(width, height, fx, fy, cx, cy)
        return unify_focal(Frame(read_image(ibims1 / image, upright=False), camera), focal_px)

    return lambda row: of(row["image"], row["unified_focal"], *row["intrinsics"])


def test_all_300_views_are_as_published(marked_views, view_of):
    """Size, intrinsics, marker pixel, drawability and every RGB sample (taken with the arrow)."""
    assert len(marked_views) == 300
    for row in marked_views:
        view = view_of(row)
        camera = view.camera
        assert [camera.width, camera.height] == row["size"]
        values = [camera.fx, camera.fy, camera.cx, camera.cy]
        assert values == pytest.approx(row["unified_intrinsics"], rel=1e-12)
        assert view.to_view(row["pixel"])[0].tolist() == row["marker_pixel"]
        assert MarkerStyle().can_ask(view, row["marker_pixel"]) == row["drawn"]
        image = view.image
        if row["drawn"]:
            image = MarkerStyle().drawn(view, row["marker_pixel"])
        for u, v, *rgb in row["rgb"]:
            assert image[v, u].tolist() == rgb


def test_the_best_constant_reaches_delta1_02786(ibims1, capsys, tmp_path):
    """The floor for every model; labels of this file are z, which a constant need not know."""
    report = tmp_path / "report.json"
    records = str(ibims1 / "ibims1_even.jsonl")
    assert main(["eval", records, "--constant", "2.0", "--json", str(report)]) == 0
    pooled = json.loads(report.read_text())["right"]["pooled"]
    assert round(pooled["delta1"], 4) == 0.2786
    assert "0.2786" in capsys.readouterr().out
