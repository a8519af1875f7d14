"""What a channel is: every event, the newest value, a number, or what is said most.

The four share this: ``load`` takes what was in the log before the channel was opened, ``take``
what comes after, ``flush`` gives what viewers are to hear now, and ``opened`` what somebody who
comes later must know first. All belong to the dispatcher's event loop.
"""

from __future__ import annotations

from mainstem.live.kinds.counter import CounterChannel, weight_of
from mainstem.live.kinds.events import EventsChannel
from mainstem.live.kinds.latest import LatestChannel
from mainstem.live.kinds.rendering import data_of
from mainstem.live.kinds.rows import Rows, rows_of
from mainstem.live.kinds.sample import SampleChannel
from mainstem.live.settings import Namespace

LogChannel = EventsChannel | LatestChannel | CounterChannel | SampleChannel

__all__ = [
    "CounterChannel",
    "EventsChannel",
    "LatestChannel",
    "LogChannel",
    "Rows",
    "SampleChannel",
    "channel_of",
    "data_of",
    "rows_of",
    "weight_of",
]


def channel_of(name: str, namespace: Namespace, largest: int) -> LogChannel:
    """A fresh channel; ``largest`` bounds the bytes of one value in JSON."""
    if namespace.kind == "latest":
        return LatestChannel(name, largest)
    if namespace.kind == "counter":
        return CounterChannel(name)
    if namespace.kind == "sample":
        return SampleChannel(name, namespace.top, largest)
    return EventsChannel(name, largest)
