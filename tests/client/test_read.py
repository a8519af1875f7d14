"""Reading: where it begins and ends, how batches are cut, what happens when things change."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.client import Fetcher, Position

MakeTopic = Callable[..., ms.Topic]
UTC = datetime.UTC


def offsets(topic: ms.Topic, *args: Any, **options: Any) -> list[tuple[int, int]]:
    return sorted(
        (partition, offset)
        for batch in topic.read(*args, **options)
        for partition, offset in zip(
            batch["_partition"].to_pylist(), batch["_offset"].to_pylist(), strict=True
        )
    )


@pytest.fixture
def ten(make_topic: MakeTopic) -> ms.Topic:
    """Offsets 0 to 9 in one partition, a second apart from 1970-01-01 00:00:00."""
    topic = make_topic()
    for start in (0, 4, 7):  # three record batches
        stop = {0: 4, 4: 7, 7: 10}[start]
        rows = [{"value": f"v{n}", "_timestamp": n * 1000} for n in range(start, stop)]
        topic.append(rows)
    return topic


def at(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("earliest", None, range(10)),
        ("latest", None, range(0)),
        (0, None, range(10)),
        (5, None, range(5, 10)),
        (10, None, range(0)),
        (at(3), None, range(3, 10)),
        (at(3.5), None, range(4, 10)),
        (at(99), None, range(0)),
        (at(-5), None, range(10)),
        ({0: 2}, None, range(2, 10)),
        ({0: at(8)}, None, range(8, 10)),
        ("earliest", 3, range(3)),
        ("earliest", 0, range(0)),
        ("earliest", "earliest", range(0)),
        ("earliest", "latest", range(10)),
        (2, at(5), range(2, 5)),
        (2, {0: 6}, range(2, 6)),
        (6, 5, range(0)),
        ({}, None, range(0)),
    ],
    ids=str,
)
def test_start_and_end(ten: ms.Topic, start: Any, end: Any, expected: range) -> None:
    assert offsets(ten, start, end=end) == [(0, offset) for offset in expected]


def test_an_end_also_ends_a_read_that_follows(ten: ms.Topic) -> None:
    assert offsets(ten, 1, end=3, follow=True) == [(0, 1), (0, 2)]


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (11, "start=11 is outside topic .* partition 0, which goes from 0 to 10"),
        (-1, "start=-1 is outside"),
        ("first", "start='first' is not a place"),
        (1.5, "start=1.5 is not a place"),
        (True, "start=True is not a place"),
        ({4: 0}, "start names partition 4"),
        (datetime.datetime(2020, 1, 1), "has no time zone"),  # noqa: DTZ001 - the point
    ],
    ids=str,
)
def test_a_place_that_is_none_is_invalid_at_once(ten: ms.Topic, start: Any, message: str) -> None:
    with pytest.raises(ms.Invalid, match=message):
        ten.read(start)


def test_only_the_partitions_asked_for_are_read(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    for index in range(3):
        topic.append([b"x"], partition=index)
    assert offsets(topic, partitions=[2, 0]) == [(0, 0), (2, 0)]
    with pytest.raises(ms.Invalid, match="no partition 3"):
        topic.read(partitions=[3])


@pytest.mark.parametrize("size", [1, 3, 7, 100, 1000, 4096])
def test_batches_have_the_size_asked_for(make_topic: MakeTopic, size: int) -> None:
    topic = make_topic(2)
    for index in range(10):
        topic.append([b"%d" % n for n in range(100)], partition=index % 2)
    batches = [batch.num_rows for batch in topic.read(batch_rows=size)]
    assert sum(batches) == 1000
    assert max(batches) <= size
    assert len(batches) <= 1000 // size + 11


@pytest.mark.parametrize("size", [20_000, 100_000])
def test_batches_have_the_bytes_asked_for(stem: ms.Stem, make_topic: MakeTopic, size: int) -> None:
    """Between record batches of the log, so to one of them, here of 10 kB."""
    topic = make_topic()
    topic.append([b"x" * 1000] * 1000, batch_bytes=10_000)
    sizes = [batch.nbytes for batch in topic.read(batch_bytes=size)]
    assert max(sizes) < size + 30_000
    assert len(sizes) in range(1_000_000 // (size + 30_000), 1_400_000 // (size - 10_000) + 2)
    consumer = stem.consumer(f"{topic.name}-{size}", topic.name, batch_bytes=size)
    with consumer:
        assert consumer.poll(60).nbytes < size + 30_000
    with pytest.raises(ms.Invalid, match="batch_bytes=7 is not valid: give 1024 or more"):
        topic.read(batch_bytes=7)


def test_a_batch_size_of_nothing_is_invalid(ten: ms.Topic) -> None:
    with pytest.raises(ms.Invalid, match="batch_rows=0"):
        ten.read(batch_rows=0)


def test_every_batch_has_the_same_columns(make_topic: MakeTopic) -> None:
    topic = make_topic(4)
    for _ in range(5):
        topic.append([{"value": f"{n}", "_key": f"{n}"} for n in range(1000)])
    schemas = {batch.schema.to_string() for batch in topic.read(batch_rows=300)}
    assert len(schemas) == 1


def test_following_sees_what_is_appended_later(make_topic: MakeTopic) -> None:
    topic = make_topic()
    with topic.read(follow=True) as batches:
        for number in range(3):
            topic.append([b"%d" % number])
            assert next(batches)["value"].to_pylist() == [b"%d" % number]


def test_a_read_that_waits_does_not_hold_up_appends(stem: ms.Stem, make_topic: MakeTopic) -> None:
    """A broker answers a connection in order: a long poll needs one of its own."""
    topic = make_topic()
    cluster = stem._stem.cluster
    with topic.read(follow=True) as batches:
        topic.append([b"x"])
        next(batches)
        assert batches._reader is not None
        fetcher = batches._reader._fetcher
        stem.topics()
        address = cluster.metadata.nodes[topic.describe().partitions[0].leader]
        lanes = [fetcher, stem._stem.producer, "calls"]
        assert len({id(cluster._open[address, lane].result()) for lane in lanes}) == 3
    assert (address, fetcher) not in cluster._open


def test_following_can_begin_at_the_end(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append([b"old"])
    with topic.read("latest", follow=True) as batches:
        topic.append([b"new"])
        assert next(batches)["value"].to_pylist() == [b"new"]


def test_max_wait_gathers_what_comes_soon(make_topic: MakeTopic) -> None:
    topic = make_topic()
    with topic.read(follow=True, batch_rows=3, max_wait=30) as batches:
        for number in range(3):
            topic.append([b"%d" % number])
        assert next(batches).num_rows == 3


def test_a_closed_read_is_over(ten: ms.Topic) -> None:
    batches = ten.read(batch_rows=1)
    assert next(batches).num_rows == 1
    batches.close()
    batches.close()
    assert list(batches) == []


def test_closing_the_stem_ends_a_read_that_waits(mainstem_session_broker: Any) -> None:
    stem = ms.connect(mainstem_session_broker.address)
    topic = stem.topic("closing", create=True)
    batches = topic.read("latest", follow=True)
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            next(batches)
        except BaseException as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while batches._reader is not None and batches._reader._task is None:
        stem.topics()  # until it waits
    stem.close()
    waiting.join(20)
    assert not waiting.is_alive()
    assert isinstance(caught[0], ms.Closed)


def test_records_deleted_before_they_are_read_are_an_error_not_a_gap(
    stem: ms.Stem, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    topic.append([b"a", b"b", b"c"])
    with topic.read(2, follow=True) as batches:
        assert next(batches)["_offset"].to_pylist() == [2]
    batches = topic.read(0)
    stem.delete_records(topic.name, {0: 2})
    with pytest.raises(ms.Invalid, match="has no offset 0 any more") as caught:
        list(batches)
    assert caught.value.code == 1


def test_a_topic_deleted_while_it_is_followed_is_an_error(
    stem: ms.Stem, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    topic.append([b"a"])
    with topic.read(follow=True) as batches:
        next(batches)
        stem.delete_topic(topic.name)
        with pytest.raises(ms.Invalid, match="no topic"):
            next(batches)


def test_a_read_that_nobody_closed_stops_by_itself(ten: ms.Topic, stem: ms.Stem) -> None:
    batches = ten.read(follow=True)
    next(batches)
    reader = batches._reader
    assert reader is not None
    del batches
    for _ in range(1000):
        stem.topics()  # a turn of the shared loop
        if reader._task is not None and reader._task.done():
            break
    assert reader._task is not None
    assert reader._task.done()


def test_reading_ahead_stops_when_enough_is_held(tmp_path: Path) -> None:
    async def run() -> None:
        async with await ms.aopen(tmp_path) as stem:
            topic = await stem.topic("t", create=True)
            for _ in range(8):
                await topic.append([bytes(500_000)] * 20, batch_bytes=600_000)
            fetcher = Fetcher(stem.cluster, [Position("t", 0, 0, 160)], prefetch_bytes=6_000_000)
            await fetcher.next()
            while fetcher._room.is_set():  # cleared by a fetch that waits for room
                await asyncio.sleep(0)
                assert fetcher._state.size <= 6_000_000 + (4 << 20)
            assert fetcher._state.size >= 6_000_000
            rest = 0
            while (chunk := await fetcher.next()) is not None:
                rest += len(chunk.data)
            assert rest > 70_000_000
            await fetcher.close()

    asyncio.run(run())


class CountingFetcher(Fetcher):
    asked = 0

    async def _ask(self, *arguments: Any) -> Any:
        self.asked += 1
        return await super()._ask(*arguments)


@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_the_end_of_a_log_is_asked_for_again_once_somebody_wants_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr("mainstem.client.fetcher._NO_DEMAND_S", patience)

    async def run() -> None:
        async with await ms.aopen(tmp_path) as stem:
            topic = await stem.topic("t", create=True)
            await topic.append([b"x"])
            fetcher = CountingFetcher(stem.cluster, [Position("t", 0, 0)])
            fetcher.demand.clear()
            await fetcher.next()
            for _ in range(50):
                await stem.topics()  # turns of the loop
            assert fetcher.asked == (1 if patience else 2)
            fetcher.demand.set()
            while fetcher.asked < 2:
                await asyncio.sleep(0)
            await fetcher.close()

    asyncio.run(run())


def _open(stem: ms.Stem) -> dict[Any, Any]:
    return stem._stem.cluster._open


def test_a_small_answer_after_a_large_one_does_not_wait_for_more(
    stem: ms.Stem, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    topic.append([bytes(500_000)] * 12)
    with topic.read(follow=True) as batches:
        rows = 0
        while rows < 12:
            rows += next(batches).num_rows
        assert batches._reader is not None
        lane = batches._reader._fetcher
        (opened,) = (task for (_, owner), task in _open(stem).items() if owner is lane)
        assert opened.result()._low_water == 1
        topic.append([b"small"])
        assert next(batches)["value"].to_pylist() == [b"small"]


class Ordered(ms.Raw):
    """Fails where two batches are decoded at once, notes the first offset of each."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.firsts: list[bytes] = []

    def decoder(self) -> Any:
        def decode(values: Any, _where: Any) -> dict[str, Any]:
            assert self.busy.acquire(blocking=False)
            self.firsts.append(values[0].as_py())
            self.busy.release()
            return {"value": values}

        return decode


def test_a_format_sees_batches_one_after_the_other(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append(pa.table({"value": [b"%09d" % n for n in range(400_000)]}))
    payload = Ordered()
    firsts = [batch["value"][0].as_py() for batch in topic.read(format=payload, batch_rows=3000)]
    assert payload.firsts == firsts == sorted(firsts)
    assert len(firsts) >= 400_000 // 3000


def test_a_missing_topic_is_invalid_with_the_nearest_name(
    stem: ms.Stem, make_topic: MakeTopic
) -> None:
    stem.topic("departures", create=True)
    with pytest.raises(ms.Invalid, match="no topic 'departure': did you mean 'departures'"):
        stem.topic("departure")


def test_a_table_is_what_was_appended_whatever_the_sizes(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    values = [b"%d" % n * (n % 50) for n in range(10_000)]
    topic.append([{"value": v, "_key": b"%d" % n} for n, v in enumerate(values)])
    found = pa.Table.from_batches(topic.read(batch_rows=777))
    by_key = dict(zip(found["_key"].to_pylist(), found["value"].to_pylist(), strict=True))
    assert by_key == {b"%d" % n: v for n, v in enumerate(values)}


def test_following_reads_partitions_that_are_added(stem: ms.Stem, make_topic: MakeTopic) -> None:
    topic = make_topic(2)

    async def main() -> list[tuple[int, bytes]]:
        async with (
            await ms.aconnect(stem.address, metadata_max_age=0.1) as other,
            (await other.topic(topic.name)).read("latest", follow=True) as batches,
        ):
            topic.append([b"a"], partition=1)
            found = [await anext(batches)]
            stem.alter_topic(topic.name, partitions=4)
            for partition in (2, 3):
                topic.append([b"new"], partition=partition)
            while sum(batch.num_rows for batch in found) < 3:
                found.append(await asyncio.wait_for(anext(batches), 30))
            rows = pa.Table.from_batches(found)
            parts, values = rows["_partition"].to_pylist(), rows["value"].to_pylist()
            return sorted(zip(parts, values, strict=True))

    assert asyncio.run(main()) == [(1, b"a"), (2, b"new"), (3, b"new")]


def test_a_client_of_great_patience_may_ask_for_offsets(
    stem: ms.Stem, make_topic: MakeTopic
) -> None:
    with ms.connect(stem.address, retry_for=1e8) as other:
        assert list(other.topic(make_topic().name).read()) == []


def test_a_topic_made_anew_while_it_is_followed_is_told(
    stem: ms.Stem, make_topic: MakeTopic
) -> None:
    """The new one was read from where the old one was: its first records were passed over."""
    topic = make_topic()
    topic.append([b"old"] * 5)
    with topic.read({0: 3}, follow=True) as batches:  # begins, and fetches with its first batch
        stem.delete_topic(topic.name)
        stem.create_topic(topic.name, 1).append([b"new"] * 8)
        with pytest.raises(ms.Conflict, match="was deleted and made anew while it was read"):
            next(batches)
    assert [batch["value"].to_pylist() for batch in topic.read()] == [[b"new"] * 8]
