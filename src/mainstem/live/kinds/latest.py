"""``latest``: the last value per key; what it replaced is of no interest."""

from __future__ import annotations

from mainstem.live.bus import State
from mainstem.live.kinds.rendering import data_of, name_json


class LatestChannel:
    """The newest record by offset, whichever way it came; a tombstone is a value: ``null``."""

    kind = "latest"
    __slots__ = ("_body", "_head", "_news", "_time", "largest", "name", "offset")

    def __init__(self, name: str, largest: int) -> None:
        self.name = name
        self.largest = largest
        self.offset = -1
        self._head = b'{"channel":%s,"kind":"latest",' % name_json(name)
        self._body: bytes | None = None
        self._time = 0
        self._news = 0

    def load(self, partition: int, offset: int, time: int, value: bytes | None) -> None:
        """A record from before the channel was opened."""
        if offset > self.offset:
            self._set(partition, offset, time, value)

    def take(
        self, partition: int, offset: int, time: int, value: bytes | None, records: int = 1
    ) -> None:
        """A record that is news, the last of so many."""
        if offset > self.offset:
            self._news += records
            self._set(partition, offset, time, value)

    def _set(self, partition: int, offset: int, time: int, value: bytes | None) -> None:
        data = data_of(value, self.largest)
        self.offset, self._time = offset, time
        self._body = b'"partition":%d,"offset":%d,"time":%d,"data":%s}' % (
            partition,
            offset,
            time,
            data,
        )

    def opened(self) -> bytes | None:
        """The snapshot, or ``None`` where the key was never written."""
        if self._body is None:
            return None
        return self._head + b'"snapshot":true,' + self._body

    def flush(self) -> State | None:
        """What is new since the last call."""
        if not self._news or self._body is None:
            return None
        represented, self._news = self._news, 0
        return State(self.name, self._head + self._body, self.opened(), self._time, represented)
