"""Group commit: writers who wait share the sync that one of them makes."""

from __future__ import annotations

import threading

from mainstem.errors import Unavailable
from mainstem.lsm.state import State


class GroupSync:
    """Makes commits durable, and visible once they are. Thread-safe."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._turn = threading.Condition()
        self._syncing = False

    def wait(self, sequence: int) -> None:
        """Return when commit ``sequence`` is on disk, syncing for all if nobody does.

        Raises ``Unavailable`` when the disk refuses, ``Closed`` when the store was closed.
        """
        turn = self._turn
        while self._state.published < sequence:
            with turn:
                if self._state.published >= sequence:
                    return
                if self._syncing:
                    turn.wait()
                    continue
                self._syncing = True
            try:
                self._sync()
            finally:
                with turn:
                    self._syncing = False
                    turn.notify_all()

    def _sync(self) -> None:
        state = self._state
        with state.write_lock:
            state.check_writable()
            capture, log = state.capture(), state.log
            size = log.size if log is not None else 0
        try:
            if log is not None:
                log.sync(size)
        except OSError as error:
            state.poison(error)
            raise Unavailable(
                f"commits to {state.directory} may not be on disk: {error}; open it again to see"
            ) from error
        state.publish(capture)
