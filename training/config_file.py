# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The entries of a config as they stand in YAML files, whatever they mean.

`extends: other.yaml` takes what a file does not say from another one.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from depthlm_ros.entries import BadEntry
from depthlm_ros.errors import InputError


class ConfigError(InputError):
    """A config that cannot be used; problems: every BadEntry of it."""

    def __init__(self, problems: list[BadEntry]):
        self.problems = problems
        super().__init__("\n  ".join(map(str, problems)))


def read_entries(
    path: Path, inside: tuple[Path, ...] = ()
) -> tuple[dict[str, Any], dict[str, str]]:
    """(the entries of a file and of those that it extends, entry -> the file that says it).

    inside: the files that extend this one. Raises ConfigError.
    """
    if path.resolve() in inside:
        raise ConfigError([BadEntry(str(path), "extends", "comes back to the file itself")])
    content = _parsed(path)
    if "extends" not in content:
        return content, dict.fromkeys(content, str(path))
    further = content.pop("extends")
    if not isinstance(further, str):
        raise ConfigError([BadEntry(str(path), "extends", f"is {further!r}; allowed: a file")])
    base, files = read_entries(path.parent / further, (*inside, path.resolve()))
    return {**base, **content}, {**files, **dict.fromkeys(content, str(path))}


def _parsed(path: Path) -> dict[str, Any]:
    """The entries of one file."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # a SafeLoader
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ConfigError([BadEntry(str(path), "", problem)]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or error
        where = f"line {mark.line + 1}: {why}" if mark else str(why)
        raise ConfigError([BadEntry(str(path), "", f"is no YAML file: {where}")]) from error
    if not isinstance(content, dict):
        problem = "holds no entries; allowed: lines of key: value"
        raise ConfigError([BadEntry(str(path), "", problem)])
    return content


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML in which 1e-3 is a number, which version 1.1 takes for text, and keys come once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            names = [self.construct_object(key) for key, _ in node.value]
            twice = next(name for name in names if names.count(name) > 1)
            raise yaml.MarkedYAMLError(
                problem=f"{twice} stands here twice", problem_mark=node.start_mark
            )
        return mapping


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)
