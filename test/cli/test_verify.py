# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm checkpoints --verify: whether a checkpoint is asked as it was trained, on one page."""

import json
import re
import shutil

import pytest

pytest.importorskip("torch")

from depthlm_ros.answer import FORMS, AnswerForm
from depthlm_ros.checkpoints import TINY


@pytest.fixture
def folder(tmp_path):
    """A copy of the embedded checkpoint that is asked by coordinates alone."""
    copied = shutil.copytree(TINY, tmp_path / "weights")
    path = copied / "depthlm.json"
    entry = json.loads(path.read_text())
    entry |= {"style": "coordinates", "grid_style": "coordinates", "calibration": {}}
    path.write_text(json.dumps({**entry, "wording": {"coordinates": "tags"}}))
    return copied


def table(out):
    """The row of coordinates: questions, same number, same words."""
    (row,) = [line for line in out.splitlines() if line.startswith("coordinates  ")][:1]
    return [int(cell) for cell in row.split()[1:4]]


def test_the_embedded_checkpoint_says_what_its_entry_has_it_say(run, folder):
    code, out, _ = run("checkpoints", "--verify", folder, "--device", "cpu")
    assert code == 0 and table(out) == [20, 20, 20]
    facts = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "chat_template.jinja" in facts["template"]
    assert re.search(r"\bfloat32\b.*\bcpu\b", facts["model"])
    assert "1400 x 1200" in facts["views"] and "32 px" in facts["views"]
    assert re.search(r"\b12\.34\b.*\b5\b", facts["numbers"])
    assert re.search(r"\b640 x 480\b.*\b200 px\b.*\b243 x 182\b", facts["image"])
    assert len(out.splitlines()) <= 40


def test_what_is_read_from_the_map_is_told_beside_the_words(run):
    code, out, _ = run("checkpoints", "--verify", "tiny", "--device", "cpu")
    assert code == 0
    assert "style marker, wording tags, few pixels and grids in style dense" in out


def test_a_wrong_wording_is_exit_code_1_with_both_texts(run, folder, monkeypatch):
    wrong = FORMS["tags"].template.replace("is around", "is about")
    monkeypatch.setitem(FORMS, "tags", AnswerForm(wrong))
    code, out, _ = run("checkpoints", "--verify", folder, "--device", "cpu")
    assert code == 1 and table(out)[2] == 0
    assert "The point is about" in out and "The point is around" in out


def break_config(folder):
    (folder / "config.json").write_text("{}")


def name_unknown_architecture(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "paligemma9"}))


def cut_download(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:10_000])


def drop_image(folder):
    path = folder / "chat_template.jinja"
    path.write_text("{% for m in messages %}{{ m.content[-1].text }}{% endfor %}")


def add_template(folder):
    template = (folder / "chat_template.jinja").read_text().replace("user", "User")
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "User" + template}))


def drop_entry(folder):
    (folder / "depthlm.json").unlink()


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (break_config, "config"),
        (name_unknown_architecture, "paligemma9"),
        (cut_download, "model.safetensors"),
        (drop_image, "image"),
        (add_template, "chat_template.json"),
        (drop_entry, "facebook/VLM3-depth"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_sentence(run, folder, broken, named):
    broken(folder)
    code, out, err = run("checkpoints", "--verify", folder)
    assert (code, out) == (2, "")
    assert err.startswith("depthlm: ") and named in err and len(err.splitlines()) == 1


def test_colours_that_are_not_rescaled_are_noted(run, folder):
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_rescale": False}))
    _, out, _ = run("checkpoints", "--verify", folder, "--device", "cpu")
    (note,) = [line for line in out.splitlines() if line.startswith("note")]
    assert "do_rescale" in note


@pytest.mark.parametrize("option", ["--device", "--dtype"])
def test_an_option_that_only_a_verification_has_is_refused_without_one(run, option):
    code, out, err = run("checkpoints", option, "cpu")
    assert (code, out) == (2, "")
    assert option in err and "--verify" in err
