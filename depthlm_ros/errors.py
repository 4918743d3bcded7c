# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The exceptions of the package, drawn here and nowhere else, and the codes that tell them apart.

DepthLMError
├── InputError           what the caller gave cannot be used (also a ValueError)
│   ├── CameraError      intrinsics that are missing, impossible, or contradict the image
│   ├── ImageError       an image that cannot be read
│   ├── RecordError      a line of a records file, named by file and line
│   └── UnsupportedError what this checkpoint or engine cannot be asked, with the reason
├── CheckpointError      a model folder that is absent, half written, or of another kind
├── MissingDependency    a package that is not installed; the message says how to install it
└── EngineError          the model or its server failed while it was asked
    └── OutOfMemory      the model, or one question, does not fit into memory

A reply without a number is none of these: it is a result (NaN with a status).
"""

from enum import IntEnum
from typing import NamedTuple


class Code(IntEnum):
    """What kind of problem it is; the numbers of depthlm_interfaces/msg/ResultCode, where each is
    described. Programs decide by the code, the sentence beside it is for people."""

    OK = 0
    LOADING = 1
    NO_IMAGE = 2
    STALE_IMAGE = 3
    BAD_IMAGE = 4
    BAD_INTRINSICS = 5
    BAD_REQUEST = 6
    NO_TRANSFORM = 7
    BUSY = 8
    TIMED_OUT = 9
    CANCELLED = 10
    UNCONFIGURED = 11
    INACTIVE = 12
    SHUTTING_DOWN = 13
    MODEL_FAILED = 14
    INTERNAL = 15


class Problem(NamedTuple):
    """Why something is not possible. text: what happened, what is allowed, what to do."""

    code: Code
    text: str


class DepthLMError(Exception):
    """Base of everything that this package raises on purpose.

    code: the one given, else that of the class.
    """

    code = Code.INTERNAL

    def __init__(self, text: str = "", code: Code | None = None) -> None:
        super().__init__(text)
        if code is not None:
            self.code = code

    @property
    def problem(self) -> Problem:
        """The error as a value."""
        return Problem(self.code, str(self))


class InputError(DepthLMError, ValueError):
    """What the caller gave cannot be used; the message says what is allowed."""

    code = Code.BAD_REQUEST


class CameraError(InputError):
    """Intrinsics are missing, impossible, or contradict the image."""

    code = Code.BAD_INTRINSICS


class ImageError(InputError):
    """An image cannot be read or has the wrong form."""

    code = Code.BAD_IMAGE


class RecordError(InputError):
    """A record is malformed; the message names file and line."""


class UnsupportedError(InputError):
    """This checkpoint or engine cannot be asked that; the message says why and what can."""


class CheckpointError(DepthLMError):
    """A checkpoint is absent, half written, or of another kind."""

    code = Code.MODEL_FAILED


class MissingDependency(DepthLMError):
    """A package is not installed; the message says how to install it."""

    code = Code.MODEL_FAILED


class EngineError(DepthLMError):
    """The model or its server failed while it was asked."""

    code = Code.MODEL_FAILED


class OutOfMemory(EngineError):
    """The model, or a single question, does not fit; the message says what was needed."""


def first_line(error: BaseException) -> str:
    """What an exception of some library says, or is; the lines below are advice and addresses."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
