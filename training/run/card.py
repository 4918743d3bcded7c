# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The model card of a checkpoint: README.md, from the run's manifest alone."""

CARD = """\
---
license: {licence}
pipeline_tag: image-text-to-text
tags: [metric-depth, ros2]
---
# {name}

A {architecture} model that says how far away a pixel is, trained by depthlm_ros. Pictures are
brought to a focal length of {focal_px:g} px; answers are metres of kind `{kind}`; it is asked by
{styles}. `depthlm.json` holds all of this for the node:

    depthlm_node --ros-args -p checkpoint:=FOLDER

## How it was made

    {command}

* Code: {code}. Started from: `{base}`.
* Data: {data}
* {steps} steps of {batch} pictures. {skipped}
* Stages: {stages}

## Figures

{figures}

## Limits

{note}
It answers for pictures like those it was trained on; elsewhere, measure it first
(`depthlm eval`). Its distances are estimates from one picture and no measurements: do not let
anything that can do harm depend on them alone. Its 5 to 95 % interval is {calibrated}.
"""


def card(manifest: dict, row) -> str:
    """The text. manifest: Manifest.content; row: the Checkpoint that is shipped."""
    config = manifest["config"]
    stages = (
        f"{s['name']}: {s['steps']} steps at {s['lr']:g}, asks {s['ask'] or 'nothing'}"
        for s in config["stages"]
    )
    return CARD.format(
        licence=row.licence or "unknown",
        name=row.name,
        architecture=row.architecture,
        focal_px=row.focal_px,
        kind=row.kind,
        styles=", ".join(row.wording),
        command=" ".join(["python -m training.sft", *manifest["command"][1:]]),
        code=manifest["code"],
        base=config["base"],
        data="; ".join(f"{one['file']} ({one['sha256'][:12]})" for one in manifest["data"]),
        steps=sum(s["steps"] for s in config["stages"]),
        batch=config["batch"],
        skipped=_skipped(manifest.get("skipped")),
        stages="; ".join(stages),
        figures=figures(manifest["heldout"]),
        note=row.note and f"{row.note[0].upper()}{row.note[1:]}.",
        calibrated="calibrated" if row.calibration else "not calibrated",
    )


def _skipped(skipped) -> str:
    total = sum(number for *_, number in skipped["counts"]) if skipped else 0
    return f"{total} records could not be used and were skipped."


def figures(heldout) -> str:
    """The held-out delta1 of a manifest as a table."""
    if not heldout:
        return "None were measured while it was trained."
    styles = sorted(heldout[-1]["styles"])
    lines = ["delta1 on held-out pictures, through the Predictor:", ""]
    lines += ["| step | " + " | ".join([*styles, "best constant answer"]) + " |"]
    lines += ["|---" * (len(styles) + 2) + "|"]
    for one in heldout:
        cells = [one["styles"][style] for style in styles] + [one["best_constant"]]
        lines.append(f"| {one['step']} | " + " | ".join(f"{c:.3f}" for c in cells) + " |")
    return "\n".join(lines)
