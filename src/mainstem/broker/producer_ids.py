"""Producer ids, never given twice: reserved in blocks, so that most cost no write."""

from __future__ import annotations

import asyncio
import sqlite3

from mainstem.broker.store import Store
from mainstem.errors import Unavailable

#: As Kafka's ProducerIdsBlock: what is left of a block is lost at a restart.
BLOCK_SIZE = 1000
_KEY = "next_producer_id"
_LAST = 2**63 - 1


class ProducerIds:
    """Belongs to the event loop's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = 0
        self._end = 0
        self._lock = asyncio.Lock()

    async def next(self) -> int:
        """An id that nobody had before, from 0 up. Raises ``Unavailable`` if none can be saved."""
        async with self._lock:
            if self._next == self._end:
                self._next = await self._store.write(_reserve)
                self._end = self._next + BLOCK_SIZE
            given = self._next
            self._next += 1
            return given


def _reserve(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
    start = 0 if row is None else int(row[0])
    if start > _LAST - BLOCK_SIZE:
        raise Unavailable(f"all {_LAST} producer ids have been given out", code=-1)
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (_KEY, str(start + BLOCK_SIZE)),
    )
    return start
