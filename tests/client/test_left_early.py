"""Ctrl-C, cancelled tasks and second threads: what is read is neither lost nor doubled."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

import mainstem as ms
from mainstem.face import loop

MakeTopic = Callable[..., ms.Topic]
_numbers = itertools.count()
ROWS = 1000


@pytest.fixture
def group() -> str:
    return f"left{next(_numbers)}-{time.monotonic_ns()}"


@pytest.fixture
def full(make_topic: MakeTopic) -> ms.Topic:
    topic = make_topic()
    topic.append([b"%d" % row for row in range(ROWS)])
    return topic


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Have Ctrl-C come in the next blocking call, when its answer is there and not yet taken."""
    due: list[bool] = []

    class Answer(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            found = super().result(timeout)
            if due:
                due.clear()
                raise KeyboardInterrupt
            return found

    monkeypatch.setattr(loop, "Future", Answer)

    def order(wanted: bool = True) -> None:
        due[:] = [True] * wanted

    yield order
    due.clear()


def numbers(batch: Any) -> list[int]:
    return [int(value) for value in batch["value"].to_pylist()]


def test_a_read_that_was_interrupted_goes_on_without_a_gap(
    full: ms.Topic, interrupt: Callable[..., None]
) -> None:
    seen: list[int] = []
    with full.read(batch_rows=100) as batches:
        while len(seen) < ROWS:
            interrupt()
            try:
                batch = next(batches)
            except KeyboardInterrupt:
                batch = next(batches)
            interrupt(False)  # it was ready: no call waited
            seen += numbers(batch)
    assert seen == list(range(ROWS))


def test_a_consumer_that_was_interrupted_goes_on_without_a_gap(
    stem: ms.Stem, full: ms.Topic, group: str, interrupt: Callable[..., None]
) -> None:
    seen: list[int] = []
    with stem.consumer(group, full.name, batch_rows=100, auto_commit=None) as consumer:
        while len(seen) < ROWS:
            interrupt()
            with pytest.raises(KeyboardInterrupt):
                consumer.poll(60)
            seen += numbers(consumer.poll(60))
        consumer.commit()
    assert seen == list(range(ROWS))
    assert stem.committed(group) == {(full.name, 0): ROWS}


@pytest.mark.parametrize("end", ["commit", "close", "seek", "pause"])
def test_what_an_interrupt_took_away_is_not_committed(
    stem: ms.Stem, full: ms.Topic, group: str, interrupt: Callable[..., None], end: str
) -> None:
    automatic = 3600.0 if end == "close" else None
    consumer = stem.consumer(group, full.name, batch_rows=100, auto_commit=automatic)
    assert numbers(consumer.poll(60)) == list(range(100))
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        consumer.poll(60)
    if end == "pause":
        consumer.pause([(full.name, 0)])
        assert consumer.assignment == {(full.name, 0): 100}
    elif end == "seek":
        consumer.seek(full.name, 0, 7)
        assert numbers(consumer.poll(60))[0] == 7
    elif end == "commit":
        consumer.commit()
    consumer.close()
    if end in ("commit", "close"):
        assert stem.committed(group) == {(full.name, 0): 100}


def of_two_threads(call: Callable[[], Any], then: Callable[[], Any]) -> tuple[list[Any], list[str]]:
    """What two threads that ``call`` at once get, and what those hear that are refused.

    Whoever comes first waits, until one was refused and ``then`` was called.
    """
    found: list[Any] = []
    refused: list[str] = []
    said = threading.Event()

    def work() -> None:
        try:
            found.append(call())
        except ms.Invalid as error:
            refused.append(str(error))
            said.set()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert said.wait(60)
    then()
    for thread in threads:
        thread.join(60)
    return found, refused


def test_only_one_thread_waits_for_a_batch(stem: ms.Stem, make_topic: MakeTopic) -> None:
    topic = make_topic()
    with topic.read(follow=True) as batches:
        found, refused = of_two_threads(lambda: next(batches), lambda: topic.append([b"7"]))
    assert len(refused) == 1
    assert "another thread waits for this read's next batch" in refused[0]
    assert [numbers(batch) for batch in found] == [[7]]


def test_only_one_thread_polls_a_consumer(stem: ms.Stem, make_topic: MakeTopic, group: str) -> None:
    topic = make_topic()
    with stem.consumer(group, topic.name, auto_commit=None) as consumer:
        assert consumer.poll(0) is None
        found, refused = of_two_threads(lambda: consumer.poll(60), lambda: topic.append([b"7"]))
    assert len(refused) == 1
    assert "one at a time, or open a consumer for each" in refused[0]
    assert [numbers(batch) for batch in found] == [[7]]


def test_threads_that_take_turns_share_a_read(full: ms.Topic) -> None:
    seen: list[int] = []
    lock = threading.Lock()

    def work(batches: Any) -> None:
        while True:
            with lock:
                batch = next(batches, None)
                if batch is None:
                    return
                seen.extend(numbers(batch))

    with full.read(batch_rows=10) as batches:
        threads = [threading.Thread(target=work, args=(batches,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert seen == list(range(ROWS))


def test_an_asynchronous_read_that_was_cancelled_while_it_began_begins_again(
    stem: ms.Stem, full: ms.Topic
) -> None:
    """It ended at once, as if there was nothing to read."""

    async def main() -> list[int]:
        async with await ms.aconnect(stem.address) as astem:
            batches = (await astem.topic(full.name)).read()
            for turns in range(3):
                task = asyncio.ensure_future(anext(batches))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            return [row async for batch in batches for row in numbers(batch)]

    assert asyncio.run(main()) == list(range(ROWS))


def test_an_asynchronous_read_cancelled_at_any_step_has_no_gap(
    stem: ms.Stem, full: ms.Topic
) -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        async with (
            await ms.aconnect(stem.address) as astem,
            (await astem.topic(full.name)).read(batch_rows=50) as batches,
        ):
            for turns in itertools.count():
                task = asyncio.ensure_future(anext(batches, None))
                for _ in range(turns % 7):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    batch = await task
                except asyncio.CancelledError:
                    batch = await anext(batches, None)
                if batch is None:
                    return seen
                seen += numbers(batch)
        return seen

    assert asyncio.run(main()) == list(range(ROWS))


def test_an_asynchronous_consumer_cancelled_at_any_step_has_no_gap(
    stem: ms.Stem, full: ms.Topic, group: str
) -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        async with await ms.aconnect(stem.address) as astem:
            consumer = astem.consumer(group, full.name, batch_rows=50, auto_commit=None)
            for turns in itertools.count():
                task = asyncio.ensure_future(consumer.poll())
                for _ in range(turns % 40):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    batch = await task
                except asyncio.CancelledError:
                    batch = await consumer.poll(60)
                seen += numbers(batch)
                if len(seen) >= ROWS:
                    break
            await consumer.commit()
            await consumer.close()
        return seen

    assert asyncio.run(main()) == list(range(ROWS))
    assert stem.committed(group) == {(full.name, 0): ROWS}


def test_two_tasks_at_one_read_or_consumer_are_told_and_nothing_is_lost(
    stem: ms.Stem, full: ms.Topic, group: str
) -> None:
    async def main() -> None:
        async with await ms.aconnect(stem.address) as astem:
            batches = (await astem.topic(full.name)).read()
            consumer = astem.consumer(group, full.name, auto_commit=None)
            for call in (lambda: anext(batches), consumer.poll):
                first = asyncio.ensure_future(call())
                await asyncio.sleep(0)
                with pytest.raises(ms.Invalid, match="one at a time"):
                    await call()
                assert numbers(await first) == list(range(ROWS))
            await consumer.close()

    asyncio.run(main())


def test_an_asynchronous_consumer_that_could_not_begin_says_why_every_time(
    stem: ms.Stem, full: ms.Topic, group: str
) -> None:
    async def main() -> None:
        async with await ms.aconnect(stem.address) as astem:
            consumer = astem.consumer(group, f"no-{group}")
            assert consumer.member_id == ""
            with pytest.raises(ms.Conflict, match="does not count this consumer among its members"):
                await consumer.commit({(full.name, 0): 1})
            for _ in range(2):
                with pytest.raises(ms.Invalid, match="there is no topic"):
                    await consumer.poll()
            await consumer.close()
            never = astem.consumer(group, full.name)
            await never.close()
            with pytest.raises(ms.Closed):
                await never.poll()

    asyncio.run(main())


@pytest.mark.parametrize("what", ["consumer", "stem"])
def test_a_poll_ends_when_another_thread_closes(
    stem: ms.Stem, make_topic: MakeTopic, group: str, what: str
) -> None:
    """It waited on, for ever without a timeout, and read what nobody would take."""
    topic = make_topic()
    with ms.connect(stem.address) as other:
        consumer = other.consumer(group, topic.name, auto_commit=None)
        assert consumer.poll(0) is None
        said: list[Any] = []

        def wait() -> None:
            while not said:
                try:
                    said.append(consumer.poll())
                except ms.Closed as error:
                    said.append(error)
                except ms.Invalid:  # the poll below was inside just then
                    continue

        thread = threading.Thread(target=wait)
        thread.start()
        while not said:
            try:
                assert consumer.poll(0) is None
            except ms.Invalid:  # the other one waits
                break
        (consumer if what == "consumer" else other).close()
        thread.join(30)
        assert not thread.is_alive()
        assert [type(found) for found in said] == [ms.Closed]
