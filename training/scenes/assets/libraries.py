# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Libraries of models in Sweet Home 3D's form, wherever they lie (files, folders, members of
Debian packages), and their catalogues: name, category, size in centimetres, licence.

Knows nothing about meshes.
"""

import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path

from depthlm_ros.errors import InputError

# What zipfile, tarfile and what they decompress with raise of half a file.
BROKEN = zipfile.BadZipFile, tarfile.TarError, EOFError, lzma.LZMAError, zlib.error
AR = b"!<arch>\n"  # the first bytes of a Debian package
FREE = ("CC0", "CC BY 3.0", "Apache-2.0")
_FILES = ("PluginFurnitureCatalog.properties", "DefaultFurnitureCatalog.properties")
_LINE = re.compile(r"^(\w+)#(\d+)=(.*)$", re.MULTILINE)


def libraries(paths):
    """(name, ZipFile) of each library in files and folders.

    Raises InputError for a file of another kind, or one that cannot be read.
    """
    for path in map(Path, paths):
        if path.is_dir():
            yield from libraries(p for p in sorted(path.rglob("*")) if p.suffix in READERS)
        elif path.suffix in READERS:
            try:
                yield from READERS[path.suffix](path)
            except (*BROKEN, OSError) as error:
                raise InputError(f"{path} cannot be read, is it whole? {error}") from error
        else:
            raise InputError(f"{path} is neither a folder nor one of {', '.join(READERS)}")


def _zip(path):
    yield path.name, zipfile.ZipFile(path)


def _deb(path):
    """The libraries inside a Debian package."""
    with tarfile.open(fileobj=io.BytesIO(_data(path))) as files:
        for member in files:
            if member.isfile() and Path(member.name).suffix in (".sh3f", ".jar"):
                held = io.BytesIO(files.extractfile(member).read())
                yield Path(member.name).name, zipfile.ZipFile(held)


def _data(path) -> bytes:
    """The member data.tar.* of a .deb: `ar` keeps 60 bytes before each member, two aligned."""
    raw = path.read_bytes()
    at = len(AR)
    while raw.startswith(AR) and at + 60 <= len(raw):
        name, size = raw[at : at + 16].decode(), int(raw[at + 48 : at + 58])
        if name.startswith("data.tar"):
            return raw[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    raise InputError(f"{path} has no data.tar; is it a whole Debian package?")


READERS = {".sh3f": _zip, ".jar": _zip, ".whl": _zip, ".deb": _deb}


def entries(library) -> list[dict]:
    """The entries of a library's catalogues as dicts of text, with the short licence added."""
    found = []
    for name in library.namelist():
        if name.endswith(_FILES):
            text = library.read(name).decode("latin1")
            stated = re.search(r"^license=(.*)$", text, re.MULTILINE)
            licence = licence_of(stated[1].strip() if stated else "")
            table = defaultdict(dict)
            for key, number, value in _LINE.findall(text):
                table[int(number)][key] = value.strip()
            found += [entry | {"licence": licence} for entry in table.values()]
    return found


def licence_of(text: str) -> str:
    """The short name of a catalogue's licence line; unknown ones keep their own words."""
    if "GPL" in text:
        return "GPL or CC BY 3.0, not said which"
    if "Public domain" in text:
        return "CC0"
    return (
        "CC BY 3.0"
        if "Attribution 3.0" in text or "3.0 Attribution" in text
        else (text or "none given")
    )
