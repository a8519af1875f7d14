"""``counter``: an absolute total, so that a frame that was dropped corrupts nothing."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from mainstem.live.bus import State
from mainstem.live.kinds.rendering import name_json

MOST = 1_000_000_000
"""A record counts at most this much, either way: a typing error must not end a counter."""

_LONGEST = 256


class _Weight(msgspec.Struct):
    n: int = 1


_decoder = msgspec.json.Decoder(_Weight)


@lru_cache(4096)
def _parsed(value: bytes) -> int | None:
    try:
        weight = _decoder.decode(value)
    except (msgspec.ValidationError, RecursionError):
        return None if value.lstrip().startswith(b"{") else 1
    except msgspec.DecodeError:
        return 1
    return weight.n if -MOST <= weight.n <= MOST else None


def weight_of(value: bytes | None) -> int | None:
    """What a record counts: its integer ``{"n": k}``, else 1; ``None`` for an ``n`` that is no
    integer within a thousand million."""
    if value is None or len(value) > _LONGEST:
        return 1
    return _parsed(value)


class CounterChannel:
    """A pure function of the log: every node that read up to an offset has the same total."""

    kind = "counter"
    __slots__ = (
        "_delta",
        "_head",
        "_represented",
        "_time",
        "base",
        "changed",
        "name",
        "since",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        #: The sum of what was in the log when the channel was opened, and of what came since.
        self.base = 0
        self.since = 0
        #: Whether the total moved since it was last written down.
        self.changed = False
        self._head = b'{"channel":%s,"kind":"counter",' % name_json(name)
        self._delta = 0
        self._represented = 0
        self._time = 0

    @property
    def total(self) -> int:
        """All records so far."""
        return self.base + self.since

    def load(self, base: int, *, changed: bool) -> None:
        """The sum of the records from before the channel was opened; may be said again."""
        self.base = base
        self.changed = self.changed or changed

    def take(self, weight: int, records: int, time: int) -> None:
        """New records: their sum, how many, and the time of the oldest in milliseconds."""
        if not self._represented:
            self._time = time
        self.since += weight
        self._delta += weight
        self._represented += records
        self.changed = True

    def opened(self) -> bytes | None:
        """The total as of what was flushed."""
        total = self.total - self._delta
        return self._head + b'"total":%d,"delta":0,"snapshot":true}' % total

    def flush(self) -> State | None:
        """Total and what it moved since the last call; ``None`` where nothing came."""
        if not self._represented:
            return None
        state = self._head + b'"total":%d,"delta":%d}' % (self.total, self._delta)
        represented, time = self._represented, self._time
        self._delta = self._represented = 0
        return State(self.name, state, self.opened(), time, represented)
