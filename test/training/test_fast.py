# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""training.fast says, sees and learns what training.sft does, only faster: tokens, positions,
targets and masks of the collator, states and losses of the student, steps of torch's Muon; and its
command line makes a checkpoint that answers."""

import json
import shutil
import sys
from dataclasses import replace
from functools import partial
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import HEAD_PREFIX, TINY, find_checkpoint
from depthlm_ros.engines.progress import silent
from depthlm_ros.errors import InputError, MissingDependency
from depthlm_ros.models.loading import load_parts
from depthlm_ros.models.memory import free_bytes
from depthlm_ros.models.weights import read_weights
from depthlm_ros.predict import load_predictor
from depthlm_ros.view import Frame, View
from training import synthetic
from training.data.collate import Collator
from training.data.examples import Dense
from training.data.rows import Asked, Row
from training.data.shards import Shot, write_shard
from training.fast import __main__ as fast
from training.fast import finish, render, trainer
from training.fast.lesson import Lesson
from training.fast.muon import Muon
from training.fast.pool import IMAGE_BYTES, Pool, capacity_of, cut, patches
from training.fast.recipe import Recipe
from training.fast.teacher import WIDTH
from training.model import Student
from training.tools.grow import grow

SIZE = 96, 128  # height, width
ASKED = "marker", "position", "coordinates"
WEIGHTS = {"text": 0.25, "dense": 2.5, "locate": 1.0}
PER_ROW = "rows", "corner", "extent", "mirrored", "zoom", "images"


def _shot(seed, focal=render.STORED_PX, width=240, height=180):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    metres = rng.uniform(0.5, 20, (height, width)).astype(np.float32)
    metres[:20] = np.nan
    camera = Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
    return Shot(Frame(image, camera), metres, seed, "noise")


@pytest.fixture(scope="module")
def parts():
    return load_parts(find_checkpoint("tiny"))


@pytest.fixture(scope="module")
def student(parts):
    torch.manual_seed(0)
    cpu = torch.device("cpu")
    checkpoint = find_checkpoint("tiny")
    return Student(read_weights(checkpoint, parts.config, torch.float32, cpu, silent).train())


@pytest.fixture
def pool(tmp_path):
    render.write_chunk(tmp_path / "noise_0.npz", [_shot(i) for i in range(4)], "noise")
    made = Pool(torch.device("cpu"), 8)
    assert made.read(tmp_path) == 4
    return made


def _views(pool, count=3):
    return cut(pool, torch.arange(count), count, SIZE, 200.0, 32, None)


def _batch(lesson, views, parts, asked):
    """The same questions as the collator makes them. Records what the lesson asks."""
    seen = []
    plain = lesson._pixels

    def listening(style, count, size):
        pixels = plain(style, count, size)
        seen.append((style, pixels))
        return pixels

    lesson._pixels = listening
    found = lesson.losses(views, asked)
    lesson._pixels = plain
    rows = []
    for i in range(len(views.rows)):
        image = (views.images[i].permute(1, 2, 0) * 255).round().byte().numpy()
        camera = Camera(SIZE[1], SIZE[0], 200.0, 200.0, SIZE[1] / 2, SIZE[0] / 2)
        view = View(image, camera, Frame(image, camera), (1.0, 1.0))
        picked = replace(views, **{n: getattr(views, n)[i : i + 1] for n in PER_ROW})
        questions, shown = [], image
        for style, pixels in seen:
            asker = parts.checkpoint.asker(style)
            pixel = tuple(int(x) for x in pixels[i])
            place = (torch.tensor([[float(x)]]) for x in pixel)
            metres = float(picked.log_metres(*place).exp())
            questions.append(Asked(asker, asker.question(view, pixel), metres))
            if style == "marker":
                shown = asker.image(view, pixel)
        v, u = np.mgrid[: SIZE[0], : SIZE[1]]
        flat = (torch.from_numpy(x.reshape(1, -1)).float() for x in (u, v))
        metres = picked.log_metres(*flat).exp().view(SIZE).numpy()
        example = Dense(view.frame, metres, f"row {i}")
        rows.append(Row(example, view, shown, tuple(questions), WEIGHTS))
    return found, Collator(parts)(rows)


def test_losses_are_those_of_the_collator_and_the_student(pool, parts, student):
    lesson = Lesson(student, parts, torch.device("cpu"), Recipe(weights=WEIGHTS))
    views = _views(pool)
    views.images = (views.images * 255).round() / 255
    views.pool.metres[torch.isnan(views.pool.metres)] = 0
    views.pool.metres[views.pool.metres == 0] = 3.0  # the student asks only what is known
    found, batch = _batch(lesson, views, parts, ASKED)
    expected = student(**batch)
    for name in ("text", "dense", "locate"):
        assert found[name].item() == pytest.approx(expected[f"{name}_loss"].item(), rel=2e-4)
    assert found["loss"].item() == pytest.approx(expected["loss"].item(), rel=2e-4)


def test_a_teacher_costs_how_far_its_features_are_from_what_tokens_tell(
    pool, parts, student, monkeypatch
):
    told = torch.nn.functional.normalize(torch.randn(3, 12, WIDTH), dim=-1)
    seen = []

    class Known:
        def __init__(self, device):
            pass

        def features(self, images, grid):
            seen.append((images.clone(), grid))
            return told

    monkeypatch.setattr("training.fast.lesson.Teacher", Known)
    monkeypatch.setitem(student.heads._modules, "teacher", torch.nn.Linear(160, WIDTH))
    torch.nn.init.zeros_(student.heads["teacher"].weight)
    student.heads["teacher"].bias.data[:] = 2 * told[1, 5]
    lesson = Lesson(student, parts, torch.device("cpu"), Recipe(weights={"teacher": 3.0}))
    views = _views(pool)
    found = lesson.losses(views, ("marker",))
    assert found["teacher"].item() == pytest.approx(
        1 - (told @ told[1, 5]).mean().item(), rel=1e-5
    )
    assert found["loss"].item() == pytest.approx(3 * found["teacher"].item())
    ((images, grid),) = seen
    assert grid == (3, 4) and torch.equal(images, views.images)  # without the marker


def test_a_teacher_that_is_not_installed_is_named(parts, student, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingDependency, match="efficientnet-lite-pytorch"):
        Lesson(student, parts, torch.device("cpu"), Recipe(weights={"teacher": 1.0}))


def test_a_place_without_a_distance_is_asked_with_no_weight(pool, parts, student):
    lesson = Lesson(student, parts, torch.device("cpu"), Recipe(weights=WEIGHTS))
    pool.metres[:] = 0
    found = lesson.losses(_views(pool), ASKED)
    assert [found[name].item() for name in ("text", "dense", "locate")] == [0, 0, 0]


def test_patches_are_those_of_the_image_processor(parts):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    values = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    found = patches(values, parts.vision.patch, parts.vision.merge)[0]
    stock = parts.vision.prepare([image]).tensors["pixel_values"]
    assert torch.allclose(found, stock, atol=1e-6)


def test_a_zoomed_view_shows_a_smaller_part_whose_things_keep_their_size_across(pool):
    torch.manual_seed(1)
    views = cut(pool, torch.arange(4).repeat(8), 32, SIZE, 200.0, 32, Recipe())
    assert views.zoom.min() >= 0.8 and views.zoom.max() <= 1.25
    assert 4 < len(views.zoom.unique()) < 32
    wide = SIZE[1] * 1.25 / views.zoom
    assert ((views.extent[:, 1] / wide - 1).abs() < 0.051).all()
    at = torch.tensor([[40.0]]).expand(32, 1)
    u = torch.where(views.mirrored[:, None], SIZE[1] - 1 - at, at)
    x = views.corner[:, 1] + (at[:, 0] + 0.5) * views.extent[:, 1] / SIZE[1]
    y = views.corner[:, 0] + (at[:, 0] + 0.5) * views.extent[:, 0] / SIZE[0]
    stored = pool.metres[views.rows, y.long(), x.long()].float()
    assert torch.equal(views.log_metres(u, at).exp().nan_to_num()[:, 0] > 0, stored > 0)
    found, known = views.log_metres(u, at).exp()[:, 0], stored > 0
    slopes = (torch.stack([x, y], 1) - torch.tensor([120.0, 90.0])) / render.STORED_PX
    wide = _across(found, slopes * views.zoom[:, None])
    assert torch.allclose(wide[known], _across(stored, slopes)[known], rtol=1e-4)


def _across(metres, slopes):
    """(N, 2) metres right of and below the axis of what is at distances (N,) along rays with
    slopes (N, 2)."""
    return metres[:, None] * slopes / (1 + (slopes**2).sum(1, keepdim=True)).sqrt()


def test_an_image_of_the_size_that_the_predictor_makes_of_it_is_often_shown_whole(pool):
    torch.manual_seed(2)
    size = 128, 192  # what 144 x 192 at 200 px is snapped to
    views = cut(pool, torch.arange(4).repeat(16), 64, size, 200.0, 32, Recipe())
    whole = (views.extent == torch.tensor([180.0, 240.0])).all(1)
    assert 0.3 < whole.float().mean() < 0.7
    assert (views.zoom[whole] == 1).all() and (views.corner[whole] == 0).all()
    measured = cut(pool, torch.arange(4), 4, size, 200.0, 32, None)
    assert (measured.extent == torch.tensor([180.0, 240.0])).all()


def test_what_is_stored_has_one_focal_length_and_its_own_distances():
    image, metres = render.stored(_shot(0, focal=500.0, width=240, height=180))
    assert image.shape == (90, 120, 3)
    assert metres[:9].max() == 0  # unknown stays unknown
    assert metres[30, 40] == pytest.approx(_shot(0).distance_m[60, 80], rel=1e-3)


def test_muon_steps_as_torch_does():
    torch.manual_seed(0)
    shapes = [(8, 5), (5, 8), (8, 5), (6, 6)]
    one = [torch.nn.Parameter(torch.randn(s)) for s in shapes]
    two = [torch.nn.Parameter(p.detach().clone()) for p in one]
    begun = [p.detach().clone() for p in one]
    stock = torch.optim.Muon(
        two, lr=1e-2, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    ours = Muon(one, weight_decay=0.02)
    for _ in range(3):
        for a, b in zip(one, two, strict=True):
            a.grad = torch.randn(a.shape)
            b.grad = a.grad.clone()
        ours.step(1e-2)
        stock.step()
    for a, b, start in zip(one, two, begun, strict=True):
        assert torch.allclose(a, b, atol=1e-3)
        assert (b - start).abs().max() > 5e-3


def test_what_is_rendered_is_what_the_renderer_draws_and_held_out_is_its_own_split():
    for held_out, split in ((False, "train"), (True, "heldout")):
        found = render.drawn("boxes", "", 3, held_out)
        assert np.array_equal(found.frame.image, synthetic.shot(3, split).frame.image)


def test_what_is_rendered_follows_what_the_assets_hold(tmp_path):
    assert set(render.SHARES) | {render.REAL} == set(Recipe().sources)
    assert sum(render.SHARES.values()) == pytest.approx(1)
    assert render.sources_of("") == ["boxes", "road"]
    for category, lacking in (("Living room", {"things"}), ("Scans", set())):
        (tmp_path / "models.json").write_text(json.dumps({"models": [{"category": category}]}))
        assert set(render.sources_of(tmp_path)) == set(render.SHARES) - lacking


def test_records_with_depth_images_are_split_by_blocks(tmp_path):
    import cv2

    lines = []
    for number in (1, 19, 141, 159, 161):
        cv2.imwrite(str(tmp_path / f"{number:04d}.jpg"), np.full((60, 80, 3), 99, np.uint8))
        cv2.imwrite(str(tmp_path / f"{number:04d}.png"), np.full((60, 80), 2000, np.uint16))
        names = {"image": f"{number:04d}.jpg", "depth_path": f"{number:04d}.png"}
        lens = [50.0, 50.0, 39.5, 29.5, 80, 60]
        lines.append(names | {"depth_scale": 1000, "kind": "z", "intrinsics": lens})
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    render.write_records(tmp_path / "pool", path, 8)
    kept, held = (
        np.load(tmp_path / "pool" / name / "real_000000.npz") for name in ("", "heldout")
    )
    assert (len(kept["size"]), len(held["size"])) == (3, 2)
    height, width = kept["size"][0]
    corner = float(kept["metres"][0, 0, 0])
    assert (height, width) == (300, 400)
    assert corner == pytest.approx(2 * np.hypot(1, np.hypot(39.5, 29.5) / 50), rel=0.01)
    assert float(kept["metres"][0, 150, 200]) == pytest.approx(2.0, rel=1e-2)


def test_minutes_of_training_make_a_checkpoint_that_answers(tmp_path, monkeypatch):
    clock = count(step=0.75)  # so that a busy processor makes as many steps as an idle one
    monkeypatch.setattr(
        trainer, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=None)
    )
    monkeypatch.setattr(trainer, "TOLD_S", 0.5)
    monkeypatch.setattr(fast, "Recipe", partial(Recipe, sizes={SIZE: 1.0}))
    pool = tmp_path / "pool"
    render.write_chunk(_folder(pool) / "road_0.npz", [_shot(i) for i in range(8)], "road")
    render.write_chunk(_folder(pool / "heldout") / "road.npz", [_shot(9)], "road")
    given = f"--pool {pool} --out {tmp_path / 'run'} --minutes 0.1 --batch 2 --capacity 16"
    fast.main(given.split())
    lines = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["saved"] == 1.0
    assert {"road", "road text"} == lines[-1]["held_out"].keys()
    assert all(np.isfinite(line["loss"]) for line in lines if "loss" in line)
    made = finish.finish(tmp_path / "run/mean_100.safetensors", "tiny", tmp_path / "made")
    shot = _shot(1)
    predictor = load_predictor(str(made), warm_up=False)
    before = load_predictor("tiny", warm_up=False)
    for style in predictor.checkpoint.wording:
        answer, earlier = (
            p.ranges(shot.frame, [(90, 90)], style=style) for p in (predictor, before)
        )
        assert 0.05 < answer.distance_m[0] < 200
        assert answer.distance_m[0] != earlier.distance_m[0]


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """The weights of an untrained model with two vision blocks more than the embedded checkpoint,
    as a run writes them."""
    folder = tmp_path_factory.mktemp("deep")
    grown = load_file(grow("tiny", folder / "base", 10) / "model.safetensors")
    kept = {name: value for name, value in grown.items() if not name.startswith(HEAD_PREFIX)}
    save_file(kept, folder / "deep.safetensors")
    return folder / "deep.safetensors"


def test_weights_of_another_model_are_not_finished(deep, tmp_path):
    """Those of a deeper one have all that the base has, and would lose their further blocks."""
    half = tmp_path / "half.safetensors"
    half.write_bytes(deep.read_bytes()[:1000])
    for weights in (deep, half, tmp_path / "none.safetensors"):
        with pytest.raises(SystemExit, match=weights.name):
            finish.main([str(weights), "--base", "tiny", "--out", str(tmp_path / "made")])
    assert [path.name for path in tmp_path.iterdir()] == ["half.safetensors"]


def test_a_checkpoint_that_could_not_be_written_leaves_nothing(deep, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(finish, "save_file", full)
    with pytest.raises(SystemExit, match="space"):
        finish.main([str(deep), "--base", str(deep.parent / "base"), "--out", str(tmp_path / "a")])
    assert not list(tmp_path.rglob("*.making"))


@pytest.mark.parametrize(
    "option", ["--minutes 0", "--minutes -1", "--minutes nan", "--lr -1", "--lr nan", "--lr inf"]
)
def test_times_and_rates_that_cannot_be_are_refused(option, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        fast.main(f"--pool {tmp_path} --out {tmp_path / 'run'} {option}".split())
    assert option.split()[0] in capsys.readouterr().err


def test_a_run_that_cannot_be_is_refused_before_it_begins(tmp_path, capsys):
    pool, out = _folder(tmp_path / "pool"), tmp_path / "run"
    common = f"--out {out} --steps 1 --batch 2 --capacity 8"
    with pytest.raises(SystemExit, match="nowhere"):
        fast.main(f"--pool {tmp_path / 'nowhere'} {common}".split())
    (pool / "road_000000.npz").write_bytes(b"half of a chunk")
    with pytest.raises(SystemExit, match=str(pool)):
        fast.main(f"--pool {pool} {common}".split())
    assert "road_000000.npz" in capsys.readouterr().out
    (_folder(out) / "log.jsonl").write_text("{}\n")
    with pytest.raises(SystemExit, match="--out"):
        fast.main(f"--pool {pool} {common}".split())
    assert [path.name for path in out.iterdir()] == ["log.jsonl"]


def test_a_pool_that_stays_empty_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "LONGEST_WAIT_S", 0.1)
    given = f"--pool {tmp_path} --out {tmp_path / 'run'} --steps 1 --capacity 8"
    with pytest.raises(SystemExit, match=r"training\.fast\.render"):
        fast.main(given.split())


@pytest.mark.parametrize(("architecture", "named"), [("qwen2_5_vl", "qwen2_5_vl"), ("", "marker")])
def test_a_base_of_another_kind_is_refused(base_of, parts_of, architecture, named, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(base_of(architecture) if architecture else TINY, base)
    if architecture:
        parts_of(architecture).checkpoint.write(base)
    else:
        entry = json.loads((base / "depthlm.json").read_text())
        del entry["wording"]["marker"]
        (base / "depthlm.json").write_text(
            json.dumps(entry | {"style": "position", "grid_style": "position"})
        )
    given = f"--base {base} --pool {tmp_path} --out {tmp_path / 'run'} --capacity 8"
    with pytest.raises(SystemExit, match=named):
        fast.main(given.split())


def test_weights_that_are_no_numbers_are_never_written(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "TOLD_S", -1.0)
    monkeypatch.setattr(fast, "Recipe", partial(Recipe, sizes={SIZE: 1.0}))
    pool, out = _folder(tmp_path / "pool"), tmp_path / "run"
    render.write_chunk(pool / "road_000000.npz", [_shot(i) for i in range(2)], "road")
    given = f"--pool {pool} --out {out} --steps 6 --batch 1 --capacity 8 --lr 1e9"
    with pytest.raises(SystemExit, match="--lr"):
        fast.main(given.split())
    for path in out.glob("mean_*"):
        assert all(value.isfinite().all() for value in load_file(path).values())
    assert not (out / "mean_100.safetensors").exists() and not list(out.glob("*.part"))
    for line in (out / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_a_chunk_that_is_not_whole_is_told_and_left_out(tmp_path, capsys):
    render.write_chunk(tmp_path / "road_000000.npz", [_shot(0)], "road")
    whole = (tmp_path / "road_000000.npz").read_bytes()
    (tmp_path / "road_000001.npz").write_bytes(whole[:-5000])
    write_shard(tmp_path / "train_0000000_1.npz", [_shot(1)])
    pool = Pool(torch.device("cpu"), 8)
    assert pool.read(tmp_path) == 1
    told = capsys.readouterr().out
    assert "road_000001.npz" in told and "train_0000000_1.npz" in told
    assert pool.read(tmp_path) == 0 and not capsys.readouterr().out  # and only once


def test_a_full_pool_has_images_of_every_source(tmp_path, capsys):
    for source in ("boxes", "real", "wider"):
        for number in range(3):
            path = tmp_path / f"{source}_{number:06d}.npz"
            render.write_chunk(path, [_shot(number)] * 2, source)
    pool = Pool(torch.device("cpu"), 7)
    assert pool.read(tmp_path) == 7
    assert {source: len(rows) for source, rows in pool.rows.items()} == {
        "boxes": 3,
        "real": 2,
        "wider": 2,
    }
    assert "7 images" in capsys.readouterr().out


def test_a_pool_of_what_the_recipe_does_not_show_is_refused(pool):
    with pytest.raises(InputError, match="noise"):
        pool.draw(1, Recipe().sources, np.random.default_rng(0))


def test_records_are_not_mixed_with_those_that_a_pool_has(tmp_path):
    """What is held out of one file would be trained on from another."""
    (tmp_path / "real_000000.npz").write_bytes(b"")
    (tmp_path / "some.jsonl").write_text("")
    with pytest.raises(SystemExit, match=r"real_000000\.npz"):
        render.main(["--out", str(tmp_path), "--records", str(tmp_path / "some.jsonl")])


def test_a_renderer_that_fails_fails_the_command(tmp_path):
    (tmp_path / "models.json").write_text("{}")
    pool = tmp_path / "pool"
    with pytest.raises(SystemExit, match="see above"):
        render.main(["--out", str(pool), "--assets", str(tmp_path), "--count", "1"])
    with pytest.raises(SystemExit, match=r"models\.json"):
        render.main(["--out", str(pool), "--assets", str(pool)])


def test_a_renderer_ends_with_whoever_started_it(tmp_path, monkeypatch):
    for source in ("boxes", "road"):
        (_folder(tmp_path / "heldout") / f"{source}_heldout.npz").write_bytes(b"")
    gone = SimpleNamespace(is_alive=lambda: False)
    monkeypatch.setattr(render.multiprocessing, "parent_process", lambda: gone)
    monkeypatch.setattr(render, "CHUNK", 1)
    render.render_chunks(str(tmp_path), "", 0, 1, 1)
    assert not list(tmp_path.glob("*.npz"))


def test_a_chunk_that_could_not_be_written_leaves_nothing(tmp_path, full_disk):
    with pytest.raises(OSError, match="space"):
        render.write_chunk(tmp_path / "road_000000.npz", [_shot(0)], "road")
    assert not list(tmp_path.iterdir())


def test_a_pool_that_memory_cannot_hold_is_refused_and_never_begun(tmp_path):
    """The kernel would kill the process, without a word."""
    given = f"--pool {tmp_path} --out {tmp_path / 'run'} --capacity 99000000"
    with pytest.raises(SystemExit, match="--capacity"):
        fast.main(given.split())
    assert not (tmp_path / "run").exists()
    default = capacity_of(torch.device("cpu"), None)
    free = free_bytes(torch.device("cpu"))
    assert 0 < default <= 45_000 and default * IMAGE_BYTES < 0.6 * free


def _folder(path):
    path.mkdir(parents=True, exist_ok=True)
    return path
