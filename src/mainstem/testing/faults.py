"""A line that breaks: between any Kafka client and any broker, from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from types import TracebackType
from typing import Final, Literal

from mainstem.testing.accepting import Accepting

Fault = Literal["cut", "delay", "slice", "half-close", "duplicate"]
FAULTS: Final[tuple[Fault, ...]] = ("cut", "delay", "slice", "half-close", "duplicate")
_READ = 16 << 10
_START_SECONDS = 10.0


class FaultProxy:
    """Forwards ``address`` to ``target`` (``"host:port"``), with faults; a context manager.

    The broker must advertise ``host`` and ``port`` of the proxy, otherwise clients go round it.
    Each direction of each connection gets a fault after about ``every`` bytes:

    - ``cut``: both ends are reset; what was under way is lost, maybe in the middle of a message.
    - ``half-close``: one direction ends (FIN), the other goes on.
    - ``delay``: up to 30 ms nothing passes.
    - ``slice``: the next bytes arrive in pieces of a few bytes.
    - ``duplicate``: a whole request or answer is sent twice. Not for TLS, where there are none.

    What happens follows from ``seed`` and the bytes that pass; when, also from the machine.
    ``counts`` says what has happened; set ``calm`` to forward faithfully, ``target`` to move the
    line to another broker. Runs on a thread of its own; attributes may be used from any thread.
    """

    def __init__(
        self,
        target: str = "",
        *,
        seed: int,
        every: int = 100_000,
        faults: tuple[Fault, ...] = FAULTS,
    ) -> None:
        unknown = set(faults) - set(FAULTS)
        if unknown or not faults or every < 1:
            raise ValueError(f"faults={faults!r}, every={every}: choose from {FAULTS}, 1 or more")
        self.target = target
        self.host, self.port = "127.0.0.1", 0
        self.seed = seed
        self.calm = False
        self.counts: Counter[str] = Counter()
        self._every, self._faults = every, faults
        self._connections = 0
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    def __repr__(self) -> str:
        return f"FaultProxy(seed={self.seed}, {dict(self.counts)})"

    @property
    def address(self) -> str:
        """Where clients connect, ``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def total(self) -> int:
        """How many faults there were."""
        return sum(self.counts.values())

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise TimeoutError("the fault proxy did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        accepting = Accepting(self._forward, self.host)
        self.port = accepting.address[1]
        self._started.set()
        await self._stop.wait()
        await accepting.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self._connections = self._connections + 1
        ends = [writer]
        pumps: list[asyncio.Task[bool]] = []
        try:
            host, _, port = self.target.rpartition(":")
            there, back = await asyncio.open_connection(host, int(port))
            ends.append(back)
            pumps = [
                asyncio.ensure_future(self._pump(f"{number} in", reader, back)),
                asyncio.ensure_future(self._pump(f"{number} out", there, writer)),
            ]
            if not await _until_both_or_cut(pumps):
                for end in ends:  # a reset, also where nothing is left to be read
                    line: socket.socket = end.get_extra_info("socket")
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (OSError, asyncio.CancelledError):
            pass  # nobody there, or the end of the proxy: the client is told by the reset
        finally:
            await self._drop(pumps, ends)

    async def _drop(
        self, pumps: list[asyncio.Task[bool]], ends: list[asyncio.StreamWriter]
    ) -> None:
        # All ends first: the end of the proxy may cancel the wait for them.
        for end in ends:
            end.transport.abort()
        for pump in pumps:
            pump.cancel()
        closed = [end.wait_closed() for end in ends]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*pumps, *closed, return_exceptions=True)

    async def _pump(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Forward one direction to its end; whether the other may go on."""
        line = _Line(random.Random(f"{self.seed} {name}"), self._every, self._faults)
        with contextlib.suppress(OSError):
            while data := await reader.read(_READ):
                fault = None if self.calm else line.due(data)
                if fault is not None:
                    self.counts[fault] += 1
                if fault in {"cut", "half-close"}:
                    writer.write(data[: line.random.randrange(len(data) + 1)])
                    await writer.drain()
                    if fault == "cut":
                        return False
                    break
                await line.forward(data, writer, fault)
            if writer.can_write_eof():
                writer.write_eof()
            return True
        return False


async def _until_both_or_cut(pumps: list[asyncio.Task[bool]]) -> bool:
    """Whether both came to their end, and none was cut."""
    waiting = set(pumps)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not all(pump.result() for pump in done):
            return False
    return True


class _Line:
    """One direction of a connection: when the next fault is due, and where messages begin."""

    def __init__(self, rng: random.Random, every: int, faults: tuple[Fault, ...]) -> None:
        self.random = rng
        self._every = every
        self._faults = faults
        self._left = rng.randrange(2 * every)
        self._double = False
        self._message = bytearray()  # the one under way, as long as one is to be doubled
        self._behind = 0  # bytes of the message under way that are still to come
        self._size = bytearray()  # of the next message, if not all of it has come

    def due(self, data: bytes) -> Fault | None:
        """The fault that these bytes meet."""
        self._left -= len(data)
        if self._left > 0:
            return None
        self._left = self.random.randrange(2 * self._every)
        return self.random.choice(self._faults)

    async def forward(self, data: bytes, writer: asyncio.StreamWriter, fault: Fault | None) -> None:
        """Pass the bytes on, late, in pieces, or with a message doubled."""
        if fault == "delay":
            await asyncio.sleep(self.random.random() * 0.03)
        self._double = self._double or fault == "duplicate"
        if "duplicate" in self._faults:
            data = self._doubled(data)
        sliced = 0
        while fault == "slice" and sliced < min(200, len(data)):
            step = self.random.randint(1, 7)
            writer.write(data[sliced : sliced + step])
            await writer.drain()
            await asyncio.sleep(0)
            sliced += step
        writer.write(data[sliced:])
        await writer.drain()

    def _doubled(self, data: bytes) -> bytes:
        """The bytes, with the first message that begins in them twice if that is due."""
        out, at = bytearray(), 0
        while at < len(data):
            if self._behind == 0:
                piece = data[at : at + 4 - len(self._size)]
                self._size += piece
                if len(self._size) == 4:
                    self._behind = int.from_bytes(self._size, "big")
                    self._message = bytearray(self._size) if self._double else bytearray()
                    self._size.clear()
            else:
                piece = data[at : at + self._behind]
                self._behind -= len(piece)
                if self._message:
                    self._message += piece
            out += piece
            at += len(piece)
            if self._behind == 0 and self._message:
                out += self._message
                self._message, self._double = bytearray(), False
        return bytes(out)
