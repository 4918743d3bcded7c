# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The comparison of engines: models of every size, cells on a scripted clock, rows that add up."""

import json
import sys
from dataclasses import replace

import pytest
from PIL import Image

from depthlm_ros.bench.compare import PUBLISHED_TOKENS, Setting, compare, given_model
from depthlm_ros.bench.report import line, preface, write_json, write_plot
from depthlm_ros.bench.shapes import (
    SIZES,
    Size,
    Text,
    Vision,
    build,
    empty_model,
    parts_of,
    view_of,
)
from depthlm_ros.bench.timing import Contestant, Row, Stopwatch, with_ratios
from depthlm_ros.bench.weights import LIKELY, NODES, SOME
from depthlm_ros.bench.work import Work, work_of
from depthlm_ros.cli import main
from depthlm_ros.engines import Reply, local, reference
from depthlm_ros.engines.digits import DigitTree, Grammar
from depthlm_ros.errors import InputError
from depthlm_ros.question import STYLES

KEYS = "engine style n batch measured_n extrapolated seconds_per_question first_answer_s ratio"
SMALL = (112, 84, 100.0)
TEXT = Text(64, 2, 2, 1, 32, 96, 1024)
SMALL_SIZES = {
    "qwen2_5_vl": Size("qwen2_5_vl", TEXT, Vision(32, 2, 2, 48, (1,)), SMALL),
    "qwen3_vl": Size("qwen3_vl", TEXT, Vision(32, 2, 2, 48, (0,)), SMALL),
    "llava": Size("llava", TEXT, Vision(32, 2, 2, 48), SMALL),
}


class Clock:
    """Time that passes only when a ScriptedCosts says so."""

    now = 0.0

    def __call__(self):
        return self.now


class Memory:
    """Memory whose peak is 7."""

    def reset(self):
        pass

    def peak(self):
        return 7


class ScriptedCosts:
    """An engine that takes opening_s for a picture and each(size) seconds for each of a step's
    questions."""

    def __init__(self, clock, opening_s, each, room=1000):
        self.clock, self.opening_s, self.each, self.most = clock, opening_s, each, room
        self.closed = self.opened = 0

    def open(self, pictures, style):
        self.clock.now += self.opening_s
        self.opened += 1
        return self

    def room(self, scene, seconds):
        return self.most

    def step(self, batch):
        self.clock.now += len(batch) * self.each(len(batch))
        return [Reply(1.0, "1") for _ in batch]

    def close(self):
        self.closed += 1


@pytest.fixture
def scripted():
    """(name, opening_s, each, room, limit) -> (Stopwatch, Contestant) on one scripted clock."""

    def made(name="local", opening_s=0.0, each=lambda size: 1.0, room=1000, limit_s=60.0):
        clock = Clock()
        watch = Stopwatch(view_of(SIZES["tiny"]), Memory(), limit_s, clock)
        engine = ScriptedCosts(clock, opening_s, each, room)
        style = STYLES["coordinates"]()
        return watch, Contestant(name, engine, style, opening_counts=name == "local")

    return made


def test_what_fits_the_limit_is_measured_whole(scripted):
    watch, local = scripted(opening_s=3.0, each=lambda size: 0.5, room=8)
    (row,) = watch.rows(local, [20])
    assert (row.measured_n, row.extrapolated, row.batch, row.peak_bytes) == (20, False, 8, 7)
    assert row.seconds_per_question == pytest.approx((3.0 + 20 * 0.5) / 20)
    assert row.first_answer_s == pytest.approx(3.0 + 8 * 0.5)
    assert local.engine.closed == local.engine.opened == 1


def test_what_exceeds_the_limit_is_sampled_and_the_opening_counts_once(scripted):
    watch, local = scripted(opening_s=3.0, each=lambda size: 0.5, room=10, limit_s=17.0)
    (row,) = watch.rows(local, [1000])
    assert (row.measured_n, row.extrapolated) == (30, True)  # a fourth step would end at 20 s
    assert row.seconds_per_question == pytest.approx((3.0 + 1000 * 0.5) / 1000)


def test_one_step_is_measured_even_if_it_exceeds_the_limit(scripted):
    watch, local = scripted(each=lambda size: 100.0, room=2)
    (row,) = watch.rows(local, [5])
    assert (row.measured_n, row.extrapolated, row.seconds_per_question) == (2, True, 100.0)


def test_a_sample_stands_for_all_larger_numbers_of_questions(scripted):
    watch, local = scripted(opening_s=10.0, room=1, limit_s=20.0)
    rows = list(watch.rows(local, [1000, 5, 100]))
    assert [(row.n, row.measured_n) for row in rows] == [(5, 5), (100, 20), (1000, 20)]
    assert local.engine.opened == 2
    assert rows[2].seconds_per_question == pytest.approx(1.0 + 10.0 / 1000)


def test_what_reference_does_at_opening_does_not_count_against_it(scripted):
    watch, reference = scripted("reference", opening_s=5.0)
    (row,) = watch.rows(reference, [2], batch=1)
    assert (row.seconds_per_question, row.first_answer_s) == (1.0, 1.0)


def test_the_best_batch_is_where_a_question_takes_least_time(scripted):
    watch, engine = scripted(each=lambda size: {1: 1.0, 2: 0.7, 4: 0.5}.get(size, 0.6))
    assert watch.best_batch(engine, 100, 1.0) == 4
    assert watch.best_batch(engine, 2, 1.0) == 2


def test_the_search_for_a_batch_ends_at_the_limit_and_where_memory_ends(scripted):
    def each(size):
        if size == 8:
            raise MemoryError
        return 1.0 / size

    watch, engine = scripted(each=each)
    assert watch.best_batch(engine, 100, 1.0) == 4
    watch, engine = scripted(each=lambda size: 30.0 / size)
    watch.limit_s = 20.0
    assert watch.best_batch(engine, 100, 30.0) == 1


def test_another_error_in_the_search_is_not_taken_for_lack_of_memory(scripted):
    def each(size):
        raise RuntimeError("broken")

    watch, engine = scripted(each=each)
    with pytest.raises(RuntimeError, match="broken"):
        watch.best_batch(engine, 4, 1.0)


def test_questions_are_the_same_in_every_run_and_all_can_be_asked(scripted):
    watch, _ = scripted()
    marker, again = STYLES["marker"](), STYLES["marker"]()
    asked = [question.pixel for question in watch.questions(marker, 50)]
    assert asked == [question.pixel for question in watch.questions(again, 50)]
    assert all(marker.can_ask(watch.view, pixel) for pixel in asked)
    assert len(set(asked)) > 45


def _row(engine, style, n, batch, seconds):
    return Row(engine, style, n, batch, n, False, seconds, seconds, 0.0, 1)


def test_ratios_are_against_reference_at_batch_one_of_the_same_style():
    rows = [
        _row("reference", "marker", 1, 1, 8.0),
        _row("reference", "marker", 16, 1, 6.0),
        _row("reference", "marker", 16, 4, 5.0),
        _row("reference", "coordinates", 16, 1, 7.0),
        _row("local", "marker", 1, 1, 4.0),
        _row("local", "marker", 16, 1, 4.0),
        _row("local", "coordinates", 16, 16, 0.1),
        _row("local", "position", 16, 16, 0.05),
    ]
    ratios = [row.ratio for row in with_ratios(rows)]
    assert ratios == pytest.approx([1, 1, 1.2, 1, 2, 1.5, 70, 120])


@pytest.mark.parametrize("architecture", SMALL_SIZES)
def test_a_random_model_says_numbers_with_a_tree_of_a_trained_ones_size(architecture):
    size = SMALL_SIZES[architecture]
    loaded = build(size, architecture, "cpu")
    with given_model(loaded, local):
        engine = local.LocalEngine(loaded.checkpoint)
    view = view_of(size)
    for name in size.wording:
        style = loaded.checkpoint.asker(name)
        (reply,) = engine.step([(engine.open([view], style), style.question(view, (40, 50)))])
        assert reply.value == 2.2, name
        assert reply.mass == pytest.approx(_tree()[1], abs=0.1), name


def test_reference_emits_as_many_tokens_as_the_published_answer_has():
    loaded = build(SMALL_SIZES["qwen3_vl"], "small", "cpu")
    with given_model(loaded, reference):
        engine = reference.ReferenceEngine(loaded.checkpoint, max_new_tokens=PUBLISHED_TOKENS)
    view, style = view_of(SMALL_SIZES["qwen3_vl"]), loaded.checkpoint.asker("marker")
    (reply,) = engine.step([(engine.open([view], style), style.question(view, (40, 50)))])
    assert reply.text == ("2." * 35)[:35]  # each a token, and no end


def _tree():
    """(nodes fed, probability covered) of the tree that the weights are made for."""
    shares = [LIKELY.get(digit, SOME) for digit in range(10)]
    digits, point = [*shares, 0.0], [0.0] * 10 + [1.0]
    tree, fed = DigitTree(Grammar(), digits, 2), 0
    while tree.wanted:
        fed += len(tree.wanted)
        after_point = [node.text[-1] == "." for node in tree.wanted]
        tree.feed(
            [digits if a else point for a in after_point], [2 if a else 10 for a in after_point]
        )
    return fed, tree.reading().mass


def test_the_tree_that_is_announced_is_the_one_that_is_grown():
    assert _tree()[0] == NODES


def _loaded_without_weights(name):
    from depthlm_ros.engines.loading import Loaded

    parts = parts_of(SIZES[name], name)
    return Loaded(**vars(parts), model=empty_model(parts, "meta", "bfloat16"))


@pytest.mark.parametrize(
    ("name", "parameters", "marker_flops"),
    [
        ("bench", 0.21e9, None),
        ("qwen2.5-vl-3b", 4.07e9, 14.9e12),  # with a head of its own, 0.31 more than published
        ("qwen2.5-vl-7b", 8.29e9, 25.2e12),
        ("qwen3-vl-4b", 4.83e9, 12.1e12),
        ("pixtral-12b", 12.7e9, 52.9e12),
    ],
)
def test_sizes_have_the_published_shapes_and_the_work_that_follows(name, parameters, marker_flops):
    loaded = _loaded_without_weights(name)
    assert loaded.parameters == pytest.approx(parameters, rel=0.03)
    if marker_flops:
        work = _work_of(loaded, name, "marker")
        assert work.total(1) == pytest.approx(marker_flops, rel=0.05)


def _work_of(loaded, name, style):
    from depthlm_ros.engines.prompts import Prompts

    view, asker = view_of(SIZES[name]), loaded.checkpoint.asker(style)
    return work_of(loaded, Prompts(loaded), view, asker, [asker.question(view, (999, 99))])


def test_the_lengths_of_the_bench_size_are_fixed():
    loaded = _loaded_without_weights("bench")
    view = view_of(SIZES["bench"])
    assert (view.camera.width, view.camera.height) == (1143, 857)
    assert loaded.vision.prepare([view.image]).grid == (31, 41)
    assert _work_of(loaded, "bench", "coordinates").tokens == 88
    assert _work_of(loaded, "bench", "position").tokens == 12


@pytest.fixture
def setting():
    work = {"marker": Work(0.0, 1e9, 74), "position": Work(1e9, 1e7, 12)}
    return Setting("tiny", 4_000_000, "float32", "cpu", 60.0, 0.1, 1e11, work)


def test_a_line_tells_ratio_share_of_the_peak_and_what_is_extrapolated(setting):
    row = Row("local", "position", 100, 64, 40, True, 0.001, 0.03, 12.5, 2_000_000_000)
    assert setting.roofline_s("position", 100) == pytest.approx(0.02)
    said = line(setting, row).split()
    assert said[:5] == ["local", "position", "100", "64", "40*"]
    assert said[5:] == ["0.001", "0.03", "12.50x", "0.02", "20%", "2.00"]
    *_, header = preface(setting)
    assert len(header) == len(line(setting, row))


def test_a_busy_machine_is_told(setting):
    assert not any("BUSY" in said for said in preface(setting))
    busy = replace(setting, load_before=5.3)
    assert any(said.startswith("BUSY: 5.3 other processes") for said in preface(busy))


def test_json_holds_every_entry_of_every_row(setting, tmp_path):
    row = _row("local", "marker", 1, 1, 4.0)
    write_json(setting, [row], "a machine", tmp_path / "b.json")
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["machine"] == "a machine"
    assert content["rows"][0].keys() == {*KEYS.split(), "peak_bytes"}
    assert content["rows"][0]["seconds_per_question"] == 4.0
    assert "9 nodes" in content["tree"]


def test_a_file_that_cannot_be_written_is_named_with_its_option(setting, tmp_path):
    for option, write in (("--json", write_json), ("--plot", write_plot)):
        with pytest.raises(InputError, match=f"{option} .*nowhere"):
            write(setting, [], "a machine", tmp_path / "nowhere" / "b.png")


def test_the_plot_has_a_line_for_each_series_and_the_roofline(setting, tmp_path):
    rows = [_row("local", "marker", n, n, 4.0) for n in (1, 16)]
    rows += [_row("reference", "marker", 16, batch, 9.0) for batch in (1, 4)]
    write_plot(setting, rows, "a machine", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size == (1080, 720)


def test_a_whole_comparison_on_the_command_line(capsys, tmp_path):
    arguments = "bench --size tiny --n 1,2 --styles position,marker --limit 1 --device cpu --json"
    assert main([*arguments.split(), str(tmp_path / "b.json")]) == 0
    content = json.loads((tmp_path / "b.json").read_text())
    found = {(r["engine"], r["style"], r["n"]) for r in content["rows"]}
    asked = [("reference", "marker"), ("local", "marker"), ("local", "position")]
    assert found == {(*who, n) for who in asked for n in (1, 2)}
    assert all(r["ratio"] > 0 and r["seconds_per_question"] > 0 for r in content["rows"])
    assert all(r["peak_bytes"] > 10_000_000 for r in content["rows"])
    assert content["work"]["position"]["tokens"] == 12
    said = capsys.readouterr().out.splitlines()
    busy = any(line.startswith("BUSY") for line in said)
    assert len(said) == 7 + busy + len(content["rows"])
    assert "9 nodes a number" in said[4]


def _interrupted(*_):
    yield _row("reference", "marker", 1, 1, 4.0)
    raise KeyboardInterrupt


def test_a_run_that_breaks_off_leaves_the_rows_it_had(monkeypatch, tmp_path):
    arguments = "bench --size tiny --n 1 --styles marker --limit 1 --device cpu --json"
    monkeypatch.setattr("depthlm_ros.bench.compare._reference", _interrupted)
    assert main([*arguments.split(), str(tmp_path / "b.json")]) == 130
    (row,) = json.loads((tmp_path / "b.json").read_text())["rows"]
    assert (row["engine"], row["n"]) == ("reference", 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "tiny", "--styles", "laser"], "tiny cannot be asked by 'laser', only by"),
        (["--size", "pixtral-12b", "--styles", "position"], "only by marker, coordinates"),
        (["--size", "tiny", "--style", "marker"], "give --styles"),
        (["--size", "tiny", "--engine", "reference"], "asks both engines"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(capsys, arguments, words):
    assert main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_model_that_does_not_fit_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr("depthlm_ros.engines.pace.free_bytes", lambda device: 2_000_000)
    with pytest.raises(InputError, match="'tiny' needs 0.0 GB .* 0.0 GB free"):
        compare("tiny", [], [1], device="cpu")


def test_without_torch_the_comparison_says_what_to_do(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "depthlm_ros.engines.loading", None)
    assert main(["bench", "--size", "tiny"]) == 2
    assert "make setup" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "huge"], "qwen2.5-vl-3b"),
        (["--size", "tiny", "--checkpoint", "tiny"], "not allowed with"),
        (["--size", "tiny", "--n", "1,0"], "a whole number of 1 or more"),
        (["--size", "tiny", "--limit", "no"], "a number of seconds above 0"),
    ],
)
def test_a_malformed_bench_line_says_what_is_allowed(capsys, arguments, words):
    with pytest.raises(SystemExit):
        main(["bench", *arguments])
    assert words in capsys.readouterr().err
