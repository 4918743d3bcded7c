# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Training: what a row asks, where the loss falls, and that packing changes nothing."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint, from_folder
from depthlm_ros.errors import InputError
from depthlm_ros.question import POINT, PositionStyle
from depthlm_ros.view import Frame
from training import fresh, sft
from training.collate import Collator, question_mask
from training.rows import QuestionRows, make_row, varied
from training.shards import Shot, write_shard
from training.student import Student

WORDING = {"marker": "tags", "coordinates": "tags", "position": "number"}
ROW = Checkpoint(
    "t", "", "qwen3_vl", 100.0, "marker", "position", WORDING, marker_scale=2, licence="none"
)
SHAPE = {"width": 48, "heads": 2, "layers": 2, "mlp": 64}
ALL = {"position": 3, "coordinates": 2, "marker": 1}


def shot(seed=0, width=130, height=100):
    """Noise in front of a tilted plane: enough for shapes and labels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (height, width, 3), np.uint8)
    camera = Camera(width, height, 110.0, 110.0, width / 2, height / 2)
    distance = np.tile(np.linspace(1, 5 + seed, height, dtype=np.float32)[:, None], (1, width))
    return Shot(Frame(image, camera), distance, seed, "plane")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.manual_seed(0)
    return fresh.build(tmp_path_factory.mktemp("base"), **SHAPE)


@pytest.fixture(scope="module")
def collator(base):
    return Collator(AutoTokenizer.from_pretrained(base), AutoImageProcessor.from_pretrained(base))


@pytest.fixture
def student(base):
    torch.manual_seed(0)
    return Student(AutoModelForImageTextToText.from_pretrained(base), {"text": 1.0})


def test_a_mirrored_shot_keeps_the_ray_and_distance_of_what_it_shows():
    one = shot(0)
    one = replace(one, frame=Frame(one.frame.image, replace(one.frame.camera, cx=60.0)))
    one.distance_m[40, 30] = 7.0
    turned = one.mirrored()
    u = 129 - 30
    assert turned.distance_m[40, u] == 7.0
    assert (turned.frame.image[40, u] == one.frame.image[40, 30]).all()
    ray, other = one.frame.camera.rays([(30, 40)])[0], turned.frame.camera.rays([(u, 40)])[0]
    assert np.allclose(other, ray * (-1, 1, 1))


def test_variation_changes_colours_but_no_distance_and_half_of_the_pictures_are_mirrored():
    one = shot(0)
    one.distance_m[:, :65] += 1
    found = [varied(one, np.random.default_rng(seed)) for seed in range(40)]
    for each in found:
        ways = one.distance_m, one.distance_m[:, ::-1]
        assert any(np.array_equal(each.distance_m, way) for way in ways)
    assert 10 < sum(each.distance_m[0, 0] < 1.5 for each in found) < 30
    assert all((f.frame.image != one.frame.image).mean() > 0.2 for f in found)


def test_rows_depend_on_seed_and_index_only():
    def drawn(seed):
        rows = QuestionRows([shot(0), shot(1)], 2, ROW, ALL, seed, 5)
        return [(a.question, a.metres) for a in rows[3].asked]

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_row_knows_the_true_distance_of_the_pixel_it_asks():
    row = make_row(shot(), ROW, ALL, np.random.default_rng(0))
    for asked in row.asked:
        v = int((asked.question.pixel[1] + 0.5) / row.view.scale[1])
        assert asked.metres == pytest.approx(1 + 4 * v / 99, abs=1e-5)


def test_an_arrow_is_drawn_for_marker_questions_only():
    rng = np.random.default_rng(0)
    plain = make_row(shot(), ROW, {"position": 3}, rng)
    marked = make_row(shot(), ROW, {"marker": 1}, rng)
    assert np.array_equal(plain.image, plain.view.image)
    assert (marked.image != marked.view.image).any(axis=2).sum() == 9 * 2**2


def test_unknown_distances_are_never_asked():
    blind = shot()
    blind.distance_m[:60] = np.nan
    for index in range(5):
        row = QuestionRows([blind], 1, ROW, ALL, 0, 5)[index]
        assert all(np.isfinite(a.metres) for a in row.asked)


def test_the_loss_falls_on_the_answer_and_the_end_only(collator):
    row = make_row(shot(), ROW, ALL, np.random.default_rng(0))
    batch = collator([row])
    trained = batch["input_ids"][0][batch["targets"][:, 1]]
    answers = "".join(a.answer + "<|im_end|>" for a in row.asked)
    assert collator.tokenizer.decode(trained) == answers


def test_the_token_that_points_stands_at_the_pixel(collator):
    row = make_row(shot(), ROW, {"position": 1}, np.random.default_rng(0))
    batch = collator([row])
    point = collator.tokenizer.convert_tokens_to_ids(POINT)
    where = batch["input_ids"][0] == point
    picture = batch["input_ids"][0] == collator.image_id
    start = batch["position_ids"][1:, 0, picture].amin()
    grid = collator.grid(batch["image_grid_thw"][0])
    expected = PositionStyle.place(row.view, row.asked[0].question.pixel, grid)
    assert where.sum() == 1
    got = batch["position_ids"][1:, 0, where][:, 0] - start
    assert got.tolist() == pytest.approx(expected, abs=1e-5)


def test_questions_do_not_see_each_other():
    mask = question_mask(torch.tensor([[0.0, 0, 1, 1, 2, -1]]))[0, 0]
    assert mask.int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]


def _gradient(student, batch):
    student.zero_grad()
    loss = student(**batch)["loss"]
    loss.backward()
    layer = student.model.model.language_model.layers[0]
    return loss.item(), layer.mlp.up_proj.weight.grad.clone()


def test_packed_questions_equal_separate_runs(collator, student):
    rows = [make_row(shot(s), ROW, {"position": 3, "coordinates": 2}, np.random.default_rng(s))
            for s in (0, 1)]
    packed, gradient = _gradient(student, collator(rows))
    alone = [_gradient(student, collator([replace(r, asked=(a,))])) for r in rows for a in r.asked]
    assert packed == pytest.approx(np.mean([loss for loss, _ in alone]), rel=1e-5)
    assert torch.allclose(gradient, sum(g for _, g in alone) / len(alone), atol=1e-6)
    assert gradient.abs().max() > 1e-3


def test_a_batch_is_learnt_by_heart(collator, student):
    student.weights = {"text": 0.2, "dense": 1.0, "locate": 0.5}
    batch = collator([make_row(shot(s), ROW, ALL, np.random.default_rng(s)) for s in range(2)])
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        told = student(**batch)
        losses.append({k: v.item() for k, v in told.items()})
        optimizer.zero_grad()
        told["loss"].backward()
        optimizer.step()
    for name in ("text_loss", "dense_loss"):
        assert losses[-1][name] < 0.4 * losses[0][name], name


def test_the_tokenizer_keeps_digits_single_and_sentences_short(collator):
    tok = collator.tokenizer
    assert tok.tokenize("12.35") == ["1", "2", ".", "3", "5"]
    for asked in make_row(shot(), ROW, ALL, np.random.default_rng(0)).asked:
        span = collator._span(asked)
        assert len(span.ids) <= {"position": 12, "coordinates": 38, "marker": 22}[asked.style.name]


def test_a_run_writes_a_checkpoint_that_loads(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write_shard(data / "a.npz", [shot(s) for s in range(4)])
    config = sft.read_config("training/configs/tiny.yaml")
    stages = [replace(s, steps=2, pictures=0) for s in config.stages]
    short = replace(config, stages=stages, data=str(data), out=str(tmp_path), batch=2, workers=0,
                    shape=SHAPE)
    folder = sft.train(short)
    row = from_folder(folder)
    assert row.wording == WORDING and row.model == str(folder)
    model, info = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()) and next(model.parameters()).dtype == torch.float16
    assert AutoTokenizer.from_pretrained(folder).chat_template == fresh.CHAT_TEMPLATE


def test_a_config_with_an_unknown_entry_is_refused_by_name(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("stages: []\nlearning_rate: 1\n")
    with pytest.raises(InputError, match="learning_rate"):
        sft.read_config(path)
