# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Every command that README, CONTRIBUTING or a page of docs names can be typed as it stands."""

import contextlib
import io
import json
import re
import runpy
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from depthlm_ros.cli import parser
from depthlm_ros.data.records import Records

ROOT = Path(__file__).resolve().parents[2]
IN_DOCS = sorted((ROOT / "docs").glob("*.md"))
OF_FOLDERS = [ROOT / "depthlm_ros" / name / "README.md" for name in ("checkpoint_tiny", "demo")]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *IN_DOCS, *OF_FOLDERS]
SCRIPTS = "depthlm_node", "depthlm_demo_camera"
COMMAND = re.compile(rf"(?:python3? -m (training[\w.]*)|(depthlm|{'|'.join(SCRIPTS)}))(?: (.*))?$")
# One process for all, since torch takes seconds to be imported.
HELP = """
import contextlib, io, json, runpy, sys
found = {}
for line in sys.argv[1:]:
    module, *words = line.split()
    sys.argv = [module, *words, "--help"]
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = "it ran instead"
    except SystemExit as stop:
        code = stop.code
    found[line] = [code, out.getvalue()]
print(json.dumps(found))
"""


@cache
def commands():
    """(page, whether it is a code line, program, words) of each command in a page."""
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", read(page))  # continued lines
        lines = [(True, line) for line in re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)]
        lines += [
            (True, line)
            for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
            for line in block.splitlines()
        ]
        text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        lines += [(False, " ".join(span.split())) for span in re.findall(r"`([^`]+)`", text)]
        for whole, line in lines:
            if match := COMMAND.match(line.strip()):
                module, script, rest = match.groups()
                words = shlex.split(rest or "", comments=True)
                found.append((page.name, whole, module or script, tuple(words)))
    return found


def read(page):
    return page.read_text(encoding="utf-8")


def of_depthlm():
    """(page, whether it is a code line, words) of the commands of depthlm, each once."""
    mine = (command for command in commands() if command[2] == "depthlm")
    return sorted({(page, whole, words) for page, whole, _, words in mine})


def options(words):
    return {word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z][\w-]*(=.*)?", word)}


def test_the_pages_name_commands():
    """Or the tests below would find nothing wrong."""
    assert len(of_depthlm()) > 12
    assert {"training.sft", "training.synthetic"} <= {name for _, _, name, _ in commands()}


def test_the_readme_leads_to_every_page():
    links = re.findall(r"\]\((docs/\w+\.md)[#)]", read(ROOT / "README.md"))
    assert set(links) == {f"docs/{page.name}" for page in IN_DOCS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_into_the_repository_leads_somewhere(page):
    for path, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", read(page)):
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), path
        if heading:
            titles = re.findall(r"^#+ (.*)$", read(to), re.MULTILINE)
            assert heading in [anchor(title) for title in titles], (path, heading)


def anchor(title):
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize(("page", "whole", "words"), of_depthlm())
def test_a_command_of_depthlm_can_be_parsed(page, whole, words):
    """Whole in a line of code; a mention in a sentence may leave out what is required."""
    if whole:
        assert parser().parse_args(words).run
    elif words:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as stop:
            parser().parse_args([words[0], "--help"])
        assert stop.value.code == 0
        assert options(words) <= set(re.findall(r"--[a-z][\w-]*", out.getvalue()))


def test_every_training_command_has_a_help_that_knows_the_options_in_the_pages():
    named = {}
    for _, _, program, words in commands():
        if program.startswith("training"):
            subcommand = words[:1] if words and re.fullmatch("[a-z]+", words[0]) else ()
            named.setdefault(" ".join((program, *subcommand)), set()).update(options(words))
    done = subprocess.run(
        [sys.executable, "-c", HELP, *named], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    wrong = {line: code for line, (code, _) in found.items() if code}
    assert wrong == {}
    missing = {
        line: named[line] - set(re.findall(r"--[a-z][\w-]*", text))
        for line, (_, text) in found.items()
    }
    assert {line: names for line, names in missing.items() if names} == {}


def test_every_file_of_the_repository_that_a_command_names_is_there():
    own = re.compile(r"(training|config|depthlm_ros|launch|docs)/[\w./-]+")
    named = {word for _, _, _, words in commands() for word in words if own.fullmatch(word)}
    assert named and [word for word in named if not (ROOT / word).exists()] == []


def test_lines_of_records_in_the_pages_can_be_read(tmp_path):
    lines = re.findall(r'^ {4}(\{"image".*\})$', "\n".join(map(read, PAGES)), re.MULTILINE)
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    records = Records(tmp_path / "r.jsonl")
    assert [bool(one.depth_path) for one in records] == [True, False]
    assert {one.stated_kind() for one in records} == {"distance", "z"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_console_script_has_a_help(script):
    pytest.importorskip("rclpy")
    command = [Path(sys.executable).with_name(script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0 and script in done.stdout


def test_the_python_of_the_readme_runs(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", read(ROOT / "README.md"), re.DOTALL)
    (tmp_path / "readme.py").write_text(code)
    found = runpy.run_path(str(tmp_path / "readme.py"))
    assert found["ranges"].status.tolist() == [0, 0] and "[0 0]" in capsys.readouterr().out
