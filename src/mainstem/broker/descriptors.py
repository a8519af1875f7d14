"""What the process's limit of open files is spent on.

A descriptor that the log cannot have is worse than a client that is refused: an fdatasync that
cannot open its file poisons its partition. So connections get only what the log leaves.
"""

from __future__ import annotations

import resource
from typing import NamedTuple

#: Segments kept open at most; more would be a large table for little gain.
_MOST_OPEN_FILES = 4_096
#: For the store, directories being synced, files of deleted segments still being sent, pipes.
_RESERVED = 128
_LEAST = 16


class Descriptors(NamedTuple):
    """How many each may have."""

    open_files: int
    connections: int


def raise_limit() -> None:
    """Lift the soft limit to the hard one, for a process of our own; as a JVM does."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def share(limit: int | None = None) -> Descriptors:
    """Divide ``limit`` (default: the process's soft one) between the log and connections."""
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        limit = 1 << 20
    open_files = max(_LEAST, min(_MOST_OPEN_FILES, (limit - _RESERVED) // 2))
    return Descriptors(open_files, max(_LEAST, limit - _RESERVED - open_files))
