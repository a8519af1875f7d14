"""The broker's small durable facts (topics, configs, offsets, ids) in one SQLite file.

Reads happen once, at start; afterwards memory is what requests read, and memory changes only
after the commit. All writes go through one thread, and everything that queued up while the last
transaction was being synced shares the next one, so a thousand offset commits cost one fsync.
"""

from __future__ import annotations

import asyncio
import base64
import queue
import sqlite3
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mainstem.broker.sqlite_file import FORMAT, KAFKA_STORAGE_ERROR, connect, open_file, translate
from mainstem.clock import Clock, SystemClock
from mainstem.errors import Closed, Unavailable

__all__ = ["FORMAT", "Store"]

T = TypeVar("T")

_BATCH_LIMIT = 4096


@dataclass(slots=True)
class _Write:
    """One queued function and where its outcome goes."""

    run: Callable[[sqlite3.Connection], Any]
    deliver: Callable[[], None]
    loop: asyncio.AbstractEventLoop | None = None
    result: Any = None
    error: BaseException | None = None


class Store:
    """SQLite in WAL mode, ``synchronous=FULL``: a returned write survives power loss.

    ``write`` may be called from any event loop, ``read``, ``schema`` and ``write_now`` from any
    thread. Raises ``Corrupt`` when the file is not ours, damaged, or of a newer format.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self.path = Path(path)
        self.clock: Clock = clock or SystemClock()
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._poison: str | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._reader_lock = threading.Lock()
        self._writer = open_file(self.path)
        try:
            self._reader = connect(self.path)
        except BaseException:
            self._writer.close()
            raise
        self._thread = threading.Thread(target=self._run, name="mainstem-store", daemon=True)
        self._thread.start()
        self.cluster_id: str = self.write_now(_cluster_id)

    def schema(self, script: str) -> None:
        """Runs idempotent ``CREATE TABLE IF NOT EXISTS`` statements, separated by ``;``."""

        def create(connection: sqlite3.Connection) -> None:
            # Not executescript: it would commit the transaction that others share.
            for statement in script.split(";"):
                if statement.strip():
                    connection.execute(statement)

        self.write_now(create)

    async def write(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Runs ``run(connection)`` in the writer thread; returns after its commit is on disk.

        An exception in ``run`` undoes only that function's changes and is raised here. Raises
        ``Unavailable`` (code 56) when the disk refuses, ``Closed`` after ``close``. Cancelling
        the caller does not undo the write: whoever mirrors it in memory must shield the pair.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def deliver() -> None:
            if future.done():  # the caller was cancelled
                return
            if write.error is not None:
                future.set_exception(write.error)
            else:
                future.set_result(write.result)

        write = _Write(run, deliver, loop)
        self._submit(write)
        return await future

    def write_now(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """As ``write``, blocking the calling thread: for start-up and shutdown."""
        done = threading.Event()
        write = _Write(run, done.set)
        self._submit(write)
        done.wait()
        if write.error is not None:
            raise write.error
        result: T = write.result
        return result

    def read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Runs a query on committed data, in the calling thread: for loading at start."""
        with self._reader_lock:
            if self._closed:
                raise Closed(f"the metadata store {self.path} is closed: open it again")
            try:
                return run(self._reader)
            except sqlite3.DatabaseError as error:
                if (translated := translate(error, self.path)) is not error:
                    raise translated from error
                raise

    def close(self) -> None:
        """Finishes what is queued, then closes the file. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        with self._reader_lock:
            self._reader.close()

    # --- the writer thread -------------------------------------------------------------------

    def _submit(self, write: _Write) -> None:
        with self._lock:  # nothing may be queued behind the end marker: it would wait for ever
            if self._closed:
                raise Closed(f"the metadata store {self.path} is closed: open it again")
            self._queue.put(write)

    def _run(self) -> None:
        closing = False
        while not closing:
            batch: list[_Write] = []
            item = self._queue.get()
            while item is not None:
                batch.append(item)
                if len(batch) >= _BATCH_LIMIT or self._queue.empty():
                    break
                item = self._queue.get()
            closing = item is None
            if batch:
                self._commit(batch)
                _deliver(batch)
        self._writer.close()

    def _commit(self, batch: list[_Write]) -> None:
        """One transaction for the whole batch; outcomes are left in its items."""
        try:
            if self._poison is not None:
                raise Unavailable(self._poison, code=KAFKA_STORAGE_ERROR)
            self._writer.execute("BEGIN IMMEDIATE")
            for write in batch:
                self._run_one(write)
            self._writer.execute("COMMIT")
        except BaseException as error:
            self._rollback()
            known = error
            if isinstance(error, sqlite3.DatabaseError):
                known = translate(error, self.path)
                self._poison_if_io(error)
            for write in batch:
                write.error = write.error or known

    def _rollback(self) -> None:
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            self._poison = f"the metadata store {self.path} cannot roll back ({error}): restart"

    def _run_one(self, write: _Write) -> None:
        connection = self._writer
        connection.execute("SAVEPOINT one")
        try:
            write.result = write.run(connection)
        except BaseException as error:
            # A full disk makes SQLite roll back everything: then nobody's write is there.
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO one")
            database = isinstance(error, sqlite3.DatabaseError)
            write.error = translate(error, self.path) if database else error
        connection.execute("RELEASE one")

    def _poison_if_io(self, error: sqlite3.DatabaseError) -> None:
        # After a failed fsync the page cache no longer says what is on disk: stop until reopened.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
            self._poison = (
                f"the metadata store {self.path} failed to write ({error}): check the disk, "
                "then restart"
            )


def _deliver(batch: list[_Write]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop | None, list[_Write]] = {}
    for write in batch:
        by_loop.setdefault(write.loop, []).append(write)

    def deliver_all(writes: list[_Write]) -> None:
        for write in writes:
            write.deliver()

    for loop, writes in by_loop.items():
        if loop is None:
            deliver_all(writes)
        elif not loop.is_closed():
            try:
                loop.call_soon_threadsafe(deliver_all, writes)
            except RuntimeError:  # the loop closed in between: nobody is waiting any more
                continue


def _cluster_id(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT value FROM meta WHERE key = 'cluster_id'").fetchone()
    if row is not None:
        return str(row[0])
    fresh = "-"
    while fresh.startswith("-"):  # Kafka avoids it, too: command lines take it for an option
        fresh = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
    connection.execute("INSERT INTO meta (key, value) VALUES ('cluster_id', ?)", (fresh,))
    return fresh
