# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The exceptions of the package, drawn here and nowhere else.

DepthLMError
├── InputError           what the caller gave cannot be used (also a ValueError)
│   ├── CameraError      intrinsics that are missing, impossible, or contradict the picture
│   ├── ImageError       a picture that cannot be read
│   ├── RecordError      a line of a records file, named by file and line
│   └── UnsupportedError what this checkpoint or engine cannot be asked, with the reason
├── CheckpointError      a model folder that is absent, half written, or of another kind
├── MissingDependency    a package that is not installed; the message says how to install it
└── EngineError          the model or its server failed while it was asked
    └── OutOfMemory      the model, or one question, does not fit into memory

A reply without a number is none of these: it is a result (NaN with a status).
"""


class DepthLMError(Exception):
    """Base of everything that this package raises on purpose."""


class InputError(DepthLMError, ValueError):
    """What the caller gave cannot be used; the message says what is allowed."""


class CameraError(InputError):
    """Intrinsics are missing, impossible, or contradict the picture."""


class ImageError(InputError):
    """A picture cannot be read or has the wrong form."""


class RecordError(InputError):
    """A record is malformed; the message names file and line."""


class UnsupportedError(InputError):
    """This checkpoint or engine cannot be asked that; the message says why and what can."""


class CheckpointError(DepthLMError):
    """A checkpoint is absent, half written, or of another kind."""


class MissingDependency(DepthLMError):
    """A package is not installed; the message says how to install it."""


class EngineError(DepthLMError):
    """The model or its server failed while it was asked."""


class OutOfMemory(EngineError):
    """The model, or a single question, does not fit; the message says what was needed."""


def first_line(error: BaseException) -> str:
    """What an exception of some library says, or is; the lines below are advice and addresses."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
