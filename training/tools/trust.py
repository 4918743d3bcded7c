# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tell a dense head of type encoder which images its language model may be trusted on.

    python -m training.tools.trust runs/tiny_dense runs/tiny_trust \\
        --trusted shards/furnished shards/road --hidden nyu/train.jsonl photographs/train.jsonl

Writes the checkpoint with another share of trust: the logistic regression, by what the head's
encoder sees of a whole image, that tells images of kinds that the language model has learnt
(--trusted) from others (--hidden), which the head was shown without its states in training.
Every data set counts alike, and so do both sides. All other weights stay as they are; intervals
are to be calibrated anew.

Learnt along with the rest (`swapped` of a recipe), the share follows an encoder that changes under
it, and ends where the last steps leave it; fitted afterwards it is where it belongs.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from depthlm_ros.checkpoints import HEAD_PREFIX
from depthlm_ros.cli.values import count
from depthlm_ros.dense.head import EncoderHead
from depthlm_ros.dense.predictor import DensePredictor
from depthlm_ros.errors import InputError
from depthlm_ros.predict import load_predictor
from training.config import DataEntry
from training.data.shards import Shot
from training.data.sources import evenly_spread, opened
from training.run.base import derived, find_base
from training.run.commands import errors_told, parser_of

PENALTY = 5e-4  # of the squared weights, where what the encoder sees has a deviation of 1
STEPS = 300


def head_of(predictor) -> EncoderHead:
    """The head of a checkpoint; InputError where it has none of type encoder."""
    head = predictor.engine.model.head if isinstance(predictor, DensePredictor) else None
    if not isinstance(head, EncoderHead):
        raise InputError(
            f"checkpoint '{predictor.checkpoint.name}' has no dense head of type encoder, which"
            " alone tells distances without the states of a language model"
        )
    return head


def looked_at(predictor, path: str, most: int) -> torch.Tensor:
    """(images, channels) what the head's encoder sees of at most `most` images of a folder of
    shards or a file of records, averaged over each."""
    is_folder = Path(path).is_dir()
    (part,) = opened([DataEntry(shards=path) if is_folder else DataEntry(records=path)])
    seen: list[torch.Tensor] = []
    trust = head_of(predictor).trust
    hook = trust.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    found = []
    try:
        for number in evenly_spread(len(part.items), most):
            item = part.items[number]
            seen.clear()
            predictor.map(item.frame if isinstance(item, Shot) else item.frame())
            found.append(torch.cat(seen).mean(0))  # an image may take several windows
    finally:
        hook.remove()
    return torch.stack(found)


def fitted(
    trusted: Sequence[torch.Tensor], hidden: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(weight (1, channels), bias (1,)) of the logit of the share; data sets [(images, channels)]
    of both kinds."""
    seen = torch.cat([*trusted, *hidden]).double()
    share = torch.cat(
        [torch.full((len(one),), 0.5 / len(one) / len(s)) for s in (trusted, hidden) for one in s]
    ).double()
    wanted = torch.cat([torch.ones(sum(map(len, trusted))), torch.zeros(sum(map(len, hidden)))])
    middle, spread = seen.mean(0), seen.std(0) + 1e-4
    weight = torch.zeros(1, seen.shape[1], dtype=torch.double, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        logits = F.linear((seen - middle) / spread, weight, bias)[:, 0]
        off = F.binary_cross_entropy_with_logits(logits, wanted.double(), reduction="none")
        total = (share * off).sum() + PENALTY * weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    own = weight.detach() / spread
    return own.float(), (bias.detach() - (own * middle).sum()).float()


def main(arguments=None) -> None:
    """The command line."""
    parser = parser_of("training.tools.trust", __doc__)
    parser.add_argument("base", help="tiny, a run's folder or a checkpoint's, with a dense head")
    parser.add_argument("out", type=Path, help="the new folder")
    for name, what in (("trusted", "on which the model is trusted"), ("hidden", "on which not")):
        parser.add_argument(
            f"--{name}", nargs="+", required=True, metavar="DATA", help=f"shards or .jsonl, {what}"
        )
    parser.add_argument("--most", type=count, default=200, help="images of each (200)")
    given = parser.parse_args(arguments)
    with errors_told("training.tools.trust"):
        base = find_base(given.base)
        predictor = load_predictor(str(base))
        sides = {"trusted": given.trusted, "hidden": given.hidden}
        seen = {
            side: [looked_at(predictor, path, given.most) for path in paths]
            for side, paths in sides.items()
        }
        weight, bias = fitted(**seen)
        with derived(base, given.out) as making:
            for path in (base / "config.json", *base.glob("model*")):
                shutil.copyfile(path, making / path.name)
            for path in making.glob("model*.safetensors"):
                _write(path, {"weight": weight, "bias": bias})
        before = head_of(predictor).trust
        for side, paths in sides.items():
            for path, images in zip(paths, seen[side], strict=True):
                old, new = before(images), F.linear(images, weight, bias)
                shares = [f"{logits.sigmoid().mean():.2f}" for logits in (new, old)]
                print(f"{side:8} {path}: {shares[0]} on average, {shares[1]} before")


def _write(path: Path, values: dict[str, torch.Tensor]) -> None:
    """Put these values of the share into the file of weights that holds it."""
    found = load_file(path)
    for name, value in values.items():
        full = f"{HEAD_PREFIX}trust.{name}"
        if full in found:
            found[full] = value.to(found[full].dtype)
    save_file(found, path, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
