"""What is in a data directory, and whether it is sound: looks, and changes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mainstem.errors import Conflict, Invalid
from mainstem.log import Finding, check
from mainstem.node.directory import Directory, acquire, is_locked, read_address

_METADATA = "metadata.sqlite"
_STORE_MANIFEST = "manifest"  # as docs/formats-lsm.md has it


def doctor(path: str | os.PathLike[str]) -> Iterator[Finding]:
    """Findings about the metadata store and every partition, or a state store, as they come.

    Holds the directory's lock meanwhile, so that no node starts in it. Raises ``Invalid`` if
    there is no data directory, ``Conflict`` if a node is using it: its files change under us.
    """
    directory = Path(path).expanduser().absolute()
    if not directory.is_dir():
        raise Invalid(f"{directory} is not a directory: name a node's data directory")
    if (directory / _STORE_MANIFEST).exists():
        yield from _state_store(directory)
        return
    if not any((directory / name).exists() for name in (_METADATA, "topics", "lock")):
        raise Invalid(
            f"{directory} holds no Mainstem data: name a node's data directory or a state store"
        )
    lock = _lock(directory)
    try:
        yield from _metadata(directory / _METADATA)
        yield from check(directory)
    finally:
        if lock is not None:
            os.close(lock.descriptor)  # not release(): a stale address is evidence, too


def _state_store(directory: Path) -> Iterator[Finding]:
    from mainstem.lsm import check as check_store

    if is_locked(directory):
        raise Conflict(f"{directory} is in use: close the store first")
    for found in check_store(directory):
        yield Finding(path=Path(found.path), severity=found.severity, message=found.message)


def _lock(directory: Path) -> Directory | None:
    if (directory / "lock").exists() and os.access(directory / "lock", os.W_OK):
        return acquire(directory)
    if is_locked(directory):
        owner = read_address(directory)
        raise Conflict(f"{directory} is in use{f' by {owner.pid}' if owner else ''}: stop it first")
    return None


def _metadata(path: Path) -> Iterator[Finding]:
    """SQLite's own integrity check, on a copy: opening a database replays its journal."""
    if not path.exists():
        yield Finding(path=path, severity="warning", message="no metadata store")
        return
    with tempfile.TemporaryDirectory(prefix="mainstem-doctor-") as scratch:
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                shutil.copyfile(source, Path(scratch, source.name))
        try:
            connection = sqlite3.connect(Path(scratch, path.name))
            try:
                messages = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
                topics = connection.execute("SELECT count(*) FROM topics").fetchone()[0]
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            messages, topics = [str(error)], 0
    if messages == ["ok"]:
        text = f"metadata store is sound ({topics} topics)"
        yield Finding(path=path, severity="ok", message=text)
        return
    for message in messages:
        text = f"metadata store is damaged: {message}"
        yield Finding(path=path, severity="error", message=text)
