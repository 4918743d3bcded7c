# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Pictures are made ready before they are asked about, while nearly every one of them is.

To convert and resize a picture takes longer than all else that the node does for a question.
Nothing is done for pictures that are rarely asked about. Knows nothing about messages.
"""

import contextlib
import threading
from collections import deque

LAST, ENOUGH = 4, 3  # of the last four pictures three were asked about; half would hit the others


class Ahead:
    """Readies the pictures of one camera, one at a time, in a thread of their own."""

    def __init__(self, worker):
        self._worker = worker
        self._asked = deque(maxlen=LAST)
        self._thread = None

    def replaced(self, before, picture) -> None:
        """A Picture has come in the place of another, which says whether it was asked about."""
        self._asked.append(before.asked)
        predictor = self._worker.predictor
        if predictor is None or sum(self._asked) < ENOUGH or self._busy:
            return
        self._thread = threading.Thread(target=_ready, args=(predictor, picture), name="ahead")
        self._thread.start()

    @property
    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()


def _ready(predictor, picture):
    with contextlib.suppress(Exception):  # whoever asks about the picture meets it and is told
        predictor.look(picture.frame)
