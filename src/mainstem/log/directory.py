"""A data directory: ``<root>/topics/<topic>-<partition>/``."""

from __future__ import annotations

import re
import threading
import time
from os import PathLike, fspath

from mainstem.clock import Clock, SystemClock
from mainstem.errors import Closed, Invalid, Unavailable
from mainstem.filesystem import FileSystem, RealFileSystem
from mainstem.log import recovery
from mainstem.log.config import LogConfig
from mainstem.log.handles import HandleCache
from mainstem.log.partition import Partition
from mainstem.log.storage import Environment

TOPICS = "topics"
INVALID_TOPIC_EXCEPTION = 17
KAFKA_STORAGE_ERROR = 56
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_PARTITION = re.compile(r"([a-zA-Z0-9._-]{1,249})-(0|[1-9][0-9]{0,9})")
_DELETED = ".deleted"


def partition_of(name: str) -> tuple[str, int] | None:
    """(topic, partition) that a directory's name stands for, if it does."""
    match = _PARTITION.fullmatch(name)
    return (match[1], int(match[2])) if match else None


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


class Log:
    """The partitions under one root. Thread safe; one process at a time may have it open.

    ``max_open_files`` bounds the descriptors kept for segments, active ones included.
    """

    def __init__(
        self,
        root: str | PathLike[str],
        *,
        filesystem: FileSystem | None = None,
        clock: Clock | None = None,
        max_open_files: int = 4096,
    ) -> None:
        self._filesystem = filesystem or RealFileSystem()
        handles = HandleCache(self._filesystem, max_open_files)
        self._environment = Environment(self._filesystem, clock or SystemClock(), handles)
        self._root = fspath(root).rstrip("/")
        self._topics = f"{self._root}/{TOPICS}"
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._lock = threading.RLock()
        self._deletions = 0
        self._prepare()

    def _prepare(self) -> None:
        filesystem = self._filesystem
        if not filesystem.exists(self._topics):
            filesystem.mkdir(self._root)
            filesystem.mkdir(self._topics)
        # Also when they are there: whoever made them may have been killed before this.
        filesystem.fsync_directory(_parent(self._root))
        filesystem.fsync_directory(self._root)
        for name in filesystem.listdir(self._topics):
            if name.endswith(_DELETED):
                self._remove(f"{self._topics}/{name}")

    def existing(self) -> list[tuple[str, int]]:
        """(topic, partition) of every partition on disk, opened or not."""
        found = []
        for name in self._filesystem.listdir(self._topics):
            partition = partition_of(name)
            if partition is not None:
                found.append(partition)
        return sorted(found)

    def open(self, topic: str, partition: int, config: LogConfig | None = None) -> Partition:
        """The partition, made, loaded or recovered; the same object while it is open.

        Raises ``Corrupt`` (with path and offset) if what is on disk cannot be trusted,
        ``Invalid`` for a name that cannot be a topic, ``Unavailable`` if the disk refuses.
        """
        if not _TOPIC.fullmatch(topic) or topic in (".", "..") or not 0 <= partition < 2**31:
            raise Invalid(
                f"topic {topic!r} partition {partition}: a topic is 1 to 249 of a-z A-Z 0-9 . _ -, "
                "a partition 0 or more",
                code=INVALID_TOPIC_EXCEPTION,
            )
        with self._lock:
            opened = self._partitions.get((topic, partition))
            if opened is not None and not opened.closed:
                return opened
            try:
                result = self._open(topic, partition, config or LogConfig())
            except OSError as error:
                raise Unavailable(
                    f"{topic}-{partition} cannot be opened: {error}", code=KAFKA_STORAGE_ERROR
                ) from error
            self._partitions[topic, partition] = result
            return result

    def _open(self, topic: str, partition: int, config: LogConfig) -> Partition:
        directory, environment = f"{self._topics}/{topic}-{partition}", self._environment
        if not self._filesystem.exists(directory):
            storage, clean = recovery.create(directory, environment), False
        else:
            storage, clean = recovery.load(directory, environment, config)
        if not clean:
            self._filesystem.fsync_directory(self._topics)
        return Partition(topic, partition, config, storage, clean=clean)

    def delete(self, topic: str, partition: int) -> None:
        """Remove a partition for good; slices that readers hold stay readable.

        Its name goes first, durably: after a crash it is there as a whole or not at all.
        """
        with self._lock:
            opened = self._partitions.pop((topic, partition), None)
            if opened is not None:
                opened.close(clean=False)
            source = f"{self._topics}/{topic}-{partition}"
            if not self._filesystem.exists(source):
                return
            self._deletions += 1
            target = f"{self._topics}/{time.time_ns():x}-{self._deletions}{_DELETED}"
            try:
                self._filesystem.rename(source, target)
                self._filesystem.fsync_directory(self._topics)
                self._remove(target)
            except OSError as error:
                raise Unavailable(
                    f"{topic}-{partition} could not be deleted: {error}", code=KAFKA_STORAGE_ERROR
                ) from error

    def _remove(self, directory: str) -> None:
        for name in self._filesystem.listdir(directory):
            self._filesystem.unlink(f"{directory}/{name}")
        self._filesystem.rmdir(directory)

    def checkpoint(self) -> None:
        """Sync every open partition and note how far; call it now and then, in a thread."""
        for partition in list(self._partitions.values()):
            if not partition.closed:
                try:
                    partition.checkpoint()
                except (Closed, Unavailable):
                    continue  # poisoned: whoever writes to it is told

    def close(self, clean: bool = True) -> None:
        """Close every partition; ``clean`` makes the next start quick.

        All are closed even if one fails; the first failure is raised then, as ``Unavailable``.
        """
        failures: list[Unavailable] = []
        with self._lock:
            for partition in self._partitions.values():
                try:
                    partition.close(clean=clean)
                except Unavailable as error:
                    failures.append(error)
            self._partitions.clear()
        if failures:
            raise failures[0]
