"""A broker inside the calling process, shared by everyone who opens the same directory.

The first to open a directory owns it (a lock that dies with the process) and serves it on a
free loopback port; later ones, in this process or another, join by the announced address.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mainstem.errors import Closed, Conflict, Unavailable
from mainstem.node import probe
from mainstem.node.config import NodeConfig, broker_config, parse_address
from mainstem.node.directory import (
    Address,
    Directory,
    abandon_descriptor,
    acquire,
    read_address,
    storage_error,
)
from mainstem.node.listeners import bound, listen

if TYPE_CHECKING:
    from mainstem.broker import Broker

_JOIN_SECONDS = 10.0
_JOIN_STEP_SECONDS = 0.02
_PROBE_SECONDS = 1.0
_CLOSE_SECONDS = 60.0


class Embedded:
    """A handle on a directory's broker: ``address`` is ``"host:port"`` of its listener.

    ``joined`` says that another process owns the directory. ``close`` ends the broker when it
    was the owner's last handle in this process; it is idempotent, thread-safe, and called at
    interpreter exit. A handle inherited through ``fork`` is closed: open again in the child.
    """

    def __init__(self, path: Path, address: str, owner: _Owner | None) -> None:
        self.path = path
        self.joined = owner is None
        self._address = address
        self._owner = owner
        self._pid = os.getpid()
        self._closed = False

    @property
    def address(self) -> str:
        """Raises ``Closed`` after ``close``, or in a forked child."""
        if self._pid != os.getpid():
            raise Closed(f"{self.path} was opened before a fork: open it again in this process")
        if self._closed:
            raise Closed(f"{self.path} was closed: open it again")
        return self._address

    def close(self) -> None:
        """Gives the handle back."""
        with _registry_lock:
            if self._closed or self._pid != os.getpid():
                return
            self._closed = True
            if self._owner is not None:
                self._owner.leave()

    def __enter__(self) -> Embedded:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_embedded(
    path: str | os.PathLike[str],
    *,
    broker: dict[str, Any] | None = None,
    log: dict[str, Any] | None = None,
) -> Embedded:
    """Opens or joins the broker of a data directory. Thread-safe; blocks until it answers.

    ``broker`` and ``log`` are fields of ``BrokerConfig`` and ``LogConfig``; they apply where
    this call starts the broker. Raises ``Invalid`` (bad option or directory), ``Corrupt``, or
    ``Unavailable`` when the owner does not answer within ten seconds.
    """
    directory_path = Path(path).expanduser().absolute()
    config = NodeConfig(data=str(directory_path), broker=broker or {}, log=log or {})
    deadline = time.monotonic() + _JOIN_SECONDS
    while True:
        with _registry_lock:
            owner = _owners.get(os.path.realpath(directory_path))
            if owner is not None:
                return owner.enter()
            try:
                directory = acquire(directory_path)
            except Conflict as error:
                held = error
            else:
                return _own(directory, config).enter()
        # The owner may be starting, or leaving and about to give the lock up: ask again.
        address = read_address(directory_path)
        if address is not None and probe.answers(*_split(address), _PROBE_SECONDS):
            return Embedded(directory_path, address.kafka, None)
        if time.monotonic() > deadline:
            raise Unavailable(
                f"data directory {directory_path} is in use, but its broker does not answer"
                f"{f' at {address.kafka}' if address else ''}: look at that process"
            ) from held
        threading.Event().wait(_JOIN_STEP_SECONDS)


class _Owner:
    """The broker's thread, and how many handles in this process use it."""

    def __init__(self, directory: Directory, config: NodeConfig) -> None:
        self._directory = directory
        self._config = config
        self._handles = 0
        self._listener = listen("127.0.0.1:0", "kafka", insecure=False)
        self._descriptor = self._listener.fileno()
        self._address = bound(self._listener)
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mainstem-broker", daemon=True)

    def start(self) -> None:
        """Returns when the broker serves; raises what kept it from doing so."""
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        self._directory.announce(Address(kafka=self._address, pid=os.getpid()))

    def enter(self) -> Embedded:
        self._handles += 1
        return Embedded(self._directory.path, self._address, self)

    def leave(self) -> None:
        """The last one out closes the broker."""
        self._handles -= 1
        if self._handles == 0:
            self.end()

    def end(self) -> None:
        """Clean shutdown, then the lock is given up."""
        _owners.pop(os.path.realpath(self._directory.path), None)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_CLOSE_SECONDS)
        self._directory.release()

    def abandon_in_child(self) -> None:
        """After fork: neither the lock nor the port may stay held by the child."""
        self._directory.abandon_in_child()
        abandon_descriptor(self._descriptor)

    def _run(self) -> None:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:  # handed to whoever opens
                self._failure = error
                if isinstance(error, OSError):
                    self._failure = storage_error(error, self._directory.path)
            finally:
                self._listener.close()
                self._started.set()

    async def _serve(self) -> None:
        from mainstem.broker import Broker

        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        host, port = self._listener.getsockname()[:2]
        broker: Broker = Broker(broker_config(self._config, host, port, None))
        try:
            await broker.start(self._listener)
        except BaseException:
            if hasattr(broker, "store"):  # what is open, so that opening again is possible
                broker.store.close()
            raise
        self._started.set()
        try:
            await self._stop.wait()
        finally:
            await broker.close()


def _own(directory: Directory, config: NodeConfig) -> _Owner:
    try:
        owner = _Owner(directory, config)
        owner.start()
    except BaseException:
        directory.release()
        raise
    _owners[os.path.realpath(directory.path)] = owner
    return owner


def _split(address: Address) -> tuple[str, int]:
    return parse_address(address.kafka, "announced")


_owners: dict[str, _Owner] = {}
_registry_lock = threading.RLock()


def _close_all() -> None:
    with _registry_lock:
        for owner in list(_owners.values()):
            owner.end()


def _after_fork_in_child() -> None:
    global _registry_lock  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _registry_lock = threading.RLock()
    for owner in _owners.values():
        owner.abandon_in_child()
    _owners.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
