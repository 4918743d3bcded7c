# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The words of every question and the form of its answer, published ones and ours.

Knows nothing about how they are filled in or asked.
"""

# The special token that carries a place: Qwen's vocabularies have it and never use it alone.
POINT = "<|box_start|>"

_TAGS = (
    "Output the thinking process in <think> </think> and final answer (the meter number only,"
    " without the unit) in <answer> </answer> tags."
)
# style -> wording -> (question, form of the answer)
WORDINGS = {
    "marker": {
        # The released DepthLM code, for training and evaluation alike.
        "tags": (
            "Given this image, how far is the point pointed by the red arrow from the camera? "
            + _TAGS,
            "tags",
        ),
        # DepthLM, section 3.1.
        "sentence": ("How many meters is this point from the camera?", "sentence"),
    },
    "coordinates": {
        # The released VLM3 form.
        "tags": (
            "Given this image, how far is the point at coordinates ({x}, {y}) from the camera?"
            " The coordinates are in normalised [0, {range}] format relative to image width and"
            " height. " + _TAGS,
            "tags",
        ),
        # VLM3, the paper's form.
        "meters": (
            (
                "How far is the pixel at ({x}, {y}) from the camera? Both x and y are normalized"
                " to between [0, {range})."
            ),
            "meters",
        ),
    },
    # Ours: every word stands before the token that points, so that pixels share them all.
    "position": {
        "number": ("How many meters is this point from the camera?" + POINT, "number"),
    },
}
