"""What a worker and the dispatcher say to each other, and the pipe they say it through.

A frame is a big-endian u32 length and a msgpack array whose first element is the message's name.
One Unix socket pair per worker; both ends are asyncio. Nothing here knows Kafka or HTTP.

Order, which the cursors rest on: **per stream, the dispatcher speaks in log order**. After
``Opened``, ``Events`` or ``Advance`` with a ``next_offset`` of n, nothing older than n of that
stream follows for any channel already opened (``Replayed`` is apart: it carries the past).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

LONGEST_FRAME = 64 << 20
"""Bytes; a longer frame is refused by both ends, for it can only be a broken peer."""

Stream: TypeAlias = tuple[str, int, int]
"""(topic name, topic epoch u32, partition): the place where a channel's offsets live."""

Item: TypeAlias = tuple[int, bytes]
"""(offset, the finished JSON data object of the wire contract)."""


class Message(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Base of all messages; the tag is the class name."""


# Worker to dispatcher ---------------------------------------------------------------------


class Ready(Message, frozen=True):
    """The worker listens; sent once, as the answer to ``Configure``."""

    process: int
    port: int


class Watch(Message, frozen=True):
    """The first viewer of ``channel`` came to this worker. Answer: ``Opened`` or ``Refused``."""

    channel: str


class Unwatch(Message, frozen=True):
    """The last viewer of ``channel`` left this worker, some time ago."""

    channel: str


class Replay(Message, frozen=True):
    """Ask for the past of ``channels``. Answer: ``Replayed`` slices, or ``ReplayReset``.

    ``cursor`` gives the next offset wanted per stream; where it is ``None``, ``origin`` does, in
    words: ``earliest``, ``last:N``, an ISO time or Unix milliseconds. ``until`` is exclusive: the
    ring takes over there. At most about ``budget_bytes`` of JSON are wanted in this answer; its
    vector says where the next request goes on.
    """

    request: int
    channels: list[str]
    cursor: list[tuple[Stream, int]] | None
    origin: str | None
    until: list[tuple[Stream, int]]
    budget_bytes: int


class Publish(Message, frozen=True):
    """Append ``body`` (one JSON value, as bytes). Answer: ``Published`` or ``Failed``."""

    request: int
    channel: str
    body: bytes
    idempotency_key: str | None = None
    user: str | None = None


class UseTicket(Message, frozen=True):
    """Has any worker used this ticket yet? Answer: ``TicketUsed``. ``expires_at``: Unix seconds."""

    request: int
    ticket: str
    expires_at: float


class ViewerReport(Message, frozen=True):
    """What ``live.viewers.WorkerViewers`` has to say to ``NodeViewers``, opaque to the bus."""

    payload: bytes


class NamespaceGauges(msgspec.Struct, array_like=True, frozen=True):
    """Of one namespace in one worker; all but ``connections`` count from the worker's start.

    ``latency``: counts per bucket of log-to-socket time (``latency_bounds()`` in the kernels),
    one per delivered event whose record time is known.
    """

    connections: int
    delivered: int
    represented: int
    sends: int
    evictions: int
    resets: int
    latency: list[int]


class Gauges(Message, frozen=True):
    """About once a second: the worker's numbers, in all and per namespace."""

    numbers: dict[str, float]
    namespaces: dict[str, NamespaceGauges]


# Dispatcher to worker ---------------------------------------------------------------------


class Configure(Message, frozen=True):
    """The first frame a worker gets: all it needs to know.

    ``access`` is the JSON of ``live.access.AccessSettings`` (this worker's share), ``viewers``
    that of ``live.viewers.ViewerSettings``; ``pages`` maps a path to (content
    type, bytes) to be served as they are; ``cursor_key`` is shared by all workers and nodes.
    ``port`` must be fixed (the supervisor holds a bound ``SO_REUSEPORT`` socket for port 0).
    ``linger_s``: how long a ring and its channels stay after their last viewer. ``node`` is the
    gateway's name, for tickets. ``revoked``: (user, token id, Unix seconds) of earlier kicks.
    """

    worker: int
    host: str
    port: int
    cursor_key: bytes
    access: bytes = b"{}"
    viewers: bytes = b"{}"
    pages: dict[str, tuple[str, bytes]] = {}
    window_ms: float = 50.0
    heartbeat_s: float = 15.0
    ring_bytes: int = 262_144
    max_connections: int = 18_000
    max_body_bytes: int = 65_536
    request_s: float = 10.0
    stalled_s: float = 60.0
    retry_ms: tuple[int, int] = (2_000, 10_000)
    linger_s: float = 30.0
    node: str = ""
    revoked: list[tuple[str | None, str | None, float]] = []


class Opened(Message, frozen=True):
    """Answer to ``Watch``: all of the channel at or after ``next_offset`` will follow.

    ``kind``: events, latest, counter, sample, viewers, presence. ``stream`` is ``None`` for
    channels that are not in the log. ``state``: JSON of the snapshot frame, if there is one.

    ``reason`` is set when a channel that was open had to be opened anew, because its topic was
    re-created (``epoch``), truncated or expired under the reader, or a batch was corrupt
    (``truncated``): what lies between is lost, so viewers get ``reset`` with this reason, and
    their cursors take the new stream and offset.
    """

    channel: str
    kind: str
    stream: Stream | None
    next_offset: int
    state: bytes | None = None
    reason: str | None = None


class Refused(Message, frozen=True):
    """Answer to ``Watch``: no such namespace, or a closed one. ``kind`` as in ``Failed``."""

    channel: str
    kind: str
    message: str


class Events(Message, frozen=True):
    """Records of a channel, in order. ``time_ms``: log time of the oldest; 0 when not known."""

    channel: str
    stream: Stream
    items: list[Item]
    next_offset: int
    time_ms: int = 0


class State(Message, frozen=True):
    """The newest state of a channel that is not ``events``; absolute, so droppable.

    ``state`` is what is sent to viewers now. ``snapshot`` is what a viewer who joins later gets
    first (the same object with ``"snapshot":true``; ``None``: keep the one before).
    ``represented`` says how many records this frame stands for.
    """

    channel: str
    state: bytes
    snapshot: bytes | None = None
    time_ms: int = 0
    represented: int = 1


class Advance(Message, frozen=True):
    """Nothing of the opened channels lies before ``next_offset``: cursors may move there."""

    stream: Stream
    next_offset: int


class Replayed(Message, frozen=True):
    """A slice of the past, per stream in order; ``vector``: where the streams stand after it.

    ``done``: the last slice of this answer (the budget is spent, or ``until`` reached).
    """

    request: int
    items: list[tuple[str, Stream, int, bytes]]
    vector: list[tuple[Stream, int]]
    done: bool


class ReplayReset(Message, frozen=True):
    """The past asked for is gone. ``reason``: expired, epoch, truncated or invalid."""

    request: int
    reason: str
    earliest: list[tuple[Stream, int]]
    latest: list[tuple[Stream, int]]


class Published(Message, frozen=True):
    """The record is in the log; ``time``: milliseconds; ``duplicate``: the key was seen before."""

    request: int
    stream: Stream
    offset: int
    time: int
    duplicate: bool


class Failed(Message, frozen=True):
    """A ``Publish`` or ``Replay`` failed. ``kind`` is a class of ``mainstem.errors``, by name."""

    request: int
    kind: str
    message: str
    code: int | None = None


class TicketUsed(Message, frozen=True):
    """``first`` is true exactly once per ticket, over all workers of the node."""

    request: int
    first: bool


class Kick(Message, frozen=True):
    """Close what this user (or the holder of this token) has open; ``None`` matches nobody.

    ``at``: Unix seconds at which it was decided (``None``: now); tokens issued later are believed.
    """

    user: str | None
    token_id: str | None
    reason: str
    at: float | None = None


class Drain(Message, frozen=True):
    """Stop listening, tell the viewers, close them at random within ``seconds``, then exit."""

    seconds: float


FromWorker: TypeAlias = (
    Ready | Watch | Unwatch | Replay | Publish | UseTicket | ViewerReport | Gauges
)
FromDispatcher: TypeAlias = (
    Configure
    | Opened
    | Refused
    | Events
    | State
    | Advance
    | Replayed
    | ReplayReset
    | Published
    | Failed
    | TicketUsed
    | Kick
    | Drain
)
