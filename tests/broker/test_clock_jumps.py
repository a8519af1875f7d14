"""The machine's clock jumps: what is stored and who is known do not depend on it going forward."""

from __future__ import annotations

import pytest

from mainstem.kernels import read_batches
from mainstem.wire import Message
from reference.group_site import Site
from reference.produce import batch

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


async def made(site, **configs):
    named = {name.replace("_", "."): value for name, value in configs.items()}
    return (await site.broker.topics.create("t", 1, named)).partition(0)


def append(site, partition, *values, producer=None, sequence=0):
    fields = {"base_timestamp": site.clock.now_ms()}
    if producer is not None:
        fields |= {"producer_id": producer, "producer_epoch": 0, "base_sequence": sequence}
    return partition.append(bytearray(batch(*values, **fields)))


async def offset_at(site, timestamp):
    asked = Message(partition_index=0, current_leader_epoch=-1, timestamp=timestamp)
    answer = await site.ask(
        2,
        7,
        replica_id=-1,
        isolation_level=0,
        topics=[Message(name="t", partitions=[asked])],
    )
    found = answer.topics[0].partitions[0]
    assert found.error_code == 0
    return found.offset


@pytest.mark.parametrize("kind", ["CreateTime", "LogAppendTime"])
def test_records_written_after_a_jump_back_are_found_by_time(site, kind):
    async def scenario():
        partition = await made(site, message_timestamp_type=kind)
        start = site.clock.now_ms()
        append(site, partition, b"a")
        site.clock.jump(-HOUR_MS)
        append(site, partition, b"b")
        site.clock.jump(2 * HOUR_MS)
        append(site, partition, b"c")
        assert [await offset_at(site, start + s) for s in (-HOUR_MS, 0, 1)] == [0, 0, 2]
        assert await offset_at(site, start + HOUR_MS + 1) == -1
        assert await offset_at(site, -3) == 2

    site.run(scenario)


def test_a_jump_back_removes_nothing_and_rolls_nothing(site):
    async def scenario():
        partition = await made(site, retention_ms=str(HOUR_MS), segment_ms=str(HOUR_MS))
        append(site, partition, b"a")
        site.clock.jump(-30 * DAY_MS)
        for _ in range(3):
            append(site, partition, b"b")
            assert partition.enforce_retention(site.clock.now_ms()) == 0
        assert (partition.log_start_offset, partition.log_end_offset) == (0, 4)

    site.run(scenario)


def test_a_producer_is_still_known_after_a_jump_back(site):
    async def scenario():
        partition = await made(site)
        append(site, partition, b"a", producer=7)
        site.clock.jump(-30 * DAY_MS)
        assert append(site, partition, b"b", producer=7, sequence=1).base_offset == 1
        partition.enforce_retention(site.clock.now_ms())
        assert append(site, partition, b"b", producer=7, sequence=1).duplicate

    site.run(scenario)


def test_committed_offsets_outlive_a_jump_back_and_a_restart(site):
    async def commit():
        await site.topic("t")
        assert await site.commit({("t", 0): 5}) == {("t", 0): 0}
        site.clock.jump(-365 * DAY_MS)
        assert await site.commit({("t", 1): 6}) == {("t", 1): 0}

    async def look():
        assert await site.committed() == {("t", 0): 5, ("t", 1): 6}

    site.run(commit)
    site.run(look)
    site.restart()
    site.run(look)


def test_append_times_that_went_back_are_kept_with_their_batches_over_a_restart(site):
    times = []

    async def write():
        partition = await made(site, message_timestamp_type="LogAppendTime")
        for jump in (0, -HOUR_MS, HOUR_MS // 2):
            site.clock.jump(jump)
            append(site, partition, b"x")
            times.append(site.clock.now_ms())

    async def look():
        partition = site.broker.topics.get("t").partition(0)
        headers = read_batches(partition.read(0, 1 << 20).read())
        assert [header.max_timestamp for header in headers] == times
        assert await offset_at(site, times[0]) == 0
        assert await offset_at(site, -3) == 0

    site.run(write)
    site.run(look)
    site.restart()
    site.run(look)
