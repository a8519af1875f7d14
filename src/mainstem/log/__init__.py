"""The append-only log on disk: partitions of segments in Kafka's own format.

Synchronous code. Bytes on disk are described in ``docs/formats.md``.
"""

from __future__ import annotations

from mainstem.filesystem import File, FileSystem, RealFileSystem
from mainstem.log.appending import Appended
from mainstem.log.commit import GroupCommit
from mainstem.log.config import LogConfig
from mainstem.log.directory import Log
from mainstem.log.doctor import Finding, check
from mainstem.log.partition import Partition
from mainstem.log.producers import ProducedBatch, Producer
from mainstem.log.reading import Slice

__all__ = [
    "Appended",
    "File",
    "FileSystem",
    "Finding",
    "GroupCommit",
    "Log",
    "LogConfig",
    "Partition",
    "ProducedBatch",
    "Producer",
    "RealFileSystem",
    "Slice",
    "check",
]
