"""Which segments may go, and letting them go (Kafka's UnifiedLog.deleteOldSegments)."""

from __future__ import annotations

import contextlib
import errno

from mainstem.errors import Unavailable
from mainstem.log import checkpoints
from mainstem.log.config import LogConfig
from mainstem.log.storage import Storage

_KAFKA_STORAGE_ERROR = 56


def expired_segments(storage: Storage, config: LogConfig, now_ms: int) -> int:
    """How many of the oldest segments break a limit; all of them only by age."""
    if "delete" not in config.cleanup_policy:
        return storage.wholly_before(storage.log_start_offset)
    return max(
        storage.wholly_before(storage.log_start_offset),
        _too_old(storage, config, now_ms),
        _too_many(storage, config),
    )


def _too_old(storage: Storage, config: LogConfig, now_ms: int) -> int:
    count = 0
    if config.retention_ms < 0:
        return count
    for segment in storage.segments:
        if not segment.size or now_ms - segment.age_from() <= config.retention_ms:
            break
        count += 1
    return count


def _too_many(storage: Storage, config: LogConfig) -> int:
    count = 0
    if config.retention_bytes < 0:
        return count
    excess = sum(segment.size for segment in storage.segments) - config.retention_bytes
    for segment in storage.segments[:-1]:
        excess -= segment.size
        if excess < 0:
            break
        count += 1
    return count


def advance_start(storage: Storage, offset: int) -> None:
    """Move the log start offset to ``offset`` and unlink the segments wholly before it.

    The offset is durable before any file goes: a crash may keep some of them, in any
    combination, and recovery then finishes the work. Raises ``Unavailable``.
    """
    filesystem, directory = storage.environment.filesystem, storage.directory
    try:
        if offset > storage.log_start_offset:
            _write_start(storage, offset)
            storage.log_start_offset = offset
            if storage.epochs.truncate_start(offset):
                storage.epochs.save(filesystem, directory)
        storage.remove_first(storage.wholly_before(storage.log_start_offset))
    except OSError as error:
        raise Unavailable(
            f"{storage.name}: records before offset {offset} could not be deleted: {error}",
            code=_KAFKA_STORAGE_ERROR,
        ) from error


def _write_start(storage: Storage, offset: int) -> None:
    filesystem, directory = storage.environment.filesystem, storage.directory
    name = checkpoints.LOG_START_OFFSET
    try:
        checkpoints.write_numbers(filesystem, directory, name, offset=offset)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # Not even room for this: what is about to go has indexes, which can be had again.
        for segment in storage.segments[: storage.wholly_before(offset)]:
            for suffix in (".index", ".timeindex"):
                with contextlib.suppress(FileNotFoundError):
                    filesystem.unlink(segment.stem + suffix)
        checkpoints.write_numbers(filesystem, directory, name, offset=offset)
