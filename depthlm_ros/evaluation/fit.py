# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Fits a Calibration on evaluated points: how much wider intervals must be to hold the truth, and
from which width on they say that nothing is known.

Conformalised quantile regression (Romano et al. 2019) on log metres. Points of one image are
alike, so images and not points are taken as exchangeable (hierarchical conformal prediction, Lee,
Barber and Willett 2023): every image has the same weight.
"""

import numpy as np

from depthlm_ros.calibration import LEVEL, Calibration
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import Points
from depthlm_ros.evaluation.metrics import best_constant, bootstrap_interval, delta1
from depthlm_ros.ranges import is_uncertain

WIDTHS = 100  # that are tried as unknown_ratio, evenly over the points


def fitted(points: Points, data: list[dict], kind: str) -> Calibration:
    """The Calibration of evaluated points of a kind, "distance" | "z".

    data: [{"name", "sha256"}] of their records files. Points without an interval are left out.
    Raises InputError for fewer images than `fewest_images`.
    """
    known = points.with_interval()
    scores = conformity(known.label_m, known.lower_m, known.upper_m)
    c, interval = fitted_widening(scores, known.image, known.scene)
    images = len(np.unique(known.image))
    return Calibration(c, interval, LEVEL, kind, len(known), images, data)


def unknown_ratio(points: Points) -> float | None:
    """The upper / lower from which on a constant does better: were all answers so wide, and wider,
    replaced by the best constant for them, most would be right. None where that gains nothing.

    points: with calibrated intervals, also of images of kinds that the model has not learnt, since
    it knows something of the others. The constant is chosen with hindsight; fewer images than
    `fewest_images` say nothing.
    """
    known = points.with_interval()
    hit = delta1(known.answer_m, known.label_m)
    with np.errstate(divide="ignore"):
        width = known.upper_m / known.lower_m
    most, found = float(hit.sum()), None
    for ratio in np.unique(np.quantile(width, np.arange(WIDTHS) / WIDTHS, method="higher")):
        beyond = is_uncertain(known.lower_m, known.upper_m, ratio)
        if ratio <= 1 or len(np.unique(known.image[beyond])) < fewest_images():
            continue
        constant = best_constant(known.label_m[beyond])[1] * beyond.sum()
        if (right := hit[~beyond].sum() + constant) > most:
            most, found = right, float(ratio)
    return found


def conformity(truth_m, lower_m, upper_m) -> np.ndarray:
    """(N,) how far the truth lies outside [lower, upper] in log metres; negative: inside."""
    with np.errstate(divide="ignore"):
        lower, truth, upper = (np.log(np.asarray(m)) for m in (lower_m, truth_m, upper_m))
    return np.maximum(lower - truth, truth - upper)


def fewest_images() -> int:
    """How many images a finite answer needs: 9 for 90 %."""
    return int(np.ceil(round(LEVEL / (1 - LEVEL), 9)))


def fitted_widening(
    scores: np.ndarray, image: np.ndarray, scene: np.ndarray | None = None
) -> tuple[float, tuple[float, float]]:
    """(c, (low, high)): the LEVEL-quantile of conformity scores (N,), finite-sample corrected.

    image (N,): number of the image of each point; scene (N,): of its scene, None where each image
    is one. Each of K images weighs 1 / (K + 1), shared
    evenly by its points; the rest is the image to come, whose score may be anything. With one
    point per image this is the ceil((K + 1) LEVEL)-th smallest score of split conformal
    prediction. low, high: 95 % of c by bootstrap over scenes. Raises InputError for fewer images
    than `fewest_images`.
    """
    _, image, counts = np.unique(image, return_inverse=True, return_counts=True)
    if len(counts) < fewest_images():
        raise InputError(
            f"calibration needs at least {fewest_images()} images whose answers have"
            f" intervals (200 or more for a reliable figure), got {len(counts)}"
        )
    order = np.argsort(scores, kind="stable")
    _, scene = np.unique(image if scene is None else scene, return_inverse=True)
    sorted_scores, scene = np.asarray(scores, np.float64)[order], scene[order]
    share = 1 / counts[image[order]]  # of its image that a point is

    def quantile(times):
        weight = times[scene] * share
        reached = np.cumsum(weight) / (weight.sum() + 1)
        enough = round(reached[-1], 9) >= LEVEL  # a draw of small scenes may have too few images
        return sorted_scores[np.searchsorted(reached, LEVEL - 1e-9)] if enough else np.nan

    c = float(quantile(np.ones(scene.max() + 1)))
    return c, bootstrap_interval(quantile, int(scene.max()) + 1)
