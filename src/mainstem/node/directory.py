"""Who owns a data directory: ``lock`` (flock) decides, ``address`` says where the owner listens.

The lock lives with the open file, not with a process id, so nothing is stale after a crash: the
kernel releases it when the last process that holds the file is gone. The supervisor and its
broker share one lock; a broker that outlives its supervisor for a moment still keeps others out.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from mainstem.errors import Conflict, Corrupt, Invalid, Unavailable

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Address:
    """Where a directory's owner listens. ``http`` is None for an embedded broker."""

    kafka: str
    pid: int
    http: str | None = None
    format: int = _FORMAT


class Directory:
    """An exclusively locked data directory. Not thread-safe; ``release`` is idempotent."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self._held = True

    def announce(self, address: Address) -> None:
        """Writes ``<path>/address`` atomically: a reader sees the old one or the new one."""
        text = json.dumps(asdict(address)) + "\n"
        try:
            fresh = self.path / ".address"  # ours alone: we hold the lock
            fresh.write_text(text, "ascii")
            fresh.replace(self.path / "address")
        except OSError as error:
            raise storage_error(error, self.path) from error

    def release(self) -> None:
        """Removes the address and gives the lock up."""
        if not self._held:
            return
        self._held = False
        (self.path / "address").unlink(missing_ok=True)
        os.close(self.descriptor)

    def abandon_in_child(self) -> None:
        """After fork: the child must not keep the parent's lock alive.

        The descriptor number stays taken (by /dev/null), so that closing it later is harmless.
        """
        self._held = False
        abandon_descriptor(self.descriptor)


def acquire(path: Path) -> Directory:
    """Creates the directory if needed and locks it.

    Raises ``Conflict`` when another process holds it, naming it if it is known; ``Invalid`` or
    ``Unavailable`` when the directory cannot be used.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    if not _try_lock(descriptor):
        os.close(descriptor)
        raise Conflict(f"data directory {path} is in use{_by_whom(path)}: stop that, or use it")
    return Directory(path, descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody owns the directory now; creates nothing."""
    try:
        descriptor = os.open(path / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def read_address(path: Path) -> Address | None:
    """What the owner announced, or None; may be stale unless the directory is locked."""
    try:
        text = (path / "address").read_text("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    try:
        fields = json.loads(text)
        if fields["format"] != _FORMAT:
            raise Corrupt(
                f"{path / 'address'} has format {fields['format']}, this Mainstem knows "
                f"{_FORMAT}: use the Mainstem that wrote it"
            )
        return Address(kafka=str(fields["kafka"]), pid=int(fields["pid"]), http=fields["http"])
    except (ValueError, KeyError, TypeError):
        return None  # not written by us, or by a version before this format: not an address


def storage_error(error: OSError, path: Path) -> Exception:
    """What a person can do about a file system's refusal, in one sentence."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Invalid(f"data directory {path} is not writable ({error.strerror}): choose another")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return Invalid(f"data directory {path} is not a directory: choose another")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"the disk of {path} is full: free some space, then start again")
    return Unavailable(f"data directory {path} cannot be used: {error.strerror}")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _by_whom(path: Path) -> str:
    address = read_address(path)
    return f" by process {address.pid}, which serves it at {address.kafka}" if address else ""


def abandon_descriptor(descriptor: int) -> None:
    """Lets go of an open file, keeping its number taken (by /dev/null)."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, descriptor, inheritable=False)
    os.close(null)
