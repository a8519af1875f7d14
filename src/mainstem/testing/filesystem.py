"""A file system in memory that forgets what was not synced.

It satisfies ``mainstem.log.FileSystem`` and keeps POSIX's promises and no more: written bytes
survive a power cut after ``fdatasync``, names after ``fsync_directory``. Everything else may
survive, be lost, or come back torn, as :meth:`CrashFileSystem.crash` draws from a seed.
"""

from __future__ import annotations

import errno
import io
import os
import random
from collections.abc import Callable

from typing_extensions import Buffer

PAGE = 512
_SECOND_HALF = 0.5

Fault = Callable[[int, str, str], OSError | None]
"""Called with (number of the call, operation, path) before each call that changes something."""


class PowerCut(Exception):  # noqa: N818 - an event, not an error
    """The machine went off; nothing works until :meth:`CrashFileSystem.crash`."""


class _Inode:
    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.durable = content
        self.clean_to = len(content)  # content and durable are equal up to here
        self.behind: bytearray | None = None  # what a sync would store, after one failed

    def write(self, data: bytes | memoryview, position: int) -> None:
        self.clean_to = min(self.clean_to, position)
        for content in (self.content, self.behind):
            if content is not None:
                content.extend(bytes(max(0, position - len(content))))
                content[position : position + len(data)] = data

    def truncate(self, size: int) -> None:
        self.clean_to = min(self.clean_to, size)
        for content in (self.content, self.behind):
            if content is not None:
                del content[size:]
                content.extend(bytes(size - len(content)))

    def sync(self) -> None:
        new = self.content if self.behind is None else self.behind
        if self.clean_to < max(len(new), len(self.durable)):
            self.durable = bytes(new)
            self.clean_to = len(self.durable)

    def fail_sync(self) -> None:
        """As Linux does: the pages are clean now and will not be written again."""
        self.behind = bytearray(self.durable[: len(self.content)])
        self.behind.extend(bytes(len(self.content) - len(self.behind)))

    def drop_cache(self) -> None:
        if self.behind is not None:
            self.content, self.behind = self.behind, None

    def survivor(self, rng: random.Random) -> _Inode:
        """What a power cut leaves of it."""
        latest = self.content if self.behind is None else self.behind
        old, new, start = self.durable, bytes(latest), self.clean_to
        if old == new:
            return _Inode(old)
        outcome = rng.randrange(5)
        if outcome == 0:
            return _Inode(old)
        if outcome == 1:
            return _Inode(new)
        if outcome == 2:
            return _Inode(new[: rng.randint(min(start, len(new)), len(new))])
        sizes = (len(old), len(new), rng.randint(*sorted((len(old), len(new)))))
        size = max(start, rng.choice(sizes)) if outcome == 3 else len(new)
        out = bytearray(new[:start])
        while len(out) < size:
            end = min(size, (len(out) // PAGE + 1) * PAGE)
            wanted = end - len(out)
            page = rng.choice(
                (old[len(out) : end], new[len(out) : end], b"", rng.randbytes(wanted))
            )
            out += page + bytes(wanted - len(page))
        return _Inode(bytes(out))


class _Directory:
    def __init__(self) -> None:
        self.entries: dict[str, _Inode | _Directory] = {}
        self.durable: dict[str, _Inode | _Directory] = {}
        self.pending: list[tuple[str, str, _Inode | _Directory | None]] = []

    def change(self, remove: str, add: str, node: _Inode | _Directory | None) -> None:
        """Take a name away and put one there, atomically; either may be empty."""
        self._apply(self.entries, remove, add, node)
        self.pending.append((remove, add, node))

    def sync(self) -> None:
        self.durable = dict(self.entries)
        self.pending.clear()

    def survivor(self, rng: random.Random) -> _Directory:
        names, keep = dict(self.durable), rng.choice((0.0, 1.0, rng.random()))
        ordered, cut = rng.random() < _SECOND_HALF, False
        for change in self.pending:
            cut = cut or rng.random() >= keep
            if cut if ordered else rng.random() >= keep:
                continue
            self._apply(names, *change)
        found = _Directory()
        found.entries = {name: node.survivor(rng) for name, node in sorted(names.items())}
        found.durable = dict(found.entries)
        return found

    @staticmethod
    def _apply(
        names: dict[str, _Inode | _Directory],
        remove: str,
        add: str,
        node: _Inode | _Directory | None,
    ) -> None:
        if remove:
            names.pop(remove, None)
        if node is not None:
            names[add] = node


class MemoryFile:
    """An open file of a :class:`CrashFileSystem`."""

    def __init__(self, filesystem: CrashFileSystem, inode: _Inode, path: str) -> None:
        self._filesystem = filesystem
        self._inode = inode
        self._path = path

    def fileno(self) -> int:
        raise io.UnsupportedOperation("a file in memory has no descriptor")

    def pread(self, position: int, size: int) -> bytes:
        return bytes(self._inode.content[position : position + size])

    def pwrite(self, data: Buffer, position: int) -> int:
        after = self._filesystem.begin("pwrite", self._path)
        content, view = self._inode.content, memoryview(data).cast("B")
        room = self._filesystem.room(position + len(view) - len(content))
        fits = len(view) if room is None else max(0, len(view) - room)
        if not fits and len(view):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        self._inode.write(view[:fits], position)
        after()
        return fits

    def size(self) -> int:
        return len(self._inode.content)

    def truncate(self, size: int) -> None:
        after = self._filesystem.begin("truncate", self._path)
        self._inode.truncate(size)
        after()

    def reserve(self, position: int, size: int) -> bool:
        after = self._filesystem.begin("reserve", self._path)
        after()
        return self._filesystem.room(position + size - len(self._inode.content)) is None

    def fdatasync(self) -> None:
        try:
            after = self._filesystem.begin("fdatasync", self._path)
        except OSError:
            self._inode.fail_sync()
            raise
        self._inode.sync()
        after()

    def write_out(self, position: int, size: int, *, wait: bool) -> None:
        del position, size, wait  # what is on its way may survive, as all that is written may
        try:
            after = self._filesystem.begin("write_out", self._path)
        except OSError:
            self._inode.fail_sync()
            raise
        after()

    def drop_cache(self) -> None:
        self._inode.drop_cache()


class CrashFileSystem:
    """See the module. For one thread at a time.

    ``fault`` may return an ``OSError`` to raise instead of the call. ``crash_at`` cuts the power
    at that call (counted by ``calls`` from 1), before or after it takes effect as ``seed`` says.
    ``capacity`` is the disk's size in bytes: the write that would pass it is short, the next
    gets ENOSPC.
    """

    def __init__(
        self,
        *,
        fault: Fault | None = None,
        crash_at: int | None = None,
        capacity: int | None = None,
        seed: int = 0,
    ) -> None:
        self.fault = fault
        self.crash_at = crash_at
        self.capacity = capacity
        self.calls = 0
        self._root = _Directory()
        self._off = False
        self._rng = random.Random(seed)

    def crash(self, seed: int) -> CrashFileSystem:
        """The machine after the power came back: a new file system, all of it durable."""
        self._off = True
        after = CrashFileSystem(seed=seed)
        after._root = self._root.survivor(random.Random(seed))
        return after

    def restart(self) -> None:
        """The machine stayed on, only the process died: nothing is lost, or synced, by that."""
        self._off, self.crash_at = False, None

    def begin(self, operation: str, path: str) -> Callable[[], None]:
        """Count a call and let it fail; what it returns is called once the call took effect."""
        if self._off:
            raise PowerCut(f"{operation} {path}: the power is off")
        self.calls += 1
        if self.fault is not None:
            error = self.fault(self.calls, operation, path)
            if error is not None:
                raise error
        if self.calls != self.crash_at:
            return lambda: None
        self._off = True
        if self._rng.random() < _SECOND_HALF:
            self._cut()
        return self._cut

    def room(self, more: int) -> int | None:
        """How many of ``more`` further bytes do not fit; ``None`` if all do."""
        if self.capacity is None or more <= 0:
            return None
        lacking = self._used(self._root) + more - self.capacity
        return lacking if lacking > 0 else None

    def open(self, path: str, *, create: bool = False) -> MemoryFile:
        parent, name = self._parent(path)
        node = parent.entries.get(name)
        if isinstance(node, _Directory):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if create:
            after = self.begin("create", path)
            if node is None:
                node = _Inode()
                parent.change("", name, node)
            elif node.content:
                node.truncate(0)
            after()
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return MemoryFile(self, node, path)

    def exists(self, path: str) -> bool:
        try:
            parent, name = self._parent(path)
        except FileNotFoundError:
            return False
        return name in parent.entries

    def size(self, path: str) -> int:
        return self.open(path).size()

    def listdir(self, path: str) -> list[str]:
        return sorted(self._directory(path).entries)

    def mkdir(self, path: str) -> None:
        parent, name = self._parent(path)
        after = self.begin("mkdir", path)
        if name not in parent.entries:
            parent.change("", name, _Directory())
        after()

    def rmdir(self, path: str) -> None:
        if self.listdir(path):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        self._remove("rmdir", path)

    def unlink(self, path: str) -> None:
        self._remove("unlink", path)

    def rename(self, source: str, target: str) -> None:
        parent, name = self._parent(source)
        other, new_name = self._parent(target)
        if name not in parent.entries:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
        if parent is not other:
            raise OSError(errno.EXDEV, "only renames within a directory are modelled", target)
        after = self.begin("rename", source)
        parent.change(name, new_name, parent.entries[name])
        after()

    def fsync_directory(self, path: str) -> None:
        directory = self._directory(path)
        after = self.begin("fsync_directory", path)
        directory.sync()
        after()

    def _cut(self) -> None:
        raise PowerCut(f"the power was cut at call {self.calls}")

    def _remove(self, operation: str, path: str) -> None:
        parent, name = self._parent(path)
        if name not in parent.entries:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        after = self.begin(operation, path)
        parent.change(name, "", None)
        after()

    def _parent(self, path: str) -> tuple[_Directory, str]:
        head, _, name = path.rpartition("/")
        return self._directory(head), name

    def _directory(self, path: str) -> _Directory:
        node: _Inode | _Directory | None = self._root
        for name in path.split("/"):
            if name in ("", "."):
                continue
            node = node.entries.get(name) if isinstance(node, _Directory) else None
        if not isinstance(node, _Directory):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return node

    def _used(self, node: _Inode | _Directory) -> int:
        if isinstance(node, _Inode):
            return len(node.content)
        return sum(self._used(child) for child in node.entries.values())
