# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What does a change of the recipe bring to the embedded checkpoint? One table.

    python -m training.fast.render --out pool --records nyu_train.jsonl --hold-out 8
    python -m training.fast.render --out pool --assets assets/ --count 72
    python -m training.tools.trials --pool pool --heldout nyu/heldout.jsonl shards/heldout

Each trial goes on from the embedded checkpoint for the same number of steps on the same pool, by
training.fast, with one thing changed. It is measured in one style on held-out sets (folders of
shards, or .jsonl files of records) and compared image by image with the recipe as it is; aligned:
after each image is brought to its true median. Intervals are of 95 %, by bootstrap over scenes
where records name them, else over images: nothing is said of what another seed would bring. A
trial that is finished is not repeated; `--steps 0` trains nothing and prints the table as far as
it is.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from depthlm_ros.checkpoints import find_checkpoint, from_folder
from depthlm_ros.cli.values import count, from_zero, positive
from depthlm_ros.data.records import Record, Records
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.compare import aligned
from depthlm_ros.evaluation.evaluate import Points, PredictorAnswers, evaluate
from depthlm_ros.evaluation.metrics import delta1, scene_numbers
from depthlm_ros.predict import load_predictor
from depthlm_ros.viz.tables import text_table
from training.data.shards import Shards
from training.data.sources import evenly_spread
from training.fast.finish import finish
from training.fast.recipe import SOURCES, WEIGHTS, Recipe
from training.fast.render import CHUNK
from training.fast.trainer import Options, Trainer
from training.heldout import answered, questions
from training.run.commands import errors_told, parser_of
from training.run.run_folder import write_json
from training.tools.comparing import keep, keep_settings, kept, mean_with_interval, signed, spent
from training.tools.grow import grow

SHIPPED = "as_shipped.json"  # what the embedded checkpoint is worth on the same sets
PIXELS = 12  # of a rendered image that are asked
FINER_PX = 300.0
FINER = {  # sizes at that focal length, which show about what Recipe's show at 200 px
    (256, 352): 0.35,
    (288, 384): 0.2,
    (192, 384): 0.2,
    (288, 288): 0.1,
    (352, 256): 0.1,
    (352, 448): 0.05,
}


def _real(share: float) -> Recipe:
    """The others keep their proportions."""
    rest = {name: value for name, value in SOURCES.items() if name != "real"}
    factor = (1 - share) / sum(rest.values())
    return Recipe(sources={"real": share, **{n: factor * value for n, value in rest.items()}})


def _finer(base: Path, folder: Path) -> None:
    shutil.copytree(base, folder)
    replace(from_folder(folder), focal_px=FINER_PX, calibration={}).write(folder)


def _deeper(base: Path, folder: Path) -> None:
    grow(base, folder, 12)


@dataclass(frozen=True)
class Trial:
    """recipe: with the one change. base: writes what is trained instead of the embedded checkpoint
    (its folder, to another folder)."""

    recipe: Recipe = field(default_factory=Recipe)
    base: Callable[[Path, Path], None] | None = None


CONTROL = "recipe as it is"
TRIALS = {
    CONTROL: Trial(),
    "no real images": Trial(_real(0.0)),
    "a third real": Trial(_real(1 / 3)),
    "no grey": Trial(Recipe(grey=0.0)),
    "half grey": Trial(Recipe(grey=0.5)),
    "light half as much again": Trial(Recipe(light=1.5)),
    "no zoom": Trial(Recipe(zoomed=0.0)),
    "zoom 0.67 to 1.5": Trial(Recipe(zoom=(0.67, 1.5))),
    "focal length 300 px": Trial(Recipe(sizes=FINER), _finer),
    "12 vision blocks": Trial(base=_deeper),
    "teacher": Trial(Recipe(weights={**WEIGHTS, "teacher": 1.0})),
}


class Trials:
    """The trials in a folder.

    pool: folder of training.fast.render. heldout: sets to measure on. steps, batch, lr, seed: of
    each. images: of each set, the first of shards, and records evenly spread.
    """

    def __init__(self, out, pool, heldout, steps, batch, lr, images, style, seed):
        self.out, self.pool, self.steps = Path(out), pool, steps
        self._options = {"steps": steps, "batch": batch, "lr": lr, "seed": seed}
        self._heldout, self._images, self._style = heldout, images, style

    def carry_out(self, name: str) -> None:
        """Train and measure, where that has not been done. InputError where trials in the folder
        had other settings."""
        folder, trial = self._folder(name), TRIALS[name]
        keep_settings(self.out, {"pool": str(self.pool), **self._options})
        if kept(folder):
            return
        chunks = len(list(Path(self.pool).glob("*.npz")))
        if not chunks:
            raise InputError(f"{self.pool} holds no chunk: training.fast.render writes them")
        print(f"{name}: {self.steps} steps", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        base = tiny = Path(find_checkpoint("tiny").model)
        if trial.base:
            base = folder / "base"
            trial.base(tiny, base)
        options = Options(
            pool=self.pool,
            out=str(folder / "run"),
            base=str(base),
            capacity=CHUNK * chunks,
            last_only=True,
            **self._options,
        )
        begun = spent()
        Trainer(options, trial.recipe).run()
        seconds = spent() - begun
        made = finish(folder / "run/mean_100.safetensors", base, folder / "checkpoint")
        keep(folder, {"seconds": seconds, "sets": self._measured(str(made))})

    def measure_shipped(self) -> None:
        """Measure the embedded checkpoint, where that has not been done: before anything is
        trained, since it fails where a set or the style cannot be asked."""
        styles = list(find_checkpoint("tiny").wording)
        if self._style not in styles:
            raise InputError(
                f"--style is '{self._style}', allowed: {', '.join(styles)}; what is trained has no"
                " dense head"
            )
        measured = {"heldout": self._heldout, "images": self._images, "style": self._style}
        keep_settings(self.out, measured)
        if not (self.out / SHIPPED).exists():
            write_json(self.out / SHIPPED, {"seconds": 0.0, "sets": self._measured("tiny")})

    def results(self) -> dict:
        """name -> {"seconds", "sets"}, of those that have run; "as shipped" has no seconds."""
        shipped = json.loads((self.out / SHIPPED).read_text())
        found = {name: kept(self._folder(name)) for name in TRIALS}
        return {"as shipped": shipped, **{name: one for name, one in found.items() if one}}

    def scenes(self) -> dict[str, np.ndarray]:
        """Records that are measured on -> number of the scene of each image."""
        return {
            place: scene_numbers([record.scene for record in self._records(place)])
            for place in self._heldout
            if not Path(place).is_dir()
        }

    def _folder(self, name: str) -> Path:
        return self.out / name.replace(" ", "_")

    def _measured(self, checkpoint: str) -> dict:
        """set -> {"raw", "aligned"}: delta1 of each image."""
        predictor = load_predictor(checkpoint, warm_up=False)
        found = {place: _of_images(self._points(place, predictor)) for place in self._heldout}
        predictor.close()
        return found

    def _points(self, place: str, predictor) -> Points:
        if Path(place).is_dir():
            count = min(self._images, len(Shards(place)))
            return answered(predictor, self._style, questions(count, PIXELS, shards=place))
        return evaluate(self._records(place), PredictorAnswers(predictor, self._style))

    def _records(self, place: str) -> list[Record]:
        records = Records(place)
        return [records[number] for number in evenly_spread(len(records), self._images)]


def _of_images(points: Points) -> dict:
    hits = {"raw": points.answer_m, "aligned": aligned(points)}
    counts = np.bincount(points.image)
    return {
        name: (np.bincount(points.image, delta1(metres, points.label_m)) / counts).tolist()
        for name, metres in hits.items()
    }


def table(results: dict, scenes: dict[str, np.ndarray], markdown: bool = False) -> str:
    """What trials brought, beside the recipe as it is. scenes: set -> number of the scene of each
    image; of sets that are not named each image is one."""
    control = results.get(CONTROL, {}).get("sets", {})
    sets = list(dict.fromkeys(place for one in results.values() for place in one["sets"]))
    columns = ["run", "seconds"]
    for place in sets:
        columns += [f"{place}: delta1", "difference", "aligned", "difference"]
    rows = []
    for name, one in results.items():
        cells = [name, f"{one['seconds']:.0f}" if one["seconds"] else ""]
        for place in sets:
            for measure in ("raw", "aligned"):
                values = one["sets"][place][measure]
                cells += [f"{np.mean(values):.3f}", ""]
                if name != CONTROL and place in control:
                    gains = np.subtract(values, control[place][measure])
                    cells[-1] = signed(mean_with_interval(gains, scenes.get(place)))
        rows.append(cells)
    return text_table(columns, rows, left=(0,), markdown=markdown)


def main(arguments: list | None = None) -> None:
    """The command line."""
    parser = parser_of("training.tools.trials", __doc__)
    parser.add_argument("--pool", required=True, help="folder of training.fast.render")
    parser.add_argument("--heldout", nargs="+", required=True, help="sets to measure on")
    parser.add_argument("--out", default="runs/trials", help="folder of the trials")
    parser.add_argument(
        "--steps", type=from_zero, default=300, help="of a trial; 0: only the table"
    )
    parser.add_argument("--batch", type=count, default=16, help="images a step (default 16)")
    parser.add_argument("--lr", type=positive, default=5e-4, help="largest rate (default 5e-4)")
    parser.add_argument("--images", type=count, default=105, help="of each set (default 105)")
    parser.add_argument("--style", default="position", help="asked in (default position)")
    parser.add_argument("--seed", type=from_zero, default=1)
    parser.add_argument(
        "--trials", nargs="*", choices=TRIALS, default=list(TRIALS), metavar="NAME"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    given = vars(parser.parse_args(arguments))
    chosen, markdown = given.pop("trials"), given.pop("markdown")
    with errors_told("training.tools.trials"):
        trials = Trials(**given)
        trials.measure_shipped()
        for name in chosen if trials.steps else ():
            trials.carry_out(name)
        print(table(trials.results(), trials.scenes(), markdown))


if __name__ == "__main__":
    main()
