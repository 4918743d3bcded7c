# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The recording of the answers, written in parts so that a killed run can continue, then joined.

A part holds the work of a few seconds and is a recording itself.
"""

import fcntl
import heapq
import json
import os
import shutil
import time
from os import PathLike
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from depthlm_ros.bags.reader import STORE, RawReader, definition
from depthlm_ros.errors import InputError

PART_S = 10.0  # what a kill costs at most, beside the image under way


class Parts:
    """The finished parts of the recording `out`, in the folder beside it, OUT.parts.

    job: everything that the answers depend on, for JSON; parts of another job are refused.
    done: how many images of the input are settled.

    Raises InputError. A context manager that finishes the part under way, also when an error ends
    the run.
    """

    def __init__(self, out: str | PathLike, job: dict):
        self.out = Path(out)
        if self.out.exists():
            raise InputError(f"{out} exists already: remove it, or give another name")
        self.folder = self.out.with_name(self.out.name + ".parts")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked(json.dumps(job, indent=1, sort_keys=True))
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._writer, self._topics, self._began = None, {}, 0.0
        self._is_torn = False  # whether the part holds only some messages of an image
        self._next = self.done

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.finish_part()
        finally:
            if self.folder.exists() and not self._finished():  # nothing to continue from
                shutil.rmtree(self.folder, ignore_errors=True)
            self._lock.close()

    @property
    def done(self) -> int:
        """Images of the input that finished parts have settled."""
        return max((int(part.name) for part in self._finished()), default=0)

    def write(self, index: int, time_ns: int, messages: list[tuple[str, Any]]) -> None:
        """Add [(topic, message)] for image `index`, recorded at time_ns."""
        if self._writer is None:
            self._begin_part()
        raw = [STORE.serialize_cdr(message, message.__msgtype__) for _, message in messages]
        for (topic, message), data in zip(messages, raw, strict=True):
            if topic not in self._topics:
                connection = self._writer.add_connection(
                    topic, message.__msgtype__, typestore=STORE
                )
                self._topics[topic] = connection
            self._is_torn = True
            self._writer.write(self._topics[topic], time_ns, data)
        self._is_torn = False
        self._next = index + 1
        if time.monotonic() - self._began > PART_S:
            self.finish_part()

    def finish_part(self) -> None:
        """Keep what was written so far, unless an error came in the middle of an image: then the
        next run answers again what the part held."""
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        if not self._is_torn:
            self._unfinished.rename(self.folder / f"{self._next:09d}")

    def join(self, kept: RawReader | None = None) -> int:
        """Write `out` from all parts and remove them; returns how many messages it holds.

        kept: a recording whose messages are copied too, byte by byte. Where `out` ends in .mcap it
        is that file, else a folder with metadata.yaml.
        """
        self.finish_part()
        if not self._finished():
            raise InputError(f"no image was answered, so nothing is written to {self.out}")
        whole = self.folder / "whole" / self.out.stem
        shutil.rmtree(whole.parent, ignore_errors=True)
        count = self._write_whole(whole, kept)
        is_file = self.out.suffix == ".mcap"
        os.replace(whole / f"{whole.name}.mcap" if is_file else whole, self.out)
        shutil.rmtree(self.folder)
        return count

    def _begin_part(self):
        self._writer, self._topics, self._began = _writer(self._unfinished), {}, time.monotonic()
        self._writer.open()

    @property
    def _unfinished(self):
        return self.folder / "unfinished"

    def _finished(self) -> list:
        return sorted(path for path in self.folder.iterdir() if path.name.isdigit())

    def _locked(self, job):
        """The job file, locked: two runs must not write the same parts."""
        file = (self.folder / "job.json").open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run is writing {self.out}") from None
        file.seek(0)
        before = file.read()
        if before != job and self._finished():
            raise InputError(
                f"{self.folder} holds parts of a run with other options: {before} instead of"
                f" {job}. Give the same again, or remove that folder"
            )
        file.truncate(0)
        file.write(job)
        file.flush()
        return file

    def _write_whole(self, path, kept) -> int:
        count = 0
        with _writer(path) as writer:
            added = {}
            for connection, time_ns, raw in self._messages(kept):
                key = connection.topic, connection.msgtype
                if key not in added:
                    added[key] = _copied(writer, connection)
                writer.write(added[key], time_ns, raw)
                count += 1
        return count

    def _messages(self, kept):
        """(connection, time [ns], bytes) of parts and kept recording, in order of time."""
        sources = [self._part_messages()]
        if kept is not None:
            sources.append(kept.messages())
        return heapq.merge(*sources, key=lambda message: message[1])

    def _part_messages(self):
        for part in self._finished():
            with RawReader(part) as reader:
                yield from reader.messages()


def _writer(path):
    # Metadata of version 8 is read by older distributions too.
    writer = Writer(path, version=8, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    return writer


def _copied(writer, connection):
    return writer.add_connection(
        connection.topic,
        connection.msgtype,
        **definition(connection),
        serialization_format=connection.ext.serialization_format,
        offered_qos_profiles=connection.ext.offered_qos_profiles,
    )
