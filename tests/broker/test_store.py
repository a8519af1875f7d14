"""The metadata store: group commit, isolation of failures, and what a start refuses."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mainstem.broker.store import FORMAT, Store
from mainstem.errors import Closed, Corrupt, Unavailable

TABLE = "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "metadata.sqlite")
    store.schema(TABLE)
    yield store
    store.close()


def put(name: str, value: int) -> Callable[[sqlite3.Connection], int]:
    def run(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO facts VALUES (?, ?)", (name, value))
        return value

    return run


def facts(store: Store) -> dict[str, int]:
    return dict(store.read(lambda c: c.execute("SELECT name, value FROM facts").fetchall()))


class Gate:
    """Holds the writer thread, so that a test knows what waits behind it."""

    def __init__(self, store: Store) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=store.write_now, args=(self._wait,))
        self.thread.start()
        assert self.entered.wait(10)

    def _wait(self, connection: sqlite3.Connection) -> None:
        self.entered.set()
        assert self.open.wait(10)

    def release(self) -> None:
        self.open.set()
        self.thread.join()


def test_a_write_returns_what_its_function_returned_and_is_readable(store: Store) -> None:
    assert asyncio.run(store.write(put("a", 7))) == 7
    assert facts(store) == {"a": 7}


def test_writes_survive_a_reopening(tmp_path: Path) -> None:
    first = Store(tmp_path / "metadata.sqlite")
    first.schema(TABLE)
    first.write_now(put("a", 1))
    first.close()
    second = Store(tmp_path / "metadata.sqlite")
    second.schema(TABLE)
    try:
        assert facts(second) == {"a": 1}
        assert second.cluster_id == first.cluster_id
    finally:
        second.close()


def test_cluster_id_has_kafkas_form(store: Store) -> None:
    assert len(store.cluster_id) == 22
    assert not store.cluster_id.startswith("-")


def test_writes_that_wait_together_share_one_commit(store: Store) -> None:
    statements: list[str] = []
    gate = Gate(store)
    store._writer.set_trace_callback(statements.append)

    async def many() -> list[int]:
        writes = [asyncio.ensure_future(store.write(put(f"n{i}", i))) for i in range(100)]
        await asyncio.sleep(0)  # all are queued now
        gate.open.set()
        return await asyncio.gather(*writes)

    assert asyncio.run(many()) == list(range(100))
    gate.release()
    assert statements.count("COMMIT") == 2  # the gate's own, and one for the hundred


def test_a_failing_function_undoes_only_its_own_changes(store: Store) -> None:
    def half_done(connection: sqlite3.Connection) -> None:
        put("half", 1)(connection)
        raise ValueError("on purpose")

    async def together() -> list[Any]:
        writes = (store.write(put("a", 1)), store.write(half_done), store.write(put("b", 2)))
        return await asyncio.gather(*writes, return_exceptions=True)

    gate = Gate(store)
    threading.Timer(0, gate.open.set).start()
    first, second, third = asyncio.run(together())
    gate.release()
    assert (first, third) == (1, 2)
    assert isinstance(second, ValueError)
    assert facts(store) == {"a": 1, "b": 2}


def test_a_constraint_error_reaches_its_caller_unchanged(store: Store) -> None:
    store.write_now(put("a", 1))
    with pytest.raises(sqlite3.IntegrityError):
        store.write_now(put("a", 2))
    assert facts(store) == {"a": 1}


def test_a_mistake_in_sql_is_not_called_disk_trouble(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.write_now(lambda connection: connection.execute("SELECT * FROM nowhere"))


def test_a_full_disk_fails_everybody_in_the_transaction_and_nothing_is_kept(store: Store) -> None:
    (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count = {pages}")

    def big(connection: sqlite3.Connection) -> None:
        for number in range(10_000):
            put(f"{number:0100d}", number)(connection)

    with pytest.raises(Unavailable, match="full") as caught:
        store.write_now(big)
    assert caught.value.code == 56
    store._writer.execute("PRAGMA max_page_count = 1000000")
    assert facts(store) == {}
    assert store.write_now(put("a", 1)) == 1  # there is room again


def test_an_io_error_stops_all_writes_until_reopened(store: Store) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
    commit = store._writer

    class FailingCommit:
        """SQLite's connection, but its COMMIT meets a failing disk."""

        def __getattr__(self, name: str) -> Any:
            return getattr(commit, name)

        def execute(self, statement: str, *arguments: Any) -> Any:
            if statement == "COMMIT":
                raise error
            return commit.execute(statement, *arguments)

    store._writer = FailingCommit()  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="disk I/O error"):
        store.write_now(put("a", 1))
    store._writer = commit
    with pytest.raises(Unavailable, match="restart"):
        store.write_now(put("b", 1))
    assert facts(store) == {}


def test_a_cancelled_caller_leaves_the_others_alone(store: Store) -> None:
    async def run() -> int:
        gate = Gate(store)
        cancelled = asyncio.ensure_future(store.write(put("a", 1)))
        kept = asyncio.ensure_future(store.write(put("b", 2)))
        await asyncio.sleep(0)
        cancelled.cancel()
        gate.release()
        return await kept

    assert asyncio.run(run()) == 2
    assert facts(store)["b"] == 2


def test_a_loop_that_closed_before_its_answer_does_not_stop_the_writer(store: Store) -> None:
    gate = Gate(store)
    loop = asyncio.new_event_loop()
    task = loop.create_task(store.write(put("a", 1)))
    loop.call_soon(loop.stop)
    loop.run_forever()
    task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    gate.release()
    assert store.write_now(put("b", 2)) == 2


def test_close_finishes_what_is_queued(tmp_path: Path) -> None:
    store = Store(tmp_path / "metadata.sqlite")
    store.schema(TABLE)
    gate = Gate(store)
    threads = [threading.Thread(target=store.write_now, args=(put(f"{i}", i),)) for i in range(5)]
    for thread in threads:
        thread.start()
    while store._queue.qsize() < 5:
        threading.Event().wait(0.001)
    closing = threading.Thread(target=store.close)
    closing.start()
    gate.release()
    for thread in [*threads, closing]:
        thread.join()
    reopened = Store(tmp_path / "metadata.sqlite")
    try:
        assert len(facts(reopened)) == 5
    finally:
        reopened.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "metadata.sqlite")
    store.close()
    store.close()
    with pytest.raises(Closed):
        store.write_now(lambda connection: None)
    with pytest.raises(Closed):
        store.read(lambda connection: None)
    with pytest.raises(Closed):
        asyncio.run(store.write(lambda connection: None))


def test_commits_are_synced_and_the_file_is_private(store: Store) -> None:
    pragma = store._writer.execute
    assert pragma("PRAGMA synchronous").fetchone() == (2,)  # FULL: WAL synced at each commit
    assert pragma("PRAGMA journal_mode").fetchone() == ("wal",)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    with pytest.raises(Corrupt, match=f"format {FORMAT + 1}"):
        Store(path)


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Corrupt, match="another program"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("garbage", [b"not a database at all" * 100, b"\x00" * 5000])
def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "metadata.sqlite"
    path.write_bytes(garbage)
    with pytest.raises(Corrupt):
        Store(path)


def test_a_damaged_page_is_corrupt_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    store = Store(path)
    store.schema(TABLE)
    store.write_now(lambda c: [put(f"{n:050d}", n)(c) for n in range(2000)])
    store.close()
    descriptor = os.open(path, os.O_RDWR)
    for page in range(3, path.stat().st_size // 4096):
        os.pwrite(descriptor, b"\xff" * 4096, page * 4096)
    os.close(descriptor)
    damaged = Store(path)
    try:
        with pytest.raises(Corrupt, match="damaged"):
            facts(damaged)
    finally:
        damaged.close()


def test_a_schema_may_be_registered_again(store: Store) -> None:
    store.write_now(put("a", 1))
    store.schema(TABLE + "; CREATE TABLE IF NOT EXISTS others (x INTEGER);")
    assert facts(store) == {"a": 1}
