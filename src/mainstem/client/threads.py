"""Work that would hold up the connections, in threads: what computes apart from what may wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_pool: ThreadPoolExecutor | None = None


async def off_loop(work: Callable[[], T]) -> T:
    """Run ``work``, which may wait for others, in one of the loop's threads."""
    return await _run_in(None, work)


async def on_cores(work: Callable[[], T]) -> T:
    """Run ``work``, which computes and waits for nobody, in one of a thread a core, two at least.

    They are the process's. More, or others each time, would push each other's data out of the
    cores' caches.
    """
    global _pool  # noqa: PLW0603 - one per process
    if _pool is None:
        _pool = ThreadPoolExecutor(max(2, CORES), "mainstem-compute")
    return await _run_in(_pool, work)


async def _run_in(pool: ThreadPoolExecutor | None, work: Callable[[], T]) -> T:
    """On the loop itself once the interpreter ends and has no pools any more.

    Threads of the user's may still append then: Python joins them after it shut down the pools.
    """
    try:
        future = asyncio.get_running_loop().run_in_executor(pool, work)
    except RuntimeError:
        return work()
    return await future


def _after_fork_in_child() -> None:
    """The threads did not come along."""
    global _pool  # noqa: PLW0603
    _pool = None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
