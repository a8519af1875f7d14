"""``events``: every record, in order, at least once."""

from __future__ import annotations

from mainstem.live.kinds.rendering import data_of, name_json


class EventsChannel:
    """Keeps nothing: the log is its memory."""

    kind = "events"
    __slots__ = ("_head", "largest", "name")

    def __init__(self, name: str, largest: int) -> None:
        self.name = name
        self.largest = largest
        self._head = b'{"channel":%s,"kind":"events","partition":' % name_json(name)

    def render(self, partition: int, offset: int, time: int, value: bytes | None) -> bytes:
        """The JSON data object of one record."""
        data = data_of(value, self.largest)
        return self._head + b'%d,"offset":%d,"time":%d,"data":%s}' % (
            partition,
            offset,
            time,
            data,
        )

    def opened(self) -> bytes | None:
        """Nothing: a viewer who wants the past asks for it."""
        return None
