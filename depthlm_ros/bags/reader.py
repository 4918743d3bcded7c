# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Raw messages of a rosbag2 recording, whatever types it holds.

The high-level reader of rosbags parses the definitions of all types before it reads a message, so
that one odd topic hides every image. Here the types of a camera are decoded by their standard
definitions, and everything else stays bytes. The storage classes of rosbags are extended in ways
that it does not document; read in version 0.11.9.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import apsw
from rosbags.interfaces import Connection, MessageDefinitionFormat, TopicInfo
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.reader import DirectoryReader
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader
from rosbags.typesys import Stores, get_typestore

from depthlm_ros.errors import InputError, first_line

STORE = get_typestore(Stores.ROS2_JAZZY)
# Of definitions, as rosbags knows them; recorders write others where they have none.
_ENCODINGS = "ros2msg", "ros2idl"
_MCAP_ENCODINGS = *_ENCODINGS, "omgidl", ""
_NO_HASH = "RIHS01_" + 64 * "0"
_ZSTD = b"\x28\xb5\x2f\xfd"  # with which compressed bytes begin
_ONLY_KNOWN = f"""
CREATE TEMP VIEW message_definitions AS SELECT id, topic_type, type_description_hash,
    CASE WHEN encoding IN {_ENCODINGS} THEN encoding ELSE 'ros2msg' END AS encoding,
    CASE WHEN encoding IN {_ENCODINGS} THEN encoded_message_definition ELSE '' END
        AS encoded_message_definition
FROM main.message_definitions
"""


class _Schemas(dict):
    """Schemas by number; a definition in an unknown language is kept as none."""

    def __setitem__(self, key, schema):
        known = schema.encoding in _MCAP_ENCODINGS
        super().__setitem__(key, schema if known else schema._replace(encoding="ros2msg", data=""))


class _Mcap(McapReader):
    def __init__(self, path):
        super().__init__(path)
        self.schemas = _Schemas()


class _Sqlite3(Sqlite3Reader):
    def __init__(self, path):
        super().__init__(Path(quote(str(path))))  # it becomes a part of a URI
        self._log = path.with_name(f"{path.name}-wal")

    def open(self):
        if self._log.exists() and self._log.stat().st_size:
            raise InputError(
                f"{self._log} holds messages that are not in its recording yet, which was not"
                " closed: once nothing writes to it, `sqlite3 FILE.db3 'PRAGMA wal_checkpoint'`"
                " moves them there"
            )

        def only_known(connection):
            connection.execute(_ONLY_KNOWN)

        apsw.connection_hooks.append(only_known)
        try:
            super().open()
        finally:
            apsw.connection_hooks.remove(only_known)


class _Directory(DirectoryReader):
    STORAGE_PLUGINS: ClassVar = {"mcap": _Mcap, "sqlite3": _Sqlite3}

    def open(self):
        """A topic is known by its name and type: metadata.yaml may tell another QoS than its
        files, where somebody changed it for playing, and their messages would be passed over."""
        super().open()
        told = {(c.topic, c.msgtype): c.ext for c in self.connections}
        for storage in self.storages:
            storage.connections = [
                c._replace(ext=told.get((c.topic, c.msgtype), c.ext)) for c in storage.connections
            ]


class RawReader(Reader):
    """An open recording: a folder with metadata.yaml, an .mcap or a .db3 file.

    Raises InputError where it cannot be read, also in the middle of its messages.
    """

    STORAGE_PLUGINS: ClassVar = {"dir": _Directory, ".mcap": _Mcap, ".db3": _Sqlite3}

    def __init__(self, path: str | Path):
        path = Path(path)
        if path.suffix == ".bag":
            raise InputError(f"{path} is a recording of ROS 1: convert it with `rosbags-convert`")
        if path.is_dir() and not (path / "metadata.yaml").is_file():
            raise InputError(
                f"the folder {path} holds no metadata.yaml, so it is no recording: `ros2 bag"
                " reindex FOLDER` makes one of its files, or name one of these (.mcap, .db3)"
            )
        if path.is_file() and path.suffix not in self.STORAGE_PLUGINS:
            raise InputError(
                f"{path} is no recording: rosbag2 folders, .mcap and .db3 files are read"
            )
        try:
            super().__init__(path)
            self.open()
        except FileNotFoundError as error:
            raise InputError(f"there is no recording at {path}") from error
        except InputError:
            raise
        except Exception as error:  # of many kinds, where a file is cut off or of another format
            raise self._unreadable(error) from error

    def __enter__(self):
        return self

    @property
    def topics(self) -> dict[str, TopicInfo]:
        """Name -> type, number of messages and connections of each topic."""
        try:
            return super().topics
        except Exception as error:  # metadata.yaml holds whatever somebody wrote into it
            raise self._unreadable(error) from error

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """(connection, time of recording [ns], bytes) of each message, in order of time."""
        try:
            yield from super().messages(connections, start, stop)
        except Exception as error:
            raise self._unreadable(error) from error

    def deserialize(self, raw: bytes, kind: str) -> Any:
        """The message in the bytes, of a standard type; InputError where they hold none."""
        try:
            return STORE.deserialize_cdr(raw, kind)
        except Exception as error:
            reason = first_line(error)
            if bytes(raw[: len(_ZSTD)]) == _ZSTD:
                reason = "it is compressed, which metadata.yaml tells: name the recording's folder"
            raise InputError(f"a message of type {kind} cannot be decoded: {reason}") from error

    def first_message(self, topic: str) -> Any:
        """The first message on a topic, of a standard type, that can be decoded; None where there
        is none."""
        connections = [c for c in self.connections if c.topic == topic]
        if not connections:
            return None
        for connection, _, raw in self.messages(connections):
            with suppress(InputError):
                return self.deserialize(raw, connection.msgtype)
        return None

    def chosen(self, named: str, among: Sequence[str], what: str, option: str) -> str:
        """The named one of these topics, "" for the only one there is. InputError says which there
        are; what: they carry; option: of the command line, to name one."""
        if named in among:
            return named
        if not named and len(among) == 1:
            return among[0]
        if not among and not named:
            topics = self.topics.items()
            other = ", ".join(f"{name} ({of.msgcount} of {of.msgtype})" for name, of in topics)
            raise InputError(f"{self.path} has no {what}, but {other or 'no topic at all'}")
        there = ", ".join(f"{topic} ({self.topics[topic].msgcount})" for topic in among)
        asked = f"no {what} on {named}" if named else f"{len(among)} topics of {what}"
        raise InputError(f"{self.path} has {asked}; give {option}; there: {there or 'none'}")

    def _unreadable(self, error):
        reason = f"{type(error).__name__}: {first_line(error)}"
        return InputError(
            f"{self.path} cannot be read as a rosbag2 recording ({reason}). If it was cut off,"
            " repair it with `ros2 bag reindex FOLDER` or `mcap recover FILE`"
        )


def info_beside(topic: str) -> str:
    """The topic of camera_info beside one of images or depth images, as cameras name it: the last
    word replaced, a transport left out."""
    plain = topic.removesuffix("/compressed").removesuffix("/compressedDepth")
    return plain.rpartition("/")[0] + "/camera_info"


def definition(connection: Connection) -> dict[str, str]:
    """What Writer.add_connection is told about the type of a connection: its definition and hash.

    As recorded; of standard types that came without one, the standard's; else empty.
    """
    text, kind = connection.msgdef.data, connection.msgtype
    if not text.strip() and kind in STORE.types:
        text = STORE.generate_msgdef(kind, ros_version=2)[0]
    header = "=" * 80 + "\nIDL: "
    if connection.msgdef.format == MessageDefinitionFormat.IDL and not text.startswith(header):
        text = f"{header}{kind}\n{text}"
    known = STORE.hash_rihs01(kind) if kind in STORE.types else _NO_HASH
    return {"msgdef": text, "rihs01": connection.digest or known}
