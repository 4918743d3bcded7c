# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Do DepthVLM's choices hold at small scale? Its ablations of the dense head, in one table.

    python -m training.tools.ablate --data shards/furnished shards/road \
        --heldout shards/heldout shards/road_heldout --out runs/ablate --steps 100

Compared are what the head looks at (arXiv 2605.15876, table 5), what learns when (table 6) and the
form of the head (table 4, beside ours). All runs have the same number of steps; a second stage
goes on from a first of half of them. Stages see the same images in the same order, whatever is
compared. Each run is measured at every known pixel of the held-out sets, as a mean over images,
and compared with the first run of its comparison on the same images. Intervals are of 95 %, by
bootstrap over scenes where records name them, else over images: nothing is said of what another
seed would bring. Edges and waves are those of training.tools.edges, on the first held-out set of
shards.

Sets are folders of shards or .jsonl files of records with depth images. What is finished is not
repeated, what was killed goes on; `--steps 0` trains nothing and prints the table as far as it is.
Other settings take another --out.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.torch import load_file, save_file

from depthlm_ros.checkpoints import HEAD_PREFIX, from_folder, without_head
from depthlm_ros.cli.values import count, from_zero
from depthlm_ros.data.records import Records, strict_json
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.maps import MappedScene, measure_maps, scene_of
from depthlm_ros.evaluation.metrics import scene_numbers
from depthlm_ros.models.weights import read_tensors
from depthlm_ros.predict import Predictor, load_predictor
from depthlm_ros.viz.tables import text_table
from training import dense
from training.config import DenseConfig, read_config
from training.data.shards import Shards
from training.data.sources import evenly_spread
from training.run.base import derived, find_base
from training.run.commands import errors_told, parser_of
from training.run.run_folder import write_json
from training.tools.comparing import keep, keep_settings, kept, mean_with_interval, signed, spent
from training.tools.edges import edges, grid_power, maps_of

CONFIG = Path(__file__).parents[1] / "configs" / "tiny_dense.yaml"
SECONDS = "seconds.json"  # of a phase of a run
REPORT = "ablate.json"
TOKEN = 32  # pixels of an image token of the embedded model
# Of what learns. The published second stage has a seventeenth of the first one's; a third is what
# moves a small model in so few steps.
RATES = {"head": 1.0e-3, "language": 3.0e-4, "all": 3.0e-4}
# What differs from the recipe of the embedded checkpoint's head, for heads that are smaller.
SMALL = {
    "crop": {"width": [128, 256], "height": [128, 192]},
    "zoom": None,
    "weight_decay": 0.01,
    "beta2": 0.95,
}

VISION = [{"source": "vision", "layer": layer} for layer in (2, 5, 7)]  # of 8 blocks
DEEPSTACK = [{"source": "deepstack", "layer": 0}]
TEXT = [{"source": "text", "layer": -1}]
LIGHT = {"type": "light", "taps": VISION + TEXT, "widths": [48, 32, 24], "upsampling": "bilinear"}
DPT = {"type": "dpt", "taps": VISION + TEXT, "widths": [24, 32, 48, 48, 24], "output": "metres"}
MLP = {"type": "mlp", "taps": TEXT, "widths": [256], "output": "metres"}

ALONE = (("head", 1.0),)
TWO_STAGES = (("head", 0.5), ("language", 0.5))


@dataclass(frozen=True)
class Arm:
    """One run. head: entries of a HeadSpec; phases: what learns (DenseConfig.learns), for which
    share of the steps, one after the other."""

    name: str
    head: dict
    phases: tuple = ALONE


class Comparison(NamedTuple):
    """claim: what the paper says. arms: those compared, the reference first."""

    claim: str
    arms: tuple


COMPARISONS = {
    "inputs": Comparison(
        "layers of the vision part with the language model's last states beat either alone, and"
        " the language model's states need the second stage (table 5)",
        (
            Arm("vision + text, two stages", LIGHT, TWO_STAGES),
            Arm("vision alone", {**LIGHT, "taps": VISION}),
            Arm("text alone, first stage", {**LIGHT, "taps": TEXT}),
            Arm("text alone, two stages", {**LIGHT, "taps": TEXT}, TWO_STAGES),
        ),
    ),
    "schedule": Comparison(
        "two stages beat each alone; a vision part that learns too brings little (table 6)",
        (
            Arm("two stages", LIGHT, TWO_STAGES),
            Arm("first stage alone", LIGHT),
            Arm("second stage alone", LIGHT, (("language", 1.0),)),
            Arm("two stages, vision learns", LIGHT, (("head", 0.5), ("all", 0.5))),
        ),
    ),
    "head": Comparison(
        "a pyramid beats an MLP, and several layers beat one (table 4); light is ours",
        (
            Arm("light, bilinear", LIGHT),
            Arm("light, convex", {**LIGHT, "upsampling": "convex"}),
            Arm("dpt, as published but in width", DPT),
            Arm("mlp, one layer", MLP),
            Arm("mlp, two layers", {**MLP, "taps": DEEPSTACK + TEXT}),
        ),
    ),
}


class HeldOutSet:
    """Images with a depth image each. place: a folder of shards, or records; images: at
    most so many, evenly spread. InputError where it holds none."""

    def __init__(self, place: str, images: int):
        self.name = place
        self.is_rendered = Path(place).is_dir()
        self._items = Shards(place) if self.is_rendered else Records(place)
        if not len(self._items):
            raise InputError(f"{place} holds no image")
        self._chosen = evenly_spread(len(self._items), images)

    def items(self, count: int) -> list:
        """The first `count` of the chosen Shots or Records."""
        return [self._items[number] for number in self._chosen[:count]]

    def delta1(self, predictor: Predictor) -> list[float]:
        """Of the map of each image, at every known pixel."""
        return [measure_maps([scene], predictor).delta1 for scene in self._mapped()]

    def scenes(self) -> np.ndarray:
        """(images,) number of the scene that each image is of; a rendered one is its own."""
        if self.is_rendered:
            return np.arange(len(self._chosen))
        return scene_numbers([self._items[number].scene for number in self._chosen])

    def _mapped(self):
        chosen = (self._items[number] for number in self._chosen)
        if not self.is_rendered:
            return map(scene_of, chosen)
        return (MappedScene(one.frame, one.distance_m) for one in chosen)


class Ablation:
    """The runs in a folder.

    data, heldout: folders of shards or records. steps: of a run, over its phases; batch: images a
    step; images: of each held-out set; edges: images whose edges are looked at; changes: of the
    DenseConfig of every run.
    """

    def __init__(
        self,
        out,
        data,
        heldout,
        steps,
        batch=8,
        images=60,
        edges=30,
        seed=1,
        base="tiny",
        **changes,
    ):
        self.out, self.steps, self.base = Path(out), steps, base
        self._edges, self._seed = edges, seed
        given = {"data": data, "heldout": heldout, "steps": steps, "batch": batch, "seed": seed}
        self._settings = {**given, "images": images, "edges": edges, "base": base, **changes}
        self._sets = [HeldOutSet(place, images) for place in heldout]
        self._changes = {**changes, "data": [_entry(place) for place in data], "batch": batch}

    def carry_out(self, comparison: str) -> None:
        """Every run of a comparison that is not finished; InputError where those in the folder
        had other settings."""
        keep_settings(self.out, self._settings)
        for arm in COMPARISONS[comparison].arms:
            if not kept(self._folder(arm)):
                self._run(arm)

    def rows(self, comparison: str) -> list[dict]:
        """The results of a comparison's arms; one that has not run has its name only."""
        arms = COMPARISONS[comparison].arms
        return [{"run": arm.name, **kept(self._folder(arm))} for arm in arms]

    def scenes(self) -> dict[str, np.ndarray]:
        """held-out set -> number of the scene of each of its images."""
        return {one.name: one.scenes() for one in self._sets}

    def _folder(self, arm: Arm, phases: int | None = None) -> Path:
        """Of the first so many phases of an arm, None: of all; arms that begin alike share
        them."""
        taps = "_".join(f"{tap['source']}{tap['layer']}" for tap in arm.head["taps"])
        parts = [arm.head["type"], arm.head.get("upsampling", ""), taps]
        parts += [f"{learns}{share:g}" for learns, share in arm.phases[:phases]]
        return self.out / "_".join(filter(None, parts))

    def _run(self, arm: Arm) -> None:
        base, seconds = self._headless(), 0.0
        for number, (learns, share) in enumerate(arm.phases, 1):
            folder = self._folder(arm, number)
            if not (folder / "checkpoint").exists():
                steps = max(1, round(self.steps * share))
                self._train(arm, folder, base, learns, steps, self._seed + number)
            base, seconds = folder, seconds + json.loads((folder / SECONDS).read_text())
        weights = read_tensors(str(base / "checkpoint"), HEAD_PREFIX)
        parameters = sum(weight.numel() for weight in weights.values())
        measured = self._measured(base / "checkpoint")
        keep(self._folder(arm), {"seconds": seconds, "parameters": parameters, **measured})

    def _train(self, arm, folder, base, learns, steps, seed) -> None:
        print(f"{folder.name}: {steps} steps", flush=True)
        stage = {"name": learns, "steps": steps, "lr": RATES[learns], "weights": {"depth": 1.0}}
        changes = {"head": arm.head, "learns": learns, "stages": [stage], "base": str(base)}
        # Live views: what is kept would be other images than those of a second stage.
        changes |= {"out": str(folder), "kept_views": 0, "save_every": 10**6, "keep": 1}
        changes |= {"seed": seed}
        config = read_config(CONFIG, DenseConfig, **{**SMALL, **changes, **self._changes})
        path, begin = folder / SECONDS, spent()
        before = json.loads(path.read_text()) if path.exists() else 0.0
        try:
            dense.train(config)
        finally:  # what is stopped goes on later
            if folder.exists():
                write_json(path, before + spent() - begin)

    def _headless(self) -> Path:
        """The base without its dense head, so that every head begins anew."""
        folder = self.out / "base"
        if not folder.exists():
            source = find_base(self.base)
            with derived(source, folder) as making:
                (making / "config.json").write_bytes((source / "config.json").read_bytes())
                weights = load_file(source / "model.safetensors")
                kept = {n: w for n, w in weights.items() if not n.startswith(HEAD_PREFIX)}
                save_file(kept, making / "model.safetensors", metadata={"format": "pt"})
                entry = replace(from_folder(source), model=str(making), calibration={})
                without_head(entry).write(making)
        return folder

    def _measured(self, shipped: Path) -> dict:
        """{"delta1": {set: [of each image]}, "edges": ...}."""
        predictor = load_predictor(str(shipped), warm_up=False)
        found = {"delta1": {one.name: one.delta1(predictor) for one in self._sets}}
        rendered = next((one for one in self._sets if one.is_rendered), None)
        if rendered:
            found["edges"] = _edges(list(maps_of(predictor, rendered.items(self._edges), TOKEN)))
        predictor.close()
        return found


def _edges(pairs: list) -> dict:
    """The measures of edges and waves of maps; pairs: see maps_of. waves: by their length in
    pixels, of the maps and of the truth."""
    maps, truths = ([pair[i] for pair in pairs] for i in (0, 1))
    found = edges(pairs)
    waves = {str(n): (grid_power(maps, n), grid_power(truths, n)) for n in (TOKEN, TOKEN // 2)}
    return {
        "width_px": found.width_px,
        "missed": found.missed,
        "count": found.count,
        "waves": waves,
    }


def _entry(place: str) -> dict:
    return {"shards": place} if Path(place).is_dir() else {"records": place}


def report(ablation: Ablation) -> dict:
    """comparison -> {"claim", "runs": [...]}; a run has, for each set, delta1 and its
    difference from the first run's, both (mean, low, high)."""
    found, scenes = {}, ablation.scenes()
    for name, (claim, _) in COMPARISONS.items():
        rows = ablation.rows(name)
        reference = rows[0].get("delta1", {})
        for row in rows:
            of_images = row.pop("delta1", {})
            row["sets"] = {
                one: {
                    "images": len(values),
                    "delta1": mean_with_interval(values, scenes.get(one)),
                    **_difference(values, reference.get(one), row is rows[0], scenes.get(one)),
                }
                for one, values in of_images.items()
            }
        found[name] = {"claim": claim, "runs": rows}
    return found


def _difference(values, reference, is_reference, scene) -> dict:
    if is_reference or reference is None:
        return {}
    return {"difference": mean_with_interval(np.subtract(values, reference), scene)}


def clear(found: dict) -> list[str]:
    """The differences whose interval does not hold 0, a sentence each."""
    lines = []
    for name, comparison in found.items():
        reference = comparison["runs"][0]["run"]
        for row in comparison["runs"]:
            for one, measured in row["sets"].items():
                mean, low, high = measured.get("difference", (0.0, 0.0, 0.0))
                if low > 0 or high < 0:
                    word = "better" if mean > 0 else "worse"
                    lines.append(f"{name}, {one}: {row['run']} is {word} than {reference}")
    return lines


def table(found: dict, markdown: bool = False) -> str:
    """A report, for reading."""
    runs = [row for comparison in found.values() for row in comparison["runs"]]
    sets = list(dict.fromkeys(one for row in runs for one in row["sets"]))
    columns = ["comparison", "run", "head", "seconds"]
    columns += [title for one in sets for title in (f"{one}: delta1", "from the first")]
    columns += ["edge px", "missed", f"waves {TOKEN} px", f"{TOKEN // 2} px"]
    rows = [
        (name, row["run"], *_cells(row, sets))
        for name, comparison in found.items()
        for row in comparison["runs"]
    ]
    told = [text_table(columns, rows, left=(0, 1), markdown=markdown), ""]
    true = next((row["edges"]["waves"] for row in runs if "edges" in row), None)
    if true:
        waves = ", ".join(f"{period} px {one[1]:.2f}" for period, one in true.items())
        told += [f"waves of the truth itself: {waves}"]
    told += [f"the paper on {name}: {comparison['claim']}" for name, comparison in found.items()]
    lines = clear(found)
    told += ["", "clear of 0 on these images:" if lines else "no difference is clear of 0"]
    return "\n".join([*told, *lines])


def _cells(row: dict, sets: list[str]) -> list[str]:
    if "seconds" not in row:
        return ["not run"] + [""] * (2 * len(sets) + 5)
    cells = [f"{row['parameters']:,}", f"{row['seconds']:.0f}"]
    for one in sets:
        measured = row["sets"][one]
        cells.append("{:.3f} ({:.3f} to {:.3f})".format(*measured["delta1"]))
        off = measured.get("difference")
        cells.append(signed(off) if off else "")
    seen = row.get("edges")
    if not seen:
        return cells + [""] * 4
    waves = [f"{own:.2f}" for own, _ in seen["waves"].values()]
    rises = [f"{seen['width_px']:.1f}", f"{seen['missed']:.2f}"] if seen["count"] else ["", ""]
    return [*cells, *rises, *waves]


def main(arguments: list | None = None) -> None:
    """The command line."""
    parser = parser_of("training.tools.ablate", __doc__)
    parser.add_argument("--data", nargs="+", required=True, help="sets to learn from")
    parser.add_argument("--heldout", nargs="+", required=True, help="sets to measure on")
    parser.add_argument("--out", default="runs/ablate", help="folder of the runs")
    parser.add_argument("--steps", type=from_zero, default=100, help="of a run; 0: only the table")
    parser.add_argument("--batch", type=count, default=8, help="images a step (default 8)")
    parser.add_argument(
        "--images", type=count, default=60, help="of each held-out set (default 60)"
    )
    parser.add_argument("--edges", type=count, default=30, help="images whose edges are looked at")
    parser.add_argument("--seed", type=from_zero, default=1)
    parser.add_argument("--base", default="tiny", help="what the heads are trained beside")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--comparisons", nargs="*", choices=COMPARISONS, default=list(COMPARISONS))
    given = vars(parser.parse_args(arguments))
    comparisons, markdown = given.pop("comparisons"), given.pop("markdown")
    with errors_told("training.tools.ablate"):
        ablation = Ablation(**given)
        for comparison in comparisons if ablation.steps else ():
            ablation.carry_out(comparison)
        found = report(ablation)
        if ablation.steps:
            (ablation.out / REPORT).write_text(strict_json(found) + "\n")
        print(table(found, markdown))


if __name__ == "__main__":
    main()
