"""The face for plain Python: the same names as ``asynchronous``, each call waits."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn

from mainstem.client import (
    BATCH_BYTES,
    Format,
    GroupDescription,
    GroupListing,
    GroupProtocol,
    Isolation,
    Point,
    Points,
    Setting,
    TopicDescription,
)
from mainstem.errors import Closed
from mainstem.face.access import Access
from mainstem.face.asynchronous import AsyncStem, aconnect, aopen
from mainstem.face.consumers import Consumer, OnChange, check_callbacks
from mainstem.face.loop import run
from mainstem.face.placement import Placement
from mainstem.face.topic import Topic
from mainstem.face.transactions import Transactions


def connect(address: str, **options: Any) -> Stem:
    """Connect to any Kafka cluster, ``"host:port"`` or several with commas.

    ``options`` are the fields of ``mainstem.client.ClientConfig`` (times in seconds). Raises
    ``Unavailable`` when no broker answers, ``Invalid`` for a bad address or option.
    """
    return Stem(run(aconnect, address, **options))


def open(  # noqa: A001 - reads as ms.open
    path: str | os.PathLike[str],
    *,
    broker: dict[str, Any] | None = None,
    log: dict[str, Any] | None = None,
    **options: Any,
) -> Stem:
    """Open a data directory: a broker starts in this process, or the running one is joined.

    ``broker`` and ``log`` are settings of the broker where it starts here (fields of
    ``BrokerConfig`` and ``LogConfig``), ``options`` those of ``connect``. Raises ``Corrupt``,
    ``Invalid``, or ``Unavailable`` when the directory's owner does not answer.
    """
    return Stem(run(aopen, path, broker=broker, log=log, **options))


class Stem:
    """A connection to one log: an embedded broker or any Kafka cluster.

    Made by ``mainstem.open`` and ``mainstem.connect``; thread-safe; closed with ``close`` or as
    a context manager. Afterwards, and in a forked child, everything raises ``Closed``.
    """

    def __init__(self, stem: AsyncStem) -> None:
        self._stem = stem
        self._pid = os.getpid()
        self._closed = False
        self.access = Access(self.check, stem.access)
        self.placement = Placement(self.check, stem.placement)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a stem has connections and cannot be pickled: open one in the other process"
        )

    def __repr__(self) -> str:
        return f"Stem({self._stem.address!r})"

    def check(self) -> None:
        """Raise ``Closed`` if the stem was closed, or opened before a fork."""
        if self._pid != os.getpid():
            raise Closed("this stem was opened before a fork: open it again in this process")
        if self._closed:
            raise Closed(f"the stem of {self._stem.address} is closed: open it again")

    @property
    def address(self) -> str:
        """Where any Kafka client reaches the same log, ``host:port``."""
        self.check()
        return self._stem.address

    def close(self) -> None:
        """Close the connections and, where it runs here, the broker. May be called twice."""
        if not self._closed and self._pid == os.getpid():
            self._closed = True
            run(self._stem.close)

    def __enter__(self) -> Stem:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- topics ------------------------------------------------------------------------------

    def topic(
        self,
        name: str,
        partitions: int | None = None,
        *,
        create: bool = False,
        config: Mapping[str, Any] | None = None,
        replication: int | None = None,
    ) -> Topic:
        """A topic by name. Raises ``Invalid`` with the nearest name where there is none.

        With ``create`` it is made where missing, with ``partitions``, ``config`` (Kafka's topic
        settings) and ``replication`` (on how many brokers), or the broker's defaults; one that
        exists is used as it is.
        """
        self.check()
        new: Any = {"create": create, "config": config, "replication": replication}
        return Topic(self, run(self._stem.topic, name, partitions, **new))

    def topics(self, *, internal: bool = False) -> list[str]:
        """Names of all topics, sorted."""
        self.check()
        return run(self._stem.topics, internal=internal)

    def create_topic(
        self,
        name: str,
        partitions: int | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        replication: int | None = None,
    ) -> Topic:
        """A new topic, see ``topic``. Raises ``Conflict`` where it exists."""
        self.check()
        create = self._stem.create_topic
        made = run(create, name, partitions, config=config, replication=replication)
        return Topic(self, made)

    def delete_topic(self, name: str) -> None:
        """Delete a topic with all its records."""
        self.check()
        run(self._stem.delete_topic, name)

    def describe_topic(self, name: str) -> TopicDescription:
        """Partitions, offsets and settings of a topic."""
        self.check()
        return run(self._stem.describe_topic, name)

    def topic_settings(self, name: str) -> list[Setting]:
        """All settings of a topic, with where each value comes from."""
        self.check()
        return run(self._stem.topic_settings, name)

    def alter_topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Add partitions and change settings; a setting of ``None`` goes back to its default."""
        self.check()
        run(self._stem.alter_topic, name, partitions=partitions, config=config)

    def delete_records(self, name: str, before: Mapping[int, int]) -> dict[int, int]:
        """Drop records before these offsets by partition; the first offsets left."""
        self.check()
        return run(self._stem.delete_records, name, before)

    # --- brokers -----------------------------------------------------------------------------

    def broker_settings(self, broker: int | None = None) -> list[Setting]:
        """All settings of a broker, with where each value comes from.

        Without ``broker``, those that were set for all of them at once. Raises ``Invalid`` for a
        broker there is not.
        """
        self.check()
        return run(self._stem.broker_settings, broker)

    def alter_brokers(self, config: Mapping[str, Any], *, broker: int | None = None) -> None:
        """Change settings of one broker or of all, without a restart; ``None`` puts one back.

        Raises ``Invalid`` for a setting that does not exist or needs a restart.
        """
        self.check()
        run(self._stem.alter_brokers, config, broker=broker)

    # --- membership --------------------------------------------------------------------------

    def consumer(
        self,
        group: str,
        topics: str | Sequence[str] | re.Pattern[str],
        *,
        format: Format | None = None,  # noqa: A002
        start: Point | None = "earliest",
        isolation: Isolation = "read_uncommitted",
        auto_commit: float | None = 5.0,
        batch_rows: int = 65_536,
        batch_bytes: int = BATCH_BYTES,
        max_wait: float = 0.0,
        protocol: GroupProtocol | None = None,
        assignor: str | Sequence[str] | None = None,
        instance_id: str | None = None,
        session_timeout: float = 45.0,
        heartbeat_interval: float = 3.0,
        max_poll_interval: float = 300.0,
        on_assigned: OnChange | None = None,
        on_revoked: OnChange | None = None,
        on_lost: OnChange | None = None,
    ) -> Consumer:
        """Join a group; iterate over what its partitions hold as ``pyarrow.RecordBatch``.

        ``topics`` is a name, several, or a pattern (``re.compile("orders-.*")``) for all that
        match as a whole, those created later, too.

        A partition goes on where the group committed, without a commit at ``start``
        (``"earliest"``, ``"latest"``, a time; ``None``: raise). ``auto_commit`` is how often, in
        seconds, what was processed is committed; ``None`` leaves it to ``commit``.
        ``Consumer`` says what the others mean; batches are as in ``Topic.read``.

        Raises ``Invalid`` for an unknown topic or argument.
        """
        self.check()
        callbacks = {"assigned": on_assigned, "revoked": on_revoked, "lost": on_lost}
        check_callbacks(callbacks)
        found = self._stem.consumer(
            group, topics, format=format, start=start, isolation=isolation,
            auto_commit=auto_commit, batch_rows=batch_rows, batch_bytes=batch_bytes,
            max_wait=max_wait, protocol=protocol, assignor=assignor, instance_id=instance_id,
            session_timeout=session_timeout,
            heartbeat_interval=heartbeat_interval, max_poll_interval=max_poll_interval,
        )  # fmt: skip
        run(found.start)
        return Consumer(self, found, callbacks)

    def transactions(self, transactional_id: str, *, timeout: float = 60.0) -> Transactions:
        """Take a transactional id: what another producer left open with it is aborted.

        A transaction open for longer than ``timeout`` seconds is aborted by the cluster. Raises
        ``Invalid`` where the broker has no transactions. Use one id per unit of work (such as
        one job): whoever takes it last fences the others.
        """
        self.check()
        found = self._stem.transactions(transactional_id, timeout=timeout)
        run(found.start)
        return Transactions(self, found)

    # --- groups ------------------------------------------------------------------------------

    def groups(self) -> list[GroupListing]:
        """All consumer groups."""
        self.check()
        return run(self._stem.groups)

    def describe_group(self, group: str) -> GroupDescription:
        """Members, committed offsets and lag of a group."""
        self.check()
        return run(self._stem.describe_group, group)

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """A group's committed offsets by topic and partition; empty for an unknown group."""
        self.check()
        return run(self._stem.committed, group)

    def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Set offsets of a group that has no members. Raises ``Conflict`` where it has."""
        self.check()
        run(self._stem.commit, group, offsets)

    def require_idle(self, group: str) -> None:
        """Raise ``Conflict`` if the group has running members."""
        self.check()
        run(self._stem.require_idle, group)

    def reset_group(
        self, group: str, topic: str, to: Points, *, dry_run: bool = False
    ) -> dict[int, tuple[int | None, int]]:
        """Move a group in one topic: (committed before, new) by partition.

        With ``dry_run`` nothing changes. Raises ``Conflict`` while the group has members.
        """
        self.check()
        return run(self._stem.reset_group, group, topic, to, dry_run=dry_run)

    def delete_group(self, group: str) -> None:
        """Forget a group and its offsets. Raises ``Conflict`` while it has members."""
        self.check()
        run(self._stem.delete_group, group)
