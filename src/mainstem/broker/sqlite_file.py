"""The metadata file itself: made, recognised, refused, and SQLite's errors in our words."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from mainstem.errors import Corrupt, Unavailable

#: Version of the whole file; a newer one is refused, an older one would be migrated here.
FORMAT = 1
_APPLICATION_ID = 0x4D535441  # "MSTA": tells our file from any other SQLite database
KAFKA_STORAGE_ERROR = 56
_DISK_TROUBLE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
    }
)
_META = "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


def connect(path: Path) -> sqlite3.Connection:
    """A connection that any one thread at a time may use, without implicit transactions."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute("PRAGMA busy_timeout = 10000")  # somebody may be looking with sqlite3
    return connection


def open_file(path: Path) -> sqlite3.Connection:
    """The writer's connection to a file that is ours, made if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection: sqlite3.Connection | None = None
    try:
        path.touch(mode=0o600)  # it will hold credentials; SQLite's own default is 0644
        connection = connect(path)
        ours = _check_format(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if ours:
            return connection
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute(_META)
        connection.execute("COMMIT")
    except BaseException as error:
        if connection is not None:
            connection.close()
        if (translated := translate(error, path)) is not error:
            raise translated from error
        raise
    descriptor = os.open(path.parent, os.O_RDONLY)  # the file's own name must survive, too
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return connection


def _check_format(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is complete and ours, rather than new; raises ``Corrupt`` if neither."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != _APPLICATION_ID and (application or version or tables):
        raise Corrupt(
            f"{path} is a SQLite database of another program (application id {application}): "
            "choose another data directory"
        )
    if version > FORMAT:
        raise Corrupt(
            f"{path} has metadata format {version}, this Mainstem knows up to {FORMAT}: "
            "run the newer Mainstem that wrote it"
        )
    return bool(version)


def translate(error: BaseException, path: Path) -> BaseException:
    """What callers see instead of SQLite's errors; mistakes in our own SQL stay as they are."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case code if code in _DISK_TROUBLE:
            return Unavailable(
                f"the metadata store {path} cannot be used now ({error}): check the disk",
                code=KAFKA_STORAGE_ERROR,
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Corrupt(
                f"the metadata store {path} is damaged ({error}): restore it from a backup",
                code=KAFKA_STORAGE_ERROR,
            )
    return error
