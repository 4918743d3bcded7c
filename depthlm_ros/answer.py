# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a model replies: metres -> the text it is trained on, a reply -> metres or why not."""

import re
from dataclasses import dataclass
from math import isfinite, nan

LARGEST_M = 10_000.0  # beyond this a "distance" is noise


@dataclass(frozen=True)
class AnswerForm:
    """The sentence around the number; template holds {d} once or more, FREE's not at all."""

    template: str

    @property
    def is_number(self) -> bool:
        """Whether the answer is a number in known words."""
        return "{d}" in self.template

    @property
    def opening(self) -> str:
        """The words before the first number: known, so given to the model and not generated."""
        return self.template.partition("{d}")[0]

    def closing(self, number: str) -> str:
        """The words behind the first number, in which it may stand again."""
        return self.template.partition("{d}")[2].replace("{d}", number)

    def render(self, metres: float, decimals: int = 2) -> str:
        """The training text for a distance in metres, with so many decimals."""
        return self.template.replace("{d}", f"{metres:.{decimals}f}")


# "tags" is what the released DepthLM code trains on (VLM3 has the same tags), "sentence" the
# paper's form (DepthLM, section 3.1), "meters" VLM3's paper form; "number" is ours.
FORMS = {
    "tags": AnswerForm(
        "<think> The point is around {d} meters away from the camera. </think>\n\n"
        "<answer> {d} </answer>"
    ),
    "sentence": AnswerForm("The point is around {d} meters away from the camera."),
    "meters": AnswerForm("{d} meters"),
    "number": AnswerForm("{d}"),
}

# A pose, a pixel, a sentence: no number in known words, so the model says it freely.
FREE = AnswerForm("")

_TAG = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL)
# Also without a digit before the point, or with an exponent, as VLM3's scorer reads them.
_NUMBER = re.compile(
    r"(?:(?<![\d.])-?\d+(?:\.\d+)?|(?<![\w.])-?\.\d+)(?:[eE][-+]?\d+)?",
)


@dataclass(frozen=True)
class Parsed:
    """What a reply says.

    metres: NaN where it holds no usable number.
    reason: why it holds none, "" where it does.
    """

    metres: float
    reason: str = ""


def parse(text: str) -> Parsed:
    """Metres from a reply: the number in the last <answer>, else the last number.

    Unlike the released scorer (math_verify), zero and negative numbers are refused instead of
    being scored as right.
    """
    tags = [t for t in _TAG.findall(text) if _NUMBER.search(t)]
    numbers = _NUMBER.findall(tags[-1] if tags else text)
    if not numbers:
        return Parsed(nan, f"no number in the reply {text[:80]!r}")
    metres = float(numbers[-1])
    if not isfinite(metres) or not 0 < metres <= LARGEST_M:
        return Parsed(nan, f"{numbers[-1][:20]} is no distance in (0, {LARGEST_M:g}] m")
    return Parsed(metres)
