# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What must be right before a program starts: its command line, the arguments of launch files,
and the programs that a launch file names.

Parameters have rules of their own (settings.py).
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from rclpy.utilities import remove_ros_args

from depthlm_ros.errors import InputError
from depthlm_ros.msgs import names

# The words that ROS itself reads as booleans in parameters, in any case.
TRUE, FALSE = ("true", "yes", "on", "y", "1"), ("false", "no", "off", "n", "0")
LONGEST_NAME = 64  # characters of a camera's name; DDS allows topics of 255
CAMERA_NAME = rf"[A-Za-z][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}"
CAMERA_NAMES = f"a letter, then letters, digits and underscores, at most {LONGEST_NAME}"
_TOPIC = rf"(~?/)?{names.PATH}"  # what rcl remaps to
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")


def check_arguments(program: str, about: str, args: Sequence[str] | None = None) -> None:
    """Nothing for ROS's own arguments; exits with the help for --help, with 2 for any other.

    args: without the program's name; None: those of this process.
    """
    parser = argparse.ArgumentParser(
        program,
        usage=f"{program} [--help] [--ros-args -p NAME:=VALUE ... -r FROM:=TO ...]",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    try:
        given = remove_ros_args(sys.argv[1:] if args is None else args)
    except RuntimeError as error:  # what rcl raises has no public name
        parser.error(str(error))
    _, unknown = parser.parse_known_args(given)
    if unknown:
        parser.error(
            f"unknown: {' '.join(unknown)}. Parameters and remappings stand behind --ros-args"
        )


def boolean(name: str, text: str) -> bool:
    """The value of a launch argument that is true or false; InputError for another word."""
    return choice(name, text, TRUE + FALSE) in TRUE


def choice(name: str, text: str, allowed: Sequence[str]) -> str:
    """The value of a launch argument that is one of a few words, in any case; InputError for
    another one."""
    word = text.strip().lower()
    if word not in allowed:
        raise InputError(f"{name} is '{text}', allowed: {', '.join(allowed)}")
    return word


def number(name: str, text: str) -> float:
    """The value of a launch argument that is a number of 0 or more; InputError for another one."""
    with suppress(ValueError):
        if 0 <= (value := float(text)) < inf:
            return value
    raise InputError(f"{name} is '{text}', it must be a number of 0 or more")


def check_topic(name: str, text: str) -> None:
    """InputError where a launch argument is no topic."""
    if not re.fullmatch(_TOPIC, text):
        raise InputError(f"{name} is '{text}', which is no topic ({names.RULE})")


def check_namespace(name: str, text: str) -> None:
    """InputError where a launch argument is no namespace; empty or / is the root."""
    word = text.strip("/")
    if word and not re.fullmatch(names.PATH, word):
        raise InputError(f"{name} is '{text}', which is no namespace ({names.RULE})")


def check_file(name: str, text: str) -> None:
    """InputError where a launch argument names no file: launch would go on without it."""
    path = Path(text).absolute()
    if not path.is_file():
        raise InputError(f"{name} is '{text}', but there is no file {path}")


def is_installed(package: str, program: str) -> bool:
    """Whether `ros2 run package program` would find something."""
    try:
        path = Path(get_package_prefix(package), "lib", package, program)
    except PackageNotFoundError:
        return False
    return os.access(path, os.X_OK)


def check_installed(programs: Mapping[str, str]) -> None:
    """InputError names every program (package -> executable) that is not there.

    For launch files, before they start the first one: launch leaves what it has started running
    when a later program is missing.
    """
    missing = [
        package for package, program in programs.items() if not is_installed(package, program)
    ]
    if missing:
        distribution = os.environ.get("ROS_DISTRO", "DISTRO")
        names = " ".join(f"ros-{distribution}-{name.replace('_', '-')}" for name in missing)
        advice = ", or start without RViz: rviz:=false" if "rviz2" in missing else ""
        raise InputError(
            f"not installed: {', '.join(missing)}. Nothing was started. Install with `sudo apt"
            f" install {names}` (or build what is yours){advice}"
        )


def camera_topics(text: str) -> dict[str, str]:
    """Camera's name -> its image topic, from "left=/left/image_raw,right=/right/image_raw".

    Empty for an empty text. InputError names every pair that is wrong.
    """
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    found: dict[str, str] = {}
    problems: list[str] = []
    for pair in pairs:
        name, _, topic = (part.strip() for part in pair.partition("="))
        problems += _pair_problems(pair, name, topic, found)
        found[name] = topic
    if problems:
        raise InputError(
            f"cameras is '{text}': {'; '.join(problems)}. Write a name and an image topic for each"
            " camera: cameras:=left=/left/image_raw,right=/right/image_raw"
        )
    return found


def check_alone(cameras: Mapping[str, str], given: Mapping[str, str]) -> None:
    """InputError where topics (name of the launch argument -> topic) stand beside cameras, which
    name them already: one of both would be forgotten."""
    beside = [f"{name}:={topic}" for name, topic in given.items() if topic]
    if cameras and beside:
        raise InputError(
            f"{' and '.join(beside)} cannot be given beside cameras, which names the images of"
            " each; the camera_info of each lies beside them"
        )


def _pair_problems(pair: str, name: str, topic: str, found: dict[str, str]) -> Iterator[str]:
    if not re.fullmatch(CAMERA_NAME, name):
        yield f"'{name[:LONGEST_NAME]}' is no name ({CAMERA_NAMES})"
    elif not topic:
        yield f"'{pair}' names no topic"
    elif not re.fullmatch(_TOPIC, topic):
        yield f"'{topic}' is no topic ({names.RULE})"
    if name in found:
        yield f"'{name}' is given twice"
