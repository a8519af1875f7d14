"""One background thread for all stores of the process, doing a slice of work at a time."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Final, Protocol

_IDLE: Final = 5.0  # seconds after which workers that nobody woke are asked all the same
_LOG: Final = logging.getLogger(__name__)


class Worker(Protocol):
    """Something with background work."""

    def step(self) -> bool:
        """Do one slice; false when there is nothing to do."""
        ...


class Scheduler:
    """Calls ``step`` of every worker that was woken, in turn, until it has nothing to do.

    Holds workers weakly; its thread ends when none are left. Thread-safe.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._woken: dict[int, weakref.ref[Worker]] = {}
        self._workers: weakref.WeakSet[Worker] = weakref.WeakSet()
        self._thread: threading.Thread | None = None

    def add(self, worker: Worker) -> None:
        with self._changed:
            self._workers.add(worker)

    def remove(self, worker: Worker) -> None:
        """No ``step`` of ``worker`` begins after this; one may be ending."""
        with self._changed:
            self._workers.discard(worker)
            self._woken.pop(id(worker), None)
            self._changed.notify_all()

    def wake(self, worker: Worker) -> None:
        """``worker`` has something to do."""
        if id(worker) in self._woken:
            return
        with self._changed:
            if worker not in self._workers:
                return
            self._woken[id(worker)] = weakref.ref(worker)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mainstem-lsm", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def forget(self) -> None:
        """This is the child of a fork: the thread and the workers are the parent's."""
        self._changed = threading.Condition()
        self._woken, self._workers, self._thread = {}, weakref.WeakSet(), None

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._woken:
                    if not self._workers:
                        self._thread = None
                        return
                    if not self._changed.wait(timeout=_IDLE):
                        self._look_at_all()
                workers = [(key, reference()) for key, reference in self._woken.items()]
            for key, worker in workers:
                if worker is None or not self._step(worker):
                    self._woken.pop(key, None)
                    if worker is not None and worker in self._workers and self._step(worker):
                        self.wake(worker)  # it was woken while it said it had nothing to do
            del workers, worker

    def _look_at_all(self) -> None:
        """Time alone makes work: rows expire, and readers let go of files that were unlinked."""
        self._woken = {id(each): weakref.ref(each) for each in self._workers}

    @staticmethod
    def _step(worker: Worker) -> bool:
        try:
            return worker.step()
        except Exception:
            # The worker has stopped itself; the others must not stop with it.
            _LOG.exception("background work of %r failed", worker)
            return False


SHARED = Scheduler()
