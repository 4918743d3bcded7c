# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Environment variables for ROS processes: Fast DDS's profile, and a graph of one's own.

A stock Fast DDS has 512 KiB of shared memory: a publisher of images stalls for seconds as soon as
somebody watches them, and answers with it. Both names of the variable are set: Jazzy and older
read one, Kilted and newer the other.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from depthlm_ros.errors import DepthLMError

PROFILE = Path(__file__).with_name("fastdds_16mib.xml")
_PROFILE_NAMES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_CHOICES = (*_PROFILE_NAMES, "FASTDDS_BUILTIN_TRANSPORTS")
_FILES = "DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml"  # read where it starts
DOMAINS = range(1, 102)  # those whose ports are safe on every system


def profile_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables that give a process 16 MiB of shared memory.

    Empty if the user has chosen: a profile, transports, or another middleware than Fast DDS.
    """
    middleware = environment.get("RMW_IMPLEMENTATION", "")
    if any(environment.get(name) for name in _CHOICES) or "fastrtps" not in (
        middleware or "rmw_fastrtps_cpp"
    ):
        return {}
    if any(Path(name).exists() for name in _FILES):
        return {}
    return dict.fromkeys(_PROFILE_NAMES, str(PROFILE))


def choose_profile() -> None:
    """Give this process the profile, unless the user has chosen; before rclpy.init()."""
    os.environ.update(profile_environment())


@contextlib.contextmanager
def private_graph() -> Iterator[dict[str, str]]:
    """Variables for processes that see each other and nothing else, as long as this holds.

    They stay on this machine, on a ROS_DOMAIN_ID that no other holder uses.
    """
    with _locked_domain() as domain:
        yield {
            **profile_environment(),
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            **({"ROS_LOCALHOST_ONLY": "1"} if os.environ.get("ROS_DISTRO") == "humble" else {}),
        }


@contextlib.contextmanager
def _locked_domain():
    """A number of DOMAINS; the lock goes with the process, so that a crash frees it."""
    start = os.getpid() % len(DOMAINS)
    for domain in [*DOMAINS[start:], *DOMAINS[:start]]:
        with _opened(Path(tempfile.gettempdir(), f"ros_domain_{domain}.lock")) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    raise DepthLMError(f"all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are in use here")


def _opened(path):
    try:
        return open(path)  # enough for a lock, also where another user made it
    except FileNotFoundError:
        return open(path, "w")


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """os.environ with these variables, put back afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
