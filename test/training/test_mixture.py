# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The mixture: weights, replaced records, and that an item is a function of its index."""

import json
from contextlib import nullcontext

import numpy as np
import pytest

from depthlm_ros.errors import ImageError, InputError, RecordError
from training.data.mixture import BadData, Mixture, Skip, SkipCounts, Source, merged_counts

SOURCES = {"odd": Source(range(1, 1000, 2)), "even": Source(range(0, 1000, 2), 3.0)}


def made(record, rng):
    return record, rng.random()


def picky(record, rng):
    """Refuses multiples of three, in two ways."""
    if record % 3 == 0:
        raise (RecordError if record % 2 else ImageError)(f"record {record} is no good")
    return record


def test_an_item_depends_on_seed_and_index_only():
    one, two = (Mixture(SOURCES, made, seed=5, length=50) for _ in range(2))
    backwards = [two[i] for i in reversed(range(50))][::-1]
    assert [one[i] for i in range(50)] == backwards
    assert [one[i] for i in range(50)] != [Mixture(SOURCES, made, 6, 50)[i] for i in range(50)]


def test_data_sets_come_by_weight_and_records_evenly():
    drawn = np.array([Mixture(SOURCES, picky_free, 1, 4000)[i].value for i in range(4000)])
    assert (drawn % 2 == 0).mean() == pytest.approx(0.75, abs=0.03)
    assert drawn.mean() == pytest.approx(500, abs=20)


def test_a_data_set_with_bad_records_keeps_its_weight():
    """All but one in ten of its records are bad."""

    def made(record, rng):
        if record % 2 and record % 10 != 5:
            raise RecordError("no good")
        return record

    drawn = np.array([Mixture(SOURCES, made, 1, 2000)[i].value for i in range(2000)])
    assert (drawn % 2 == 1).mean() == pytest.approx(0.25, abs=0.03)


def picky_free(record, rng):
    return record


def test_a_bad_record_is_replaced_by_the_same_one_every_time():
    once, again = ([Mixture(SOURCES, picky, 2, 200)[i] for i in range(200)] for _ in range(2))
    assert once == again
    assert all(item.value % 3 for item in once)
    skipped = [skip for item in once for skip in item.skipped]
    assert 50 < len(skipped) < 200
    assert {(s.source, s.reason) for s in skipped} == {
        ("odd", "RecordError"),
        ("even", "ImageError"),
    }


def test_a_bad_record_stops_the_run_where_that_was_asked_for():
    strict = Mixture(SOURCES, picky, 2, 200, bad="refuse")
    with pytest.raises(InputError, match="is no good"):
        [strict[i] for i in range(200)]


def test_counts_go_on_after_a_resume_as_if_nothing_had_happened():
    items = [Mixture(SOURCES, picky, 3, 60)[i] for i in range(60)]
    whole, before = SkipCounts(), SkipCounts()
    for item in items:
        whole.add(item.skipped, 1)
    for item in items[:25]:
        before.add(item.skipped, 1)
    after = SkipCounts(json.loads(json.dumps(before.state())))
    for item in items[25:]:
        after.add(item.skipped, 1)
    assert after.state() == whole.state()
    assert after.total == sum(len(item.skipped) for item in items) > 0
    assert after.share == after.total / (after.total + len(items))
    halves = merged_counts([before.state(), before.state()])
    assert halves["used"] == 2 * 25
    assert sum(n for *_, n in halves["counts"]) == 2 * before.total


def test_the_summary_names_data_sets_reasons_and_records():
    counts = SkipCounts()
    assert counts.total == 0 and len(counts.summary().splitlines()) == 1
    for i in range(30):
        counts.add(Mixture(SOURCES, picky, 3, 30)[i].skipped, 1)
    first, *examples = counts.summary().splitlines()
    assert first.startswith(f"{counts.total} ") and "even: " in first
    assert len(examples) == 5
    assert all("is no good" in example for example in examples)


@pytest.mark.parametrize(
    ("bad", "used", "allowed", "ends"),
    [
        (25, 32, 0.05, False),  # too few to tell while it goes on
        (43, 57, 0.05, True),
        (6, 94, 0.05, True),
        (5, 95, 0.05, False),
        (43, 57, 0.5, False),
        (1, 99, 0.0, True),
    ],
)
def test_a_share_of_bad_records_beyond_what_is_allowed_ends_a_run(bad, used, allowed, ends):
    counts = SkipCounts()
    counts.add([Skip("a", "RecordError", "a:1 is no good")] * bad, used)
    with pytest.raises(BadData) if ends else nullcontext():
        counts.check(allowed)


def test_at_the_end_of_a_run_every_record_counts():
    counts = SkipCounts()
    counts.add([Skip("a", "RecordError", "a:1 is no good")], 9)
    counts.check(0.1, least=1)
    with pytest.raises(BadData):
        counts.check(0.09, least=1)


def test_data_that_are_all_bad_end_the_run():
    with pytest.raises(InputError, match=r"100 .*'bad' .*record 0"):
        Mixture({"bad": Source([0])}, picky, 1, 1)[0]


@pytest.mark.parametrize(
    ("sources", "bad", "named"),
    [
        ({}, "skip", None),
        ({"a": Source([])}, "skip", "'a'"),
        ({"a": Source([1], 0.0)}, "skip", "weight 0"),
        ({"a": Source([1], float("nan"))}, "skip", "weight nan"),
        ({"a": Source([1])}, "ignore", "skip, refuse"),
    ],
)
def test_a_mixture_that_cannot_work_is_refused_at_once(sources, bad, named):
    with pytest.raises(InputError, match=named):
        Mixture(sources, made, 1, 1, bad)
