"""Group commit: writers who wait share the sync that one of them makes."""

from __future__ import annotations

import threading
from typing import Final

from mainstem.errors import Unavailable
from mainstem.lsm.state import State

_LOOK: Final = 1.0  # seconds between looks: whoever syncs may be interrupted before it says so


class GroupSync:
    """Makes commits durable, and visible once they are. Thread-safe."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._turn = threading.Condition()
        self._syncing = 0  # the thread that syncs for all

    def wait(self, sequence: int) -> None:
        """Return when commit ``sequence`` is on disk, syncing for all if nobody does.

        Raises ``Unavailable`` when the disk refuses, ``Closed`` when the store was closed.
        """
        turn, me, mine = self._turn, threading.get_ident(), False
        while self._state.published < sequence:
            try:
                with turn:
                    if self._state.published >= sequence:
                        return
                    if self._syncing not in (0, me):  # me: Control-C came as this ended
                        turn.wait(_LOOK)
                        continue
                    self._syncing, mine = me, True
                self._sync()
            finally:
                if mine:
                    self._syncing, mine = 0, False
                    with turn:
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
