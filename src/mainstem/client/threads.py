"""Work that would hold up the connections, in the loop's threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def off_loop(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread; on the loop once the interpreter ends and has none any more.

    Threads of the user's may still append then: Python joins them after it shut down the pools.
    """
    try:
        future = asyncio.get_running_loop().run_in_executor(None, work)
    except RuntimeError:
        return work()
    return await future
