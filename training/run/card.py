# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The model card of a checkpoint: README.md, from its config, its entry and the run's manifest."""

from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

TEMPLATE = """\
---
{{ card_data }}
---

# {{ entry.name }}

A {{ entry.architecture }} model that says how far away a pixel is, trained by depthlm_ros. Images
are brought to a focal length of {{ "%g" % entry.focal_px }} px; answers are metres of kind
{{ kinds }}; it is asked by {{ entry.wording | join(", ") or "nothing but its map" }}.
{%- if entry.head %} Its dense head gives the map of every pixel in one pass (style `dense`).
{%- endif %} `depthlm.json` holds all of this for the node:

    depthlm_node --ros-args -p checkpoint:=FOLDER

## How it was made

    {{ command }}

* Code: {{ code }}. Started from: `{{ base }}`{{ limits }}.
* Data: {{ data }}
{%- for line in method %}
* {{ line }}
{%- endfor %}
* {{ skipped }} records could not be used and were skipped.

## Figures

{{ figures }}

## Limits

{{ note }}It answers for images like those it was trained on; elsewhere, measure it first
(`depthlm eval`). Its distances are estimates from one image and no measurements: do not let
anything that can do harm depend on them alone. Its 5 to 95 % interval is {{ calibrated }}.
"""


def card(config, entry, manifest: dict, recipe: str) -> str:
    """The text. entry: the Checkpoint that is shipped; manifest: Manifest.content; recipe: the
    module, "training.sft"."""
    kept = Path(config.base).exists() or config.base == "fresh"
    data = ModelCardData(
        license=entry.licence or "unknown",
        base_model=None if kept else config.base,
        pipeline_tag="image-text-to-text",
        tags=["metric-depth", "ros2", recipe.rpartition(".")[2]],
    )
    files = (f"{one['file']} ({one['sha256'][:12]})" for one in manifest["data"])
    text = ModelCard.from_template(
        data,
        template_str=TEMPLATE,
        entry=entry,
        kinds=" and ".join(dict.fromkeys(f"`{entry.kind_of(style)}`" for style in entry.styles)),
        command=" ".join([f"python -m {recipe}", *manifest["command"][1:]]),
        code=manifest["code"],
        base=config.base,
        limits=", whose limits it shares" if config.base != "fresh" else "",
        data="; ".join(files),
        method=config.method(),
        skipped=sum(number for *_, number in manifest.get("skipped", {}).get("counts", ())),
        figures=figures(manifest["heldout"]),
        note=f"{entry.note[0].upper()}{entry.note[1:]}. " if entry.note else "",
        calibrated="calibrated" if entry.calibration else "not calibrated",
    )
    return str(text)


def figures(heldout: list) -> str:
    """The held-out delta1 of a manifest as a table."""
    if not heldout:
        return "None were measured while it was trained."
    styles = sorted(heldout[-1]["styles"])
    lines = ["delta1 on held-out images, through the Predictor:", ""]
    lines += ["| step | " + " | ".join([*styles, "best constant answer"]) + " |"]
    lines += ["|---" * (len(styles) + 2) + "|"]
    for one in heldout:
        cells = [one["styles"][style] for style in styles] + [one["best_constant"]]
        lines.append(f"| {one['step']} | " + " | ".join(f"{c:.3f}" for c in cells) + " |")
    return "\n".join(lines)
