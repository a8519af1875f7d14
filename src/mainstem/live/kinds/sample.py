"""``sample``: of a flood, the values said most in a window, with their weights."""

from __future__ import annotations

import heapq
from collections import Counter

import msgspec

from mainstem.live.bus import State
from mainstem.live.kinds.counter import MOST
from mainstem.live.kinds.rendering import data_of, name_json

_DISTINCT = 4096
"""Values told apart in one window; later ones count in ``count`` only."""


class _Weighted(msgspec.Struct):
    value: msgspec.Raw
    n: int = 1


_decoder = msgspec.json.Decoder(_Weighted)


def said(value: bytes | None, largest: int) -> tuple[bytes, int]:
    """A record's value as JSON and its weight: ``{"value": v, "n": k}``, or all of it, once."""
    if value is not None and value.lstrip().startswith(b"{"):
        try:
            found = _decoder.decode(value)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            weight = found.n if 0 < found.n <= MOST else 1
            return data_of(bytes(found.value), largest), weight
    return data_of(value, largest), 1


class SampleChannel:
    """Remembers one window; what came before it is gone by design."""

    kind = "sample"
    __slots__ = ("_count", "_head", "_last", "_time", "_values", "largest", "name", "top")

    def __init__(self, name: str, top: int, largest: int) -> None:
        self.name = name
        self.top = top
        self.largest = min(largest, 1024)
        self._head = b'{"channel":%s,"kind":"sample",' % name_json(name)
        self._values: Counter[bytes] = Counter()
        self._count = 0
        self._time = 0
        self._last: bytes | None = None

    def take(self, time: int, value: bytes | None) -> None:
        """One record."""
        data, weight = said(value, self.largest)
        if not self._count:
            self._time = time
        self._count += 1
        if data in self._values or len(self._values) < _DISTINCT:
            self._values[data] += weight

    def opened(self) -> bytes | None:
        """The last window there was."""
        if self._last is None:
            return None
        return self._head + b'"snapshot":true,' + self._last

    def flush(self) -> State | None:
        """The window's top values, heaviest first; equal weights in the order of their bytes."""
        if not self._count:
            return None
        top = heapq.nsmallest(self.top, self._values.items(), key=lambda item: (-item[1], item[0]))
        listed = b",".join(b'{"value":%s,"weight":%d}' % item for item in top)
        self._last = b'"top":[%s],"count":%d}' % (listed, self._count)
        count, self._count = self._count, 0
        self._values.clear()
        return State(self.name, self._head + self._last, self.opened(), self._time, count)
