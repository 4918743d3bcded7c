# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from depthlm_ros.data.whole import whole_file
from depthlm_ros.errors import InputError


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path, error):
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises((InputError, KeyboardInterrupt)) as raised, whole_file(path) as part:
        part.write_text("ne")
        raise error
    assert isinstance(raised.value, KeyboardInterrupt) or str(path) in str(raised.value)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.png", "old")]
    with whole_file(path) as part:
        part.write_text("new")
        assert (part.suffix, path.read_text()) == (".png", "old")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.png", "new")]


def test_a_link_stays_one_and_what_is_no_file_is_written_to(tmp_path):
    link, end = tmp_path / "link", tmp_path / "end"
    link.symlink_to(end)
    with whole_file(link) as part:
        part.write_text("new")
    assert link.is_symlink() and end.read_text() == "new"
    with whole_file("/dev/null") as part:
        assert part == Path("/dev/null")


@pytest.mark.parametrize("name", [".", "nowhere/a.png"])
def test_where_no_file_can_be_is_told(tmp_path, name):
    with pytest.raises(InputError, match="cannot be written"), whole_file(tmp_path / name) as part:
        part.write_text("new")
