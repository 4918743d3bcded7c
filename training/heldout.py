# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How good is a checkpoint on held-out rendered scenes, beside the best constant answer?

    python -m training.heldout --checkpoint tiny --count 200 --pixels 8

Asks through the real Predictor, in each style the checkpoint speaks. The scenes are drawn from
the split "heldout", which training never sees; failures count as wrong.
"""

import argparse
import json

import numpy as np

from depthlm_ros.metrics import delta1, measure
from depthlm_ros.predict import load_predictor
from training.synthetic import shot


def best_constant(distance_m) -> tuple:
    """(metres, delta1) of the constant that is right most often, with hindsight."""
    candidates = np.geomspace(0.3, 40, 400)
    shares = [delta1(np.full(len(distance_m), c), distance_m).mean() for c in candidates]
    return float(candidates[np.argmax(shares)]), float(max(shares))


def questions(count, pixels, split="heldout"):
    """(frame, pixels (N, 2), true metres (N,)) of `count` scenes, places drawn from the seed."""
    for seed in range(count):
        one = shot(seed, split)
        rng = np.random.default_rng([seed, 7])
        v, u = np.nonzero(np.isfinite(one.distance_m))
        chosen = rng.choice(len(u), pixels, replace=False)
        places = np.stack([u[chosen], v[chosen]], axis=1)
        yield one.frame, places, one.distance_m[v[chosen], u[chosen]].astype(np.float64)


def measured(predictor, style, asked) -> dict:
    """One row of the table: the measures of a style, with the share inside [lower, upper]."""
    ranges = [predictor.ranges(frame, places, style) for frame, places, _ in asked]
    truth = np.concatenate([t for _, _, t in asked])
    told, lower, upper, status = (
        np.concatenate([getattr(r, name) for r in ranges])
        for name in ("distance_m", "lower_m", "upper_m", "status")
    )
    found = measure(told, truth, askable=status == 0)
    metres, constant = best_constant(truth)
    known = np.isfinite(lower) & np.isfinite(upper)
    inside = (lower <= truth) & (truth <= upper)
    return {
        "style": style,
        "points": found.points,
        "delta1": found.delta1,
        "best_constant_m": metres,
        "best_constant_delta1": constant,
        "ratio": found.delta1 / constant,
        "abs_rel": found.abs_rel,
        "answered": found.answered / found.points,
        "inside_90": float(inside[known].mean()) if known.any() else float("nan"),
    }


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.heldout", description=__doc__)
    parser.add_argument("--checkpoint", default="tiny", help="tiny, a folder, or a known name")
    parser.add_argument("--count", type=int, default=200, help="scenes (default 200)")
    parser.add_argument("--pixels", type=int, default=8, help="pixels a scene (default 8)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args(arguments)
    predictor = load_predictor(given.checkpoint)
    asked = list(questions(given.count, given.pixels))
    rows = [measured(predictor, style, asked) for style in predictor.checkpoint.wording]
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        cells = (f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values())
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
