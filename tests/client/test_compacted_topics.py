"""A topic whose broker keeps the last record of each key: readers pass the gaps.

The embedded broker takes the setting and keeps all records; Apache Kafka's cleaner runs before the
first test (``compacts``). What is read must be what was written at that offset on both.
"""

from __future__ import annotations

import asyncio
import datetime
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.testing import RunningBroker

KEYS, ROUNDS = 5, 200
BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
SETTINGS = {
    "cleanup.policy": "compact",
    "segment.ms": 1000,
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": 0,
    "max.message.bytes": 1 << 20,
}
Row = tuple[int, bytes, bytes | None]


@dataclass(frozen=True)
class Compacted:
    """A topic, what was written to its one partition by offset, and where its parts begin."""

    topic: ms.Topic
    written: list[Row]
    second: int
    third: int

    @property
    def last(self) -> dict[bytes, Row]:
        return {row[1]: row for row in self.written}


def rows(batches: Iterable[Any]) -> list[Row]:
    return [row for batch in batches for row in zip(*columns(batch), strict=True)]


def columns(batch: Any) -> list[list[Any]]:
    return [batch[name].to_pylist() for name in ("_offset", "_key", "value")]


def part(keys: int, rounds: int, at: float, mark: str) -> pa.Table:
    """Rounds of keys; ``at`` seconds after the beginning, so that a segment begins there."""
    numbers = range(keys * rounds)
    return pa.table(
        {
            "_key": [b"k%d" % (n % keys) for n in numbers],
            "value": [f"{mark} {n}".encode() * 5 for n in numbers],
            "_timestamp": pa.array(
                [BEGIN + datetime.timedelta(seconds=at)] * len(numbers), pa.timestamp("ms", "UTC")
            ),
        }
    )


@pytest.fixture(scope="module", params=[None, "zstd"])
def compacted(stem: ms.Stem, compacts: bool, request: pytest.FixtureRequest) -> Compacted:
    """Three segments; keys 1 to 4 come again in the second, all in the third, the active one."""
    topic = stem.create_topic(f"compact-{uuid.uuid4().hex[:8]}", 1, config=SETTINGS)
    written: list[Row] = []
    begins = []
    for keys, rounds, at, mark in ((KEYS, ROUNDS, 0, "a"), (4, ROUNDS, 5, "b"), (2, 3, 10, "c")):
        table = part(keys, rounds, at, mark)
        begins.append(len(written))
        topic.append(table, batch_bytes=2048, compression=request.param)
        names = [table[name].to_pylist() for name in ("_key", "value")]
        written += zip(range(len(written), len(written) + len(table)), *names, strict=True)
    deadline = time.monotonic() + 60
    while compacts and len(rows(topic.read())) > KEYS + 6:
        assert time.monotonic() < deadline, "the cleaner does not come"
    return Compacted(topic, written, begins[1], begins[2])


def check(found: list[Row], compacted: Compacted, start: int, end: int) -> None:
    """In order, from there, as written; and whatever no cleaner may take."""
    offsets = [offset for offset, _, _ in found]
    assert offsets == sorted(set(offsets))
    assert found == [compacted.written[offset] for offset in offsets]
    assert all(start <= offset < end for offset in offsets)
    kept = {row for row in compacted.last.values() if start <= row[0] < end}
    assert kept <= set(found)


def test_the_cleaner_has_left_gaps_where_there_is_one(compacted: Compacted, compacts: bool) -> None:
    """The cleaner does not look into the active segment: it keeps the last before it, too."""
    closed = compacted.written[: compacted.third]
    kept = sorted({row[1]: row for row in closed}.values())
    active = compacted.written[compacted.third :]
    wanted = [*kept, *active] if compacts else compacted.written
    assert rows(compacted.topic.read()) == wanted


def test_a_read_to_the_end_passes_the_gaps_and_ends(compacted: Compacted) -> None:
    check(rows(compacted.topic.read()), compacted, 0, len(compacted.written))


@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_batches_of_any_size_pass_the_gaps(compacted: Compacted, batch_rows: int) -> None:
    found = list(compacted.topic.read(batch_rows=batch_rows))
    assert all(batch.num_rows <= batch_rows for batch in found)
    check(rows(found), compacted, 0, len(compacted.written))


@pytest.mark.parametrize(("start", "end"), [(0, 300), (100, 300), (250, 1100), (1001, 1500)])
def test_a_read_may_begin_and_end_at_offsets_that_are_gone(
    compacted: Compacted, compacts: bool, start: int, end: int
) -> None:
    found = rows(compacted.topic.read(start, end=end))
    check(found, compacted, start, end)
    if not compacts:
        assert len(found) == end - start


def test_a_read_may_begin_at_a_time_whose_records_are_gone(compacted: Compacted) -> None:
    begin = BEGIN + datetime.timedelta(seconds=2)
    found = rows(compacted.topic.read(begin))
    check(found, compacted, compacted.second, len(compacted.written))


def test_offsets_are_those_of_all_that_was_written(compacted: Compacted) -> None:
    assert compacted.topic.offsets() == ({0: 0}, {0: len(compacted.written)})


def test_a_reader_that_follows_passes_the_gaps(
    mainstem_session_broker: RunningBroker, compacted: Compacted
) -> None:
    async def body() -> list[Row]:
        found: list[Row] = []
        async with await ms.aconnect(mainstem_session_broker.address) as stem:
            topic = await stem.topic(compacted.topic.name)
            async with topic.read(100, follow=True) as batches:
                while not found or found[-1][0] < len(compacted.written) - 1:
                    found += rows([await asyncio.wait_for(anext(batches), 30)])
        return found

    check(asyncio.run(body()), compacted, 100, len(compacted.written))


def test_a_group_passes_the_gaps_and_its_lag_is_right(stem: ms.Stem, compacted: Compacted) -> None:
    """Lag counts offsets, as Kafka's tools do; a gap counts until the group is past it."""
    topic, end = compacted.topic.name, len(compacted.written)
    group = f"{topic}-group"
    stem.commit(group, {(topic, 0): 100})
    assert stem.describe_group(group).lag == end - 100
    found: list[Row] = []
    positions: list[tuple[int, int]] = []  # how many rows were handed out, and where it was then
    deadline = time.monotonic() + 60
    with stem.consumer(group, topic, auto_commit=None, batch_rows=3) as consumer:
        while not found or found[-1][0] < end - 1:
            assert time.monotonic() < deadline, f"stuck after {found[-1:]}"
            batch = consumer.poll(1.0)
            if batch is None:
                continue
            found += rows([batch])
            consumer.commit()
            positions.append((len(found), end - consumer.lag()[topic, 0]))
    check(found, compacted, 100, end)
    for count, position in positions:
        following = found[count][0] if count < len(found) else end
        assert found[count - 1][0] < position <= following
    assert stem.committed(group) == {(topic, 0): end}
    assert stem.describe_group(group).lag == 0
