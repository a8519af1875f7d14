"""After a fork the stores are the parent's: the child's copies take nothing and touch no file.

Both processes would write the same log at the same places; and locks that another thread held
when the process forked stay locked for ever in the child.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Final

from mainstem.lsm import cache, scheduler
from mainstem.lsm.state import State

_STATES: Final[weakref.WeakSet[State]] = weakref.WeakSet()


def watch(state: State) -> None:
    """Close ``state`` in whatever child this process forks."""
    _STATES.add(state)


def _in_child() -> None:
    scheduler.SHARED.forget()
    cache.SHARED.forget_locks()
    for state in list(_STATES):
        state.write_lock = threading.Lock()
        state.edit_lock = threading.RLock()
        state.lock = threading.RLock()
        state.changed = threading.Condition(state.lock)
        if not state.closed:
            state.closed = True
            state.ending = "belongs to the process that forked this one: open stores afterwards"
            state.lock_file = None  # the parent's descriptor keeps the lock
        state.cache.forget_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
