"""The interest table: which record keys of a partition somebody watches.

A batch is asked as columns. Where few keys are watched, they are a hash set in C that the key
column is checked against; where many are, each *distinct* key of the batch costs one lookup in a
dict. Records that nobody watches never become Python objects of their own.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

T = TypeVar("T")

_FEW_ROWS = 16  # below, plain Python is quicker than one call of a compute function
_BUILD_PER_ROW = 4


class Interest(Generic[T]):
    """Watched keys of one partition, and what each stands for. Not thread-safe."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, T] = {}
        self._column: Any = None

    def __len__(self) -> int:
        return len(self.by_key)

    def add(self, key: bytes, what: T) -> None:
        """Watch a key."""
        self.by_key[key] = what
        self._column = None

    def discard(self, key: bytes) -> None:
        """Watch it no more."""
        if self.by_key.pop(key, None) is not None:
            self._column = None

    def pick(self, records: Any) -> Any:
        """The watched rows of a ``pa.RecordBatch`` with a ``_key`` column; ``None`` for none."""
        rows = records.num_rows
        if not rows or not self.by_key:
            return None
        keys = records.column("_key")
        if rows <= _FEW_ROWS:
            wanted = [row for row, key in enumerate(keys.to_pylist()) if key in self.by_key]
            if not wanted:
                return None
            return records if len(wanted) == rows else records.take(pa.array(wanted))
        if len(self.by_key) <= _BUILD_PER_ROW * rows:
            mask = pc.is_in(keys, value_set=self._watched())
        else:
            mask = self._by_distinct_key(keys)
        matched = pc.sum(mask).as_py() if mask is not None else 0
        if not matched:
            return None
        return records if matched == rows else records.filter(mask)

    def _watched(self) -> Any:
        if self._column is None:
            self._column = pa.array(self.by_key, pa.binary())
        return self._column

    def _by_distinct_key(self, keys: Any) -> Any:
        encoded = keys.dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        wanted = [number for number, key in enumerate(distinct) if key in self.by_key]
        if not wanted:
            return None
        return pc.is_in(encoded.indices, value_set=pa.array(wanted, pa.int32()))
