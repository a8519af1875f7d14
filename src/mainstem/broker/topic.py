"""One topic in memory, and the rules for its name and its number of partitions."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

from mainstem.errors import Invalid, Unavailable
from mainstem.log import Log, LogConfig, Partition

#: More in one topic is a mistake on one node: each is a directory and an open file.
MAX_PARTITIONS = 10_000

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}", re.ASCII)
_UNKNOWN_TOPIC_OR_PARTITION = 3
_INVALID_TOPIC = 17
_INVALID_PARTITIONS = 37
_KAFKA_STORAGE_ERROR = 56


class Topic:
    """A topic that exists. ``config`` is what is in force, ``overrides`` what was set on it.

    Belongs to the event loop's thread; changed only by ``Topics``.
    """

    __slots__ = ("_partitions", "config", "id", "name", "overrides", "partition_count", "refused")

    def __init__(
        self,
        name: str,
        topic_id: uuid.UUID,
        partition_count: int,
        overrides: dict[str, str],
        config: LogConfig,
    ) -> None:
        self.name = name
        self.id = topic_id
        self.partition_count = partition_count
        self.overrides = overrides
        self.config = config
        #: Partitions that cannot serve, and why; the others do.
        self.refused: dict[int, str] = {}
        self._partitions: dict[int, Partition] = {}

    def __repr__(self) -> str:
        return f"Topic({self.name!r}, {self.id}, {self.partition_count} partitions)"

    def partition(self, index: int) -> Partition:
        """The partition; raises ``Invalid`` (3: no such index), ``Unavailable`` (56: refused)."""
        found = self._partitions.get(index)
        if found is not None:
            return found
        if index in self.refused:
            raise Unavailable(
                f"partition {self.name}-{index} is refused: {self.refused[index]}",
                code=_KAFKA_STORAGE_ERROR,
            )
        raise Invalid(
            f"topic {self.name!r} has partitions 0 to {self.partition_count - 1}, not {index}",
            code=_UNKNOWN_TOPIC_OR_PARTITION,
        )

    def partitions(self) -> list[Partition]:
        """Those that serve, by index."""
        return [self._partitions[index] for index in sorted(self._partitions)]

    def open(self, log: Log, indexes: Iterable[int]) -> None:
        """Creates or recovers partitions on disk; raises what ``Log.open`` raises."""
        for index in indexes:
            self._partitions[index] = log.open(self.name, index, self.config)

    def refuse_missing(self, reason: str) -> None:
        """Partitions that are not open answer with ``reason``."""
        for index in range(self.partition_count):
            if index not in self._partitions:
                self.refused.setdefault(index, reason)

    def configure(self, config: LogConfig) -> None:
        """Puts new settings in force, at once."""
        self.config = config
        for partition in self._partitions.values():
            partition.config = config


def check_name(name: str) -> None:
    """Kafka's rules (org.apache.kafka.common.internals.Topic); raises ``Invalid`` (17)."""
    if name in {"", ".", ".."} or not _LEGAL_NAME.fullmatch(name):
        raise Invalid(
            f"Topic name {name[:260]!r} is invalid: use 1 to 249 of the characters a-z, A-Z, 0-9, "
            "'.', '_' and '-', and not '.' or '..' alone",
            code=_INVALID_TOPIC,
        )


def colliding_key(name: str) -> str:
    """Names that differ only in ``.`` and ``_`` share this: metrics cannot tell them apart."""
    return name.replace(".", "_")


def check_partitions(count: int, *, present: int = 0) -> None:
    """Raises ``Invalid`` (37) for a number of partitions that cannot be."""
    if count <= 0:
        raise Invalid(
            "Number of partitions must be larger than 0 (or -1 for the broker's default), "
            f"not {count}.",
            code=_INVALID_PARTITIONS,
        )
    if present and count <= present:
        raise Invalid(
            f"Topic currently has {present} partitions, which is "
            f"{'already that many' if count == present else f'higher than the requested {count}'}"
            ": partitions can only be added.",
            code=_INVALID_PARTITIONS,
        )
    if count > MAX_PARTITIONS:
        raise Invalid(
            f"{count} partitions are too many for one topic on one node: use at most "
            f"{MAX_PARTITIONS}",
            code=_INVALID_PARTITIONS,
        )
