"""Group commit: the next fdatasync starts when the last ends and takes all that arrived."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mainstem.errors import Closed, MainstemError, Unavailable
from mainstem.log.partition import Partition

Callback = Callable[[MainstemError | None], object]
_Waiting = list[tuple[int, Callback]]


MOST_THREADS = 4


class GroupCommit:
    """Background threads that make appends durable. Thread safe.

    There is no artificial wait: an idle thread syncs at once, a busy one gathers. A partition is
    synced by one thread at a time; several partitions at once, as a disk has more than one queue
    and a file system's journal takes in all that is synced together. Threads begin when they
    are needed.
    """

    def __init__(self, threads: int = MOST_THREADS) -> None:
        self._most = threads
        self._pending: dict[Partition, _Waiting] = {}
        self._under_way: set[Partition] = set()
        self._wake = threading.Condition()
        self._idle = 0
        self._closing = False
        self._threads: list[threading.Thread] = []
        self.syncs = 0

    def request(self, partition: Partition, up_to_offset: int, callback: Callback) -> None:
        """Call ``callback(None)`` once everything below ``up_to_offset`` is durable.

        Or with the error, if the disk refuses. It is called from a sync thread, or at once
        from this one where there is nothing to wait for; it must be quick and not raise.
        """
        if partition.durable_offset >= up_to_offset:
            callback(None)
            return
        with self._wake:
            if not self._closing:
                self._pending.setdefault(partition, []).append((up_to_offset, callback))
                if self._idle:
                    self._wake.notify()
                elif len(self._threads) < self._most and partition not in self._under_way:
                    thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
                    self._threads.append(thread)
                    thread.start()
                return
        callback(Closed("the log is shutting down"))

    def close(self) -> None:
        """Finish what was requested and stop."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            partition, waiting = taken
            error = _sync(partition, waiting)
            with self._wake:
                self.syncs += 1
                self._under_way.discard(partition)
                if self._idle and partition in self._pending:
                    self._wake.notify()  # this thread may take another one first
            for _, callback in waiting:
                callback(error)

    def _take(self) -> tuple[Partition, _Waiting] | None:
        """The partition that has waited longest and is not being synced; ``None`` at the end."""
        with self._wake:
            while True:
                for partition in self._pending:
                    if partition not in self._under_way:
                        self._under_way.add(partition)
                        return partition, self._pending.pop(partition)
                if self._closing:  # whoever syncs what is pending will take it next
                    return None
                self._idle += 1
                self._wake.wait()
                self._idle -= 1


def _sync(partition: Partition, waiting: _Waiting) -> MainstemError | None:
    try:
        if max(offset for offset, _ in waiting) > partition.durable_offset:
            partition.sync()
    except MainstemError as error:
        return error
    except Exception as error:  # the callbacks must be called whatever happens
        return Unavailable(f"{partition.name} could not be synced: {error}", code=56)
    return None
