# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Where servers are and the key that they want, as users give them."""

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from depthlm_ros.errors import InputError


def clean_urls(urls: Sequence[str]) -> list[str]:
    """Addresses of servers, each once and without the /v1 that may stand at their end. Raises
    InputError."""
    found = [re.sub(r"(/v1)?/*$", "", url.strip()) for url in urls if url.strip()]
    if not found:
        raise InputError(
            "the engine remote needs the address of a server: remote.urls, --remote-urls, such as"
            " http://gpu:8000 (`depthlm serve` starts one)"
        )
    for url in found:
        if not _is_address(url):
            raise InputError(
                f"remote.urls holds {url!r}, which is no address of a server, such as"
                " http://gpu:8000 or https://models.example.org"
            )
    return list(dict.fromkeys(found))


def _is_address(url: str) -> bool:
    """Whether it names a host, and a port that can be where it names one."""
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", url):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # no number, one above 65535, or half an IPv6 address
        return False


def is_on_this_machine(url: str) -> bool:
    """Whether an address means this machine whatever the network is: localhost, 127.x.y.z, ::1."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_key(path: str) -> str:
    """The key in a file; "" for no file. Raises InputError."""
    if not path:
        return ""
    try:
        key = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"remote.key_file {path} cannot be read: {error}") from error
    if not key or len(key.split()) != 1 or not key.isascii():
        raise InputError(f"remote.key_file {path} holds no key: one line, and nothing else")
    return key
