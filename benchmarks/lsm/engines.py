"""Each engine behind the same few calls, used as its documentation says is fastest."""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.lsm.data import Rows


class Engine(Protocol):
    name: str

    def put(self, rows: Rows, start: int, end: int) -> None: ...
    def get(self, rows: Rows, start: int, end: int) -> int:
        """Look the keys up; returns how many were found."""
        ...

    def scan(self, low: bytes | None, limit: int) -> int:
        """Read up to ``limit`` rows in order from ``low``; returns how many."""
        ...

    def settle(self) -> None:
        """Bring the engine to rest: flushed and merged, as far as it can be told to."""
        ...

    def close(self) -> None: ...


class Mainstem:
    name = "Mainstem"

    def __init__(self, path: Path, cache: int, sync: str = "none") -> None:
        from mainstem.lsm import BlockCache, Store

        self.store = Store.open(path, sync=sync, cache=BlockCache(cache))  # type: ignore[arg-type]

    def put(self, rows: Rows, start: int, end: int) -> None:
        count = end - start
        self.store.put_batch(rows.keys.slice(start, count), rows.values.slice(start, count))

    def get(self, rows: Rows, start: int, end: int) -> int:
        found = self.store.get_batch(rows.keys.slice(start, end - start))
        return len(found) - found.null_count

    def scan(self, low: bytes | None, limit: int) -> int:
        return sum(batch.num_rows for batch in self.store.scan(low, limit=limit))

    def settle(self) -> None:
        self.store.compact()

    def close(self) -> None:
        self.store.close()


class RocksDict:
    name = "rocksdict"

    def __init__(self, path: Path, cache: int, sync: str = "none") -> None:
        import rocksdict as r

        options = r.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_compression_type(r.DBCompressionType.none())
        options.increase_parallelism(2)
        table = r.BlockBasedOptions()
        table.set_bloom_filter(10, False)
        table.set_block_cache(r.Cache(cache))
        options.set_block_based_table_factory(table)
        self.module = r
        self.db = r.Rdict(str(path), options)
        self.write_options = r.WriteOptions()
        self.write_options.sync = sync == "batch"

    def put(self, rows: Rows, start: int, end: int) -> None:
        batch = self.module.WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in zip(rows.key_list[start:end], rows.value_list[start:end], strict=True):
            put(key, value)
        self.db.write(batch, self.write_options)

    def get(self, rows: Rows, start: int, end: int) -> int:
        if end - start == 1:
            return int(self.db.get(rows.key_list[start]) is not None)
        return sum(1 for each in self.db.get(rows.key_list[start:end]) if each is not None)

    def scan(self, low: bytes | None, limit: int) -> int:
        count = 0
        for _ in self.db.items(from_key=low) if low is not None else self.db.items():
            count += 1
            if count == limit:
                break
        return count

    def settle(self) -> None:
        self.db.flush()
        self.db.compact_range(None, None)

    def close(self) -> None:
        self.db.close()


class Plyvel:
    name = "plyvel"

    def __init__(self, path: Path, cache: int, sync: str = "none") -> None:
        import plyvel

        self.sync = sync == "batch"
        self.db = plyvel.DB(
            str(path),
            create_if_missing=True,
            bloom_filter_bits=10,
            lru_cache_size=cache,
            compression=None,
            write_buffer_size=64 << 20,
        )

    def put(self, rows: Rows, start: int, end: int) -> None:
        with self.db.write_batch(sync=self.sync) as batch:
            put = batch.put
            for key, value in zip(
                rows.key_list[start:end], rows.value_list[start:end], strict=True
            ):
                put(key, value)

    def get(self, rows: Rows, start: int, end: int) -> int:
        get = self.db.get
        return sum(1 for key in rows.key_list[start:end] if get(key) is not None)

    def scan(self, low: bytes | None, limit: int) -> int:
        count = 0
        for _ in self.db.iterator(start=low):
            count += 1
            if count == limit:
                break
        return count

    def settle(self) -> None:
        self.db.compact_range()

    def close(self) -> None:
        self.db.close()


class Lmdb:
    name = "lmdb"

    def __init__(self, path: Path, cache: int, sync: str = "none") -> None:
        import lmdb

        del cache  # the page cache is its cache
        self.env = lmdb.open(
            str(path), map_size=64 << 30, sync=sync == "batch", metasync=sync == "batch"
        )

    def put(self, rows: Rows, start: int, end: int) -> None:
        with self.env.begin(write=True) as transaction, transaction.cursor() as cursor:
            pairs = zip(rows.key_list[start:end], rows.value_list[start:end], strict=True)
            cursor.putmulti(pairs)

    def get(self, rows: Rows, start: int, end: int) -> int:
        with self.env.begin() as transaction, transaction.cursor() as cursor:
            return len(cursor.getmulti(rows.key_list[start:end]))

    def scan(self, low: bytes | None, limit: int) -> int:
        count = 0
        with self.env.begin() as transaction, transaction.cursor() as cursor:
            if not (cursor.first() if low is None else cursor.set_range(low)):
                return 0
            for _ in cursor.iternext(keys=True, values=True):
                count += 1
                if count == limit:
                    break
        return count

    def settle(self) -> None:
        self.env.sync(True)

    def close(self) -> None:
        self.env.close()


class Sqlite:
    name = "sqlite3"

    def __init__(self, path: Path, cache: int, sync: str = "none") -> None:
        path.mkdir()
        self.db = sqlite3.connect(path / "db", isolation_level=None, check_same_thread=False)
        self.db.execute("pragma journal_mode=wal")
        self.db.execute(f"pragma synchronous={'full' if sync == 'batch' else 'off'}")
        self.db.execute(f"pragma cache_size={-cache // 1024}")
        self.db.execute("create table t (k blob primary key, v blob) without rowid")

    def put(self, rows: Rows, start: int, end: int) -> None:
        self.db.execute("begin")
        self.db.executemany(
            "insert or replace into t values (?, ?)",
            zip(rows.key_list[start:end], rows.value_list[start:end], strict=True),
        )
        self.db.execute("commit")

    def get(self, rows: Rows, start: int, end: int) -> int:
        one = self.db.execute
        return sum(
            1
            for key in rows.key_list[start:end]
            if one("select v from t where k = ?", (key,)).fetchone() is not None
        )

    def scan(self, low: bytes | None, limit: int) -> int:
        cursor = self.db.execute(
            "select k, v from t where k >= ? order by k limit ?", (low or b"", limit)
        )
        return sum(1 for _ in cursor)

    def settle(self) -> None:
        self.db.execute("pragma wal_checkpoint(truncate)")

    def close(self) -> None:
        self.db.close()


_ALL: tuple[type[Any], ...] = (Mainstem, RocksDict, Plyvel, Lmdb, Sqlite)


def available(names: Sequence[str] | None = None) -> list[type[Any]]:
    """Engines that are installed, of those named."""
    return [
        each
        for each in _ALL
        if (each is Mainstem or importlib.util.find_spec(each.name) is not None)
        and (not names or each.name in names)
    ]


def fresh(kind: type[Any], directory: Path, cache: int, sync: str = "none") -> Any:
    """A new, empty engine."""
    path = directory / kind.name
    shutil.rmtree(path, ignore_errors=True)
    return kind(path, cache, sync)
