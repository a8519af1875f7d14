"""Fetched bytes to Arrow batches of a sensible size, decoded ahead of whoever reads them."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from mainstem.client.decoding import Places, assemble, decode_parts, places
from mainstem.client.fetcher import Fetched, Fetcher
from mainstem.client.formats import Format, check_format, is_quick
from mainstem.client.spool import Part, Spool
from mainstem.client.threads import off_loop, on_cores
from mainstem.errors import MainstemError

_AHEAD = 2
_LEAST_ROWS = 64 << 10  # decoded at once, even where batches are smaller
BATCH_BYTES: Final = 8 << 20
_SMALL_BYTES = 16 << 10  # a thread would take longer to wake up than this to decode


class _Turn:
    """Payloads are decoded in order where a format may remember what it has seen."""

    def __init__(self, before: _Turn | None) -> None:
        self.over = threading.Event()
        self._before: threading.Event | None = None if before is None else before.over

    def wait(self) -> None:
        """Until those before are through."""
        if self._before is not None:
            self._before.wait()


@dataclass(frozen=True, slots=True)
class _End:
    """Comes behind the last batch; ``error`` says why there are no more."""

    error: BaseException | None = None


class Reader:
    """Batches in order per partition. ``next`` may be called by one task at a time.

    Two groups of batches are decoded ahead, each of one batch, or several where ``batch_rows``
    is small. ``batch_rows`` and about ``batch_bytes`` bound a batch from above; below, whatever
    has arrived is handed out, after waiting ``max_wait`` seconds for more.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        payload: Format,
        *,
        batch_rows: int,
        max_wait: float,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        self._batch_bytes = batch_bytes
        self._fetcher = fetcher
        self._decode = check_format(payload).decoder()
        self._in_order = not getattr(self._decode, "forgetful", False)
        # A format that may ask a schema registry must not do so on the loop.
        self._quick = is_quick(payload)
        self._batch_rows = batch_rows
        self._max_wait = max_wait
        self._spool = Spool()
        self._turn: _Turn | None = None
        self._ready: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)
        self._next: Any = None  # taken from there, perhaps not ready yet
        self._batches: deque[tuple[Any, Places]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._ended = False

    async def next(self) -> Any:
        """A ``pa.RecordBatch``, or ``None`` at the end. Raises what fetching or decoding raised."""
        while (found := await self.take()) is not None:
            if found[0] is not None:
                return found[0]
        return None

    async def next_ones(self) -> list[Any]:
        """As ``next``, with those that are ready behind it; empty at the end."""
        batch = await self.next()
        if batch is None:
            return []
        found = [batch]
        while not self._over:
            found += [batch for batch, _ in self._batches if batch is not None]
            self._batches.clear()
            if not self._take_ready():
                break
        return found

    def _take_ready(self) -> bool:
        """Take what has been decoded, without waiting; whether there was anything."""
        if self._next is None and not self._ready.empty():
            self._next = self._ready.get_nowait()
        found = self._next
        if isinstance(found, asyncio.Future) and found.done() and not found.cancelled():
            found = None if found.exception() else found.result()
        if not isinstance(found, list):
            return False
        self._next = None
        self._batches.extend(found)
        return True

    async def take(self) -> tuple[Any, Places] | None:
        """As ``next``, with where to go on behind it. The batch is ``None`` where there were
        only markers or aborted records."""
        if self._task is None and not self._over:
            self._task = asyncio.get_running_loop().create_task(self._run())
        self._fetcher.demand.set()
        while not self._over:
            if self._batches:
                self._fetcher.demand.clear()
                return self._batches.popleft()
            if self._next is None:
                self._next = await self._ready.get()
            if isinstance(self._next, _End):
                self._over = True
                if self._next.error is not None:
                    raise self._next.error
            elif isinstance(self._next, list):
                found, self._next = self._next, None
                self._batches.extend(found)
            else:
                await self._decoded(self._next)
        return None

    async def _decoded(self, coming: asyncio.Future[list[tuple[Any, Places]]]) -> None:
        try:
            # Whoever takes may be cancelled; what is decoded stays for the next one.
            self._next = await asyncio.shield(coming)
        except Exception:
            self._over = True
            raise

    async def close(self) -> None:
        """Stop reading ahead; ``next`` gives ``None`` from now on, also to one that waits."""
        self._over = True
        self._batches.clear()
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
        finally:
            while not self._ready.empty():
                self._ready.get_nowait()
            self._ready.put_nowait(_End())
            await self._fetcher.close()

    async def _run(self) -> None:
        at_once = self._batch_rows * max(1, _LEAST_ROWS // self._batch_rows)
        error: BaseException | None = None
        try:
            while self._spool or not self._ended:
                await self._gather()
                # A remainder goes to the front of the next batch while there is more to come.
                rows = self._spool.rows
                whole = rows - rows % self._batch_rows or rows
                parts = self._spool.take(max(1, min(at_once, whole)), self._batch_bytes)
                if parts:
                    await self._ready.put(self._start(parts))
        except asyncio.CancelledError:
            raise
        except BaseException as found:
            error = found
        await self._ready.put(_End(error))

    def _start(self, parts: list[Part]) -> Any:
        """Decode in a thread, or here where that takes less time than a thread to wake up."""
        here = sum(part.size for part in parts) <= _SMALL_BYTES and self._quick
        here = here and (self._turn is None or self._turn.over.is_set())
        run = on_cores if self._quick else off_loop
        turn = self._turn = _Turn(self._turn)
        if here:
            return self._work(parts, turn)
        future = asyncio.ensure_future(run(partial(self._work, parts, turn)))

        def done(future: asyncio.Future[Any]) -> None:
            turn.over.set()  # also when it never ran
            if not future.cancelled():
                future.exception()  # whoever closes early never looks

        future.add_done_callback(done)
        return future

    def _work(self, parts: list[Part], turn: _Turn) -> list[tuple[Any, Places]]:
        try:
            found = list(decode_parts(parts, self._batch_rows))
            if any(part.compressed for part in parts):
                self._spool.decoded(
                    sum(records.num_rows for records, _ in found),
                    sum(records.nbytes for records, _ in found),
                )
            if self._in_order:
                turn.wait()
            return [
                (assemble(records, spans, self._decode), places(spans)) for records, spans in found
            ]
        finally:
            turn.over.set()

    async def _gather(self) -> None:
        """Have enough in line for a whole batch, or all that comes soon enough."""
        spool = self._spool
        loop = asyncio.get_running_loop()
        until = loop.time() + self._max_wait if spool else None
        while spool.rows < self._batch_rows and spool.size < self._batch_bytes:
            chunk = self._fetcher.take()
            if chunk is None and spool:
                until = loop.time() + self._max_wait if until is None else until
                chunk = await self._wait_for_more(until - loop.time())
            elif chunk is None:
                chunk = await self._fetcher.next()
                self._ended = chunk is None
            if chunk is None:
                return
            spool.add(chunk)

    async def _wait_for_more(self, seconds: float) -> Fetched | None:
        if seconds <= 0:
            return None
        try:
            async with asyncio.timeout(seconds):
                return await self._fetcher.next()
        except (TimeoutError, MainstemError):  # an error comes again, after what is here
            return None
