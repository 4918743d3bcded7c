# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How good is a checkpoint on held-out rendered scenes, beside the best constant answer?

    python -m training.heldout --checkpoint tiny --count 200 --pixels 8
    python -m training.heldout records --first 1000 --count 200 --pixels 8 --out heldout
    python -m training.heldout maps --checkpoint tiny --shards shards/heldout

The first asks through the real Predictor, in each style the checkpoint speaks; of one with a dense
head the map at these pixels is style dense. The second writes
the scenes as records, for `depthlm calibrate`, `eval` and `intervals`: take disjoint numbers for
what is fitted and what is tested. The third measures the map of a checkpoint with a dense head at
every pixel. Scenes are of the split "heldout", which training never sees, or of --shards.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from depthlm_ros.cli import values
from depthlm_ros.data.records import Record, strict_json, write_records
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import PredictorAnswers, evaluate
from depthlm_ros.evaluation.maps import MappedScene, measure_maps
from depthlm_ros.evaluation.metrics import best_constant, measure
from depthlm_ros.evaluation.uncertainty import covered
from depthlm_ros.predict import load_predictor
from training.data.loaded import LoadedRecord
from training.data.shards import Shards
from training.run.commands import errors_told, parser_of
from training.synthetic import SPLITS, shot

COMMANDS = "measure", "records", "maps"
SCENES = 200  # without shards


def questions(count, pixels, split="heldout", first=0, shards=None):
    """(frame, pixels (N, 2), true metres (N,)) of scenes first, first + 1, ...; `count` of them.

    The places are drawn from the scene's number. shards: a folder whose scenes are taken instead
    of those of the split.
    """
    for seed, one in enumerate(shots(count, split, first, shards), first):
        rng = np.random.default_rng([seed, 7])
        v, u = np.nonzero(np.isfinite(one.distance_m))
        if len(u) < pixels:
            raise InputError(f"scene {seed} has {len(u)} pixels with a distance, not {pixels}")
        chosen = rng.choice(len(u), pixels, replace=False)
        places = np.stack([u[chosen], v[chosen]], axis=1)
        yield one.frame, places, one.distance_m[v[chosen], u[chosen]].astype(np.float64)


def shots(count, split="heldout", first=0, shards=None):
    """The Shots of these scenes; see questions()."""
    found = Shards(shards) if shards else None
    if found is not None and first + count > len(found):
        raise InputError(
            f"{shards} holds {len(found)} images, not those from {first} to {first + count - 1}:"
            " choose others with --first and --count"
        )
    for seed in range(first, first + count):
        yield found[seed] if found else shot(seed, split)


def answered(predictor, style, asked):
    """The evaluated Points of questions()."""
    records = (LoadedRecord.of(*one, f"scene {i}") for i, one in enumerate(asked))
    return evaluate(records, PredictorAnswers(predictor, style))


def measured(predictor, style, asked) -> dict:
    """One row of the table: the measures of a style, with the share inside [lower, upper]."""
    points = answered(predictor, style, asked)
    found = measure(points.answer_m, points.label_m, points.askable)
    metres, constant = best_constant(points.label_m)
    return {
        "style": style,
        "points": found.points,
        "delta1": found.delta1,
        "best_constant_m": metres,
        "best_constant_delta1": constant,
        "ratio": found.delta1 / constant,
        "abs_rel": found.abs_rel,
        "answered": found.answered / found.points,
        "inside_90": covered("", points).inside,
    }


def write_scenes(folder, count, pixels, split="heldout", first=0, shards=None) -> Path:
    """Write questions() as PNG images and a jsonl of records; returns its path. The images lie in
    a folder of its name, so that those of other records stay as they are."""
    folder = Path(folder)
    split = Path(shards).name if shards else split
    path = folder / f"{split}_{first}_{count}x{pixels}.jsonl"
    images = path.with_suffix("")
    images.mkdir(parents=True, exist_ok=True)

    def records():
        scenes = questions(count, pixels, split, first, shards)
        for seed, (frame, places, truth) in enumerate(scenes, first):
            image = images / f"{split}_{seed:07d}.png"
            Image.fromarray(frame.image).save(image)
            yield Record(image, frame.camera, places, truth, "distance", f"scene {seed}")

    write_records(path, records())
    return path


def main(arguments=None) -> None:
    given = _parser().parse_args(arguments)
    with errors_told("training.heldout"):
        if given.count is None:
            there = len(Shards(given.shards)) - given.first if given.shards else SCENES
            given.count = max(there, 1)
        scenes = given.count, given.pixels, given.split, given.first, given.shards
        if given.command == "records":
            print(f"wrote {write_scenes(given.out, *scenes)}")
            return
        if given.command == "maps":
            found = _maps(given.checkpoint, given.count, given.split, given.first, given.shards)
            print(strict_json(asdict(found)) if given.json else found.table())
            return
        rows = _told(given.checkpoint, questions(*scenes))
        print(strict_json(rows) if given.json else _table(rows))


def _told(checkpoint, asked) -> list:
    """A row for each style that the checkpoint speaks."""
    predictor, asked = load_predictor(checkpoint, warm_up=False), list(asked)
    return [measured(predictor, style, asked) for style in predictor.checkpoint.styles]


def _maps(checkpoint, *scenes):
    """The MapMeasures of a checkpoint's maps, at every pixel whose distance is known."""
    mapped = (MappedScene(one.frame, one.distance_m) for one in shots(*scenes))
    return measure_maps(mapped, load_predictor(checkpoint))


def _parser():
    parser = parser_of("training.heldout", __doc__)
    parser.add_argument("command", nargs="?", choices=COMMANDS, default="measure")
    parser.add_argument("--checkpoint", default="tiny", help="tiny, a folder, or a known name")
    parser.add_argument(
        "--count", type=values.count, help=f"scenes (default: all of --shards, or {SCENES})"
    )
    parser.add_argument(
        "--first", type=values.from_zero, default=0, help="number of the first scene"
    )
    parser.add_argument("--split", choices=SPLITS, default="heldout")
    parser.add_argument("--shards", type=Path, help="folder of shards whose scenes are asked")
    parser.add_argument(
        "--pixels", type=values.count, default=8, help="pixels a scene (default 8)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, default=Path("heldout"), help="folder of records")
    return parser


def _table(rows) -> str:
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    for row in rows:
        cells = (f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
