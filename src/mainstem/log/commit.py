"""Group commit: the next fdatasync starts when the last ends and takes all that arrived."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mainstem.errors import Closed, MainstemError, Unavailable
from mainstem.log.partition import Partition

Callback = Callable[[MainstemError | None], object]
_Waiting = list[tuple[int, Callback]]


class GroupCommit:
    """One background thread that makes appends durable. Thread safe.

    There is no artificial wait: an idle thread syncs at once, a busy one gathers.
    """

    def __init__(self) -> None:
        self._pending: dict[Partition, _Waiting] = {}
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def request(self, partition: Partition, up_to_offset: int, callback: Callback) -> None:
        """Call ``callback(None)`` once everything below ``up_to_offset`` is durable.

        Or with the error, if the disk refuses. It is called from the sync thread, or at once
        from this one where there is nothing to wait for; it must be quick and not raise.
        """
        if partition.durable_offset >= up_to_offset:
            callback(None)
            return
        with self._wake:
            if not self._closing:
                self._pending.setdefault(partition, []).append((up_to_offset, callback))
                self._wake.notify()
                return
        callback(Closed("the log is shutting down"))

    def close(self) -> None:
        """Finish what was requested and stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._pending and not self._closing:
                    self._wake.wait()
                if not self._pending:
                    return
                batch, self._pending = self._pending, {}
            for partition, waiting in batch.items():
                error = _sync(partition, waiting)
                for _, callback in waiting:
                    callback(error)


def _sync(partition: Partition, waiting: _Waiting) -> MainstemError | None:
    try:
        if max(offset for offset, _ in waiting) > partition.durable_offset:
            partition.sync()
    except MainstemError as error:
        return error
    except Exception as error:  # the callbacks must be called whatever happens
        return Unavailable(f"{partition.name} could not be synced: {error}", code=56)
    return None
