# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The catalogue of a Sweet Home 3D library: name, category, size in centimetres, licence.

Knows nothing about meshes.
"""

import re
from collections import defaultdict

FREE = ("CC0", "CC BY 3.0", "Apache-2.0")
_FILES = ("PluginFurnitureCatalog.properties", "DefaultFurnitureCatalog.properties")
_LINE = re.compile(r"^(\w+)#(\d+)=(.*)$", re.MULTILINE)


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
