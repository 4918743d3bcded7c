# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Lines by number: the same as reading everything, whatever the file looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthlm_ros.data import jsonl
from depthlm_ros.data.jsonl import Lines
from depthlm_ros.errors import RecordError

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=6)


@given(rows=st.lists(WORDS, max_size=12), ended=st.booleans(), chunk=st.integers(1, 9))
def test_every_line_is_found_under_its_number(tmp_path_factory, rows, ended, chunk):
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    path.write_bytes(("\n".join(rows) + "\n" * ended).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "_CHUNK", chunk)
        found = Lines(path)
    got = [(found[i].number, found[i].text.removesuffix("\n")) for i in range(len(found))]
    assert got == [(n, row) for n, row in enumerate(rows, 1) if row.strip(" \t")]


def test_lines_of_blanks_and_of_windows_are_empty(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\n\r\n  \ntwo\r\n\r\n")
    found = Lines(tmp_path / "a.txt")
    assert [(line.number, line.text.strip()) for line in found] == [(1, "one"), (4, "two")]


def test_shards_follow_each_other_in_the_order_of_their_names(tmp_path):
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.txt").write_text(f"{name}1\n{name}2\n")
    found = Lines([tmp_path / "c.txt", str(tmp_path / "[ab].txt")])
    assert [line.text.strip() for line in found] == ["c1", "c2", "a1", "a2", "b1", "b2"]
    assert found[3].where == f"{tmp_path / 'a.txt'}:2"


@pytest.mark.parametrize("index", [-1, 2])
def test_a_number_beyond_the_lines_is_refused(tmp_path, index):
    (tmp_path / "a.txt").write_text("x\ny\n")
    with pytest.raises(IndexError, match=f"2 .*{index}"):
        Lines(tmp_path / "a.txt")[index]


@pytest.mark.parametrize("files", ["nowhere*.txt", "nowhere.txt", []])
def test_files_that_do_not_exist_are_refused(tmp_path, monkeypatch, files):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecordError):
        Lines(files)


def test_bytes_that_are_no_text_name_file_and_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x\n\xff\xfe\n")
    with pytest.raises(RecordError, match=r"a\.txt:2"):
        Lines(tmp_path / "a.txt")[1]
