"""What computes runs in a thread a core; what waits for others does not get in its way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.client.threads import CORES, off_loop, on_cores

PATIENCE = 30.0


def test_no_more_threads_than_cores_compute() -> None:
    most, inside, changed = 0, 0, threading.Condition()

    def work() -> str:
        nonlocal most, inside
        with changed:
            inside += 1
            most = max(most, inside)
            changed.notify_all()
            changed.wait_for(lambda: most >= max(2, CORES), PATIENCE)
            inside -= 1
        return threading.current_thread().name

    async def run() -> list[str]:
        return await asyncio.gather(*(on_cores(work) for _ in range(4 * max(2, CORES))))

    names = asyncio.run(run())
    assert most == max(2, CORES)
    assert len(set(names)) == most


def test_what_waits_does_not_hold_up_what_computes() -> None:
    async def run() -> list[bool]:
        over = threading.Event()
        waiting = [asyncio.ensure_future(off_loop(lambda: over.wait(PATIENCE))) for _ in range(50)]
        try:
            async with asyncio.timeout(PATIENCE):
                assert await on_cores(lambda: 7) == 7
        finally:
            over.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(run()) == [True] * 50


class Asks:
    """``Raw`` that asks a registry before it encodes; the answer is late."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked = threading.Semaphore(0)
        self.decoder = ms.Raw().decoder

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:
        """See ``Format``."""
        self.asked.release()
        assert self.answer.wait(PATIENCE)
        return ms.Raw().encode(payload, used=used)


def test_appends_go_on_while_a_registry_does_not_answer(
    make_topic: Callable[..., ms.Topic],
) -> None:
    late, topic, asks = make_topic(), make_topic(), Asks()
    rows = pa.table({"value": pa.array([b"x"] * 10_000)})
    some = min(max(2, CORES) + 1, 20)  # as many as wait at once on any machine
    threads = [
        threading.Thread(target=late.append, args=(rows,), kwargs={"format": asks})
        for _ in range(some)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(some):
            assert asks.asked.acquire(timeout=PATIENCE)
        assert topic.append(rows).rows == 10_000
        assert sum(batch.num_rows for batch in topic.read()) == 10_000
    finally:
        asks.answer.set()
        for thread in threads:
            thread.join()
    assert sum(batch.num_rows for batch in late.read()) == some * 10_000


class Counts:
    """``Raw`` that writes down elsewhere what it has encoded and decoded."""

    def __init__(self, book: ms.Topic) -> None:
        self._book = book

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:
        """See ``Format``."""
        self._book.append([b"encoded"])
        return ms.Raw().encode(payload, used=used)

    def decoder(self) -> Callable[[Any, Callable[[int], str]], dict[str, Any]]:
        """See ``Format``."""

        def decode(values: Any, where: Callable[[int], str]) -> dict[str, Any]:
            self._book.append([b"decoded"])
            return ms.Raw().decoder()(values, where)

        return decode


@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_format_of_the_users_may_use_the_same_client(
    make_topic: Callable[..., ms.Topic], rows: int
) -> None:
    book, topic = make_topic(), make_topic()
    counts = Counts(book)
    topic.append(pa.table({"value": pa.array([b"x"] * rows)}), format=counts)
    assert sum(batch.num_rows for batch in topic.read(format=counts)) == rows
    (found,) = book.read()
    assert set(found["value"].to_pylist()) == {b"encoded", b"decoded"}
