# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""OpenScenes: a view is opened in an engine once, however many ask about it at one time.

Knows of engines only the contract.
"""

import threading
from dataclasses import dataclass

from depthlm_ros.view import SharedFrame


@dataclass
class _Entry:
    """An open scene; key: what it shows."""

    scene: object
    key: object
    frame: object  # as long as it lives, its id is its own
    users: int = 1


class OpenScenes:
    """The scenes of one engine that somebody uses. take() is for one thread, give_back() for any.

    Only views of a SharedFrame are shared: the picture of another Frame may change.
    """

    def __init__(self, engine):
        self._engine = engine
        self._entries = {}  # id of the scene -> entry
        self._lock = threading.Lock()

    def take(self, view, asker):
        """The scene of a View in a Style, to be given back. Raises what Engine.open raises."""
        key = _key(view, asker)
        with self._lock:
            for entry in self._entries.values():
                if entry.key == key:
                    entry.users += 1
                    return entry.scene
        scene = self._engine.open([view], asker)
        with self._lock:
            self._entries[id(scene)] = _Entry(scene, key, view.frame)
        return scene

    def give_back(self, scene) -> None:
        """Close it if nobody else uses it."""
        with self._lock:
            entry = self._entries[id(scene)]
            entry.users -= 1
            if entry.users:
                return
            del self._entries[id(scene)]
        scene.close()


def _key(view, asker):
    if not isinstance(view.frame, SharedFrame):
        return object()  # equal to no other
    return id(view.frame), view.camera, view.offset, asker.name
