"""What workers report to their node, and what nodes tell each other in ``live._viewers``.

The topic is compacted. Keys: ``n/NODE`` is a node's heartbeat, ``v/NODE/ID`` what it knows of
an id. Values are msgpack arrays; the epoch (milliseconds at which the node started) tells a
node from the one of the same name before it.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeVar

import msgspec

from mainstem.errors import Corrupt, Invalid
from mainstem.live.viewers.users import Users

NODE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
LONGEST_ID = 1024


class Seen(msgspec.Struct, array_like=True, frozen=True):
    """What is known of one id: connections, those of them without a user, and the users.

    ``users`` is ``None`` in a worker's report where they are as in its last.
    """

    connections: int
    anonymous: int
    users: Users | None = None

    def check(self) -> None:
        """Raise ``Corrupt`` for numbers that cannot be."""
        if not 0 <= self.anonymous <= self.connections <= 1 << 40:
            raise Corrupt(f"{self.anonymous} anonymous of {self.connections} connections")
        if self.users is not None:
            self.users.check()


class Report(msgspec.Struct, array_like=True, frozen=True):
    """Of one worker: the ids that changed; zero connections: the id is gone."""

    seen: dict[str, Seen]


class Heartbeat(msgspec.Struct, array_like=True, frozen=True):
    """A node lives."""

    epoch: int


class NodeSeen(msgspec.Struct, array_like=True, frozen=True):
    """What a node with this epoch has seen of an id."""

    epoch: int
    seen: Seen


class RecordKey(NamedTuple):
    """Whose record, and of which id; ``None``: its heartbeat."""

    node: str
    id: str | None

    def encode(self) -> bytes:
        text = f"n/{self.node}" if self.id is None else f"v/{self.node}/{self.id}"
        return text.encode()


def read_key(key: bytes) -> RecordKey:
    """Raises ``Corrupt`` for a key that no node writes."""
    try:
        kind, _, rest = key.decode().partition("/")
    except UnicodeDecodeError:
        kind, rest = "", ""
    node, slash, name = rest.partition("/")
    sound = NODE_NAME.fullmatch(node) is not None
    if kind == "n" and sound and not slash:
        return RecordKey(node, None)
    if kind == "v" and sound and 0 < len(name) <= LONGEST_ID:
        return RecordKey(node, name)
    raise Corrupt(f"{key[:100]!r} is no key of the viewers topic")


def check_node_name(name: str) -> str:
    """``name``, or ``Invalid``: it stands between slashes in keys."""
    if not NODE_NAME.fullmatch(name):
        raise Invalid(f"node name {name!r} must be 1 to 100 of A-Z a-z 0-9 . _ -")
    return name


ValueT = TypeVar("ValueT", Report, Heartbeat, NodeSeen)
encode = msgspec.msgpack.encode


def decode(data: bytes, kind: type[ValueT]) -> ValueT:
    """Raises ``Corrupt`` for what :data:`encode` did not make."""
    try:
        value = msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Corrupt(f"not a {kind.__name__} of viewers: {error}") from error
    if isinstance(value, NodeSeen):
        value.seen.check()
        if value.seen.users is None:
            raise Corrupt("a node's record must say who its users are")
    if isinstance(value, Report):
        for seen in value.seen.values():
            seen.check()
    return value
