# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Losses of maps against values computed by hand."""

from math import exp, log, nan, sqrt

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.depth_loss import doubt, gradient_l1, is_dense, log_l1, silog

TRUTH = torch.tensor([[2.0, 2.0], [nan, 8.0]]).log()
TOLD = torch.tensor([[1.0, 2.0], [5.0, 4.0]]).log()  # off by -log 2, 0, unknown, -log 2


def test_silog_is_the_published_formula():
    mean, square = -2 / 3 * log(2), 2 / 3 * log(2) ** 2
    assert silog(TOLD, TRUTH).item() == pytest.approx(sqrt(square - 0.5 * mean**2 + 1e-8))
    assert silog(TRUTH, TRUTH).item() == pytest.approx(1e-4)  # the root of what stands inside it
    twice = torch.full((3, 3), log(2.0))  # one factor everywhere: half of it is forgiven
    assert silog(twice, torch.zeros(3, 3)).item() == pytest.approx(log(2) * sqrt(0.5), abs=1e-6)


def test_silog_has_a_gradient_where_nothing_is_wrong():
    predicted = TRUTH.nan_to_num().clone().requires_grad_()
    silog(predicted, TRUTH).backward()
    assert predicted.grad.isfinite().all()


def test_log_l1_is_a_mean_over_what_is_known():
    assert log_l1(TOLD, TRUTH).item() == pytest.approx(2 / 3 * log(2))


def step(size=4):
    """An error of 1 in the right half of a map of log metres, none in the left."""
    predicted = torch.zeros(size, size)
    predicted[:, size // 2 :] = 1.0
    return predicted, torch.zeros(size, size)


def test_gradient_l1_counts_how_the_error_changes_at_each_scale():
    """Single pixels: 4 of 24 pairs differ by 1. Cells of 2 x 2: 2 of 4. No larger cell fits."""
    assert gradient_l1(*step()).item() == pytest.approx((4 / 24 + 2 / 4) / 2)
    predicted, truth = step()
    assert gradient_l1(predicted + 3.0, truth + 3.0).item() == pytest.approx((4 / 24 + 2 / 4) / 2)
    assert gradient_l1(truth + 3.0, truth).item() == 0.0


def test_gradient_l1_passes_over_what_is_unknown():
    """A row without truth: 3 x 3 pairs across with 3 steps, 2 x 4 down; cells of 2 x 2 as before,
    each the mean of what it knows."""
    predicted, truth = step()
    truth[3] = nan
    predicted[3] = 100.0
    assert gradient_l1(predicted, truth).item() == pytest.approx((3 / 17 + 2 / 4) / 2)


def test_gradient_l1_is_not_asked_of_sparse_maps():
    predicted, truth = step(16)
    rng = np.random.default_rng(0)
    truth[torch.from_numpy(rng.random((16, 16)) < 0.7)] = nan
    assert not is_dense(truth) and gradient_l1(predicted, truth).item() == 0.0
    sky = step(16)[1]
    sky[:10] = nan  # much is unknown, and what is known is dense
    assert is_dense(sky)


def test_doubt_is_least_at_the_size_of_the_error_and_leaves_the_value_alone():
    predicted, truth = TOLD.clone().requires_grad_(), TRUTH
    off = 2 / 3 * log(2)

    def at(scale):
        return doubt(torch.full((2, 2), scale), predicted, truth)

    assert at(-1.0).item() == pytest.approx(off * exp(1.0) - 1.0)
    best = log(off)
    assert at(best).item() < min(at(best - 0.1).item(), at(best + 0.1).item())
    log_scale = torch.zeros(2, 2, requires_grad=True)
    doubt(log_scale, predicted, truth).backward()
    assert predicted.grad is None and log_scale.grad.abs().sum() > 0
