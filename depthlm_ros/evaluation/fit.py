# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Fits a Calibration on evaluated points: how much wider intervals must be to hold the truth.

Conformalised quantile regression (Romano et al. 2019) on log metres. Points of one image are
alike, so images and not points are taken as exchangeable (hierarchical conformal prediction, Lee,
Barber and Willett 2023): every image has the same weight.
"""

import numpy as np

from depthlm_ros.calibration import LEVEL, Calibration
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import Points
from depthlm_ros.evaluation.metrics import bootstrap_interval


def fitted(points: Points, data: list[dict], kind: str) -> Calibration:
    """The Calibration of evaluated points of a kind, "distance" | "z".

    data: [{"name", "sha256"}] of their records files. Points without an interval are left out.
    Raises InputError for fewer images than `fewest_images`.
    """
    known = points.with_interval()
    scores = conformity(known.label_m, known.lower_m, known.upper_m)
    c, interval = fitted_widening(scores, known.image)
    images = len(np.unique(known.image))
    return Calibration(c, interval, LEVEL, kind, len(known), images, data)


def conformity(truth_m, lower_m, upper_m) -> np.ndarray:
    """(N,) how far the truth lies outside [lower, upper] in log metres; negative: inside."""
    with np.errstate(divide="ignore"):
        lower, truth, upper = (np.log(np.asarray(m)) for m in (lower_m, truth_m, upper_m))
    return np.maximum(lower - truth, truth - upper)


def fewest_images(level: float = LEVEL) -> int:
    """How many images a finite answer needs: 9 for 90 %."""
    return int(np.ceil(round(level / (1 - level), 9)))


def fitted_widening(
    scores: np.ndarray, image: np.ndarray, level: float = LEVEL
) -> tuple[float, tuple[float, float]]:
    """(c, (low, high)): the level-quantile of conformity scores (N,), finite-sample corrected.

    image (N,): number of the image of each point. Each of K images weighs 1 / (K + 1), shared
    evenly by its points; the rest is the image to come, whose score may be anything. With one
    point per image this is the ceil((K + 1) level)-th smallest score of split conformal
    prediction. low, high: 95 % of c by bootstrap over images. Raises InputError for fewer images
    than `fewest_images`.
    """
    _, image, counts = np.unique(image, return_inverse=True, return_counts=True)
    if len(counts) < fewest_images(level):
        raise InputError(
            f"calibration needs at least {fewest_images(level)} images whose answers have"
            f" intervals (200 or more for a reliable figure), got {len(counts)}"
        )
    order = np.argsort(scores, kind="stable")
    sorted_scores, image = np.asarray(scores, np.float64)[order], image[order]

    def quantile(times):
        reached = np.cumsum((times / counts)[image]) / (len(counts) + 1)
        return sorted_scores[np.searchsorted(reached, level - 1e-9)]

    c = float(quantile(np.ones(len(counts))))
    return c, bootstrap_interval(quantile, len(counts))
