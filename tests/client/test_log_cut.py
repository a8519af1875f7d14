"""A log that lost its end: whoever read what is gone is told what that was (KIP-320)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.client.leader_epochs import EpochRuns
from mainstem.testing import RunningBroker, running_broker
from mainstem.testing.ports import lasting_port


def test_the_epoch_of_the_record_before_an_offset() -> None:
    runs = EpochRuns()
    assert runs.before(5) == -1
    runs.add(((0, 3), (100, 5)), 50)  # handed out up to 50 of a chunk
    assert [runs.before(offset) for offset in (0, 1, 50, 200)] == [-1, 3, 3, 3]
    runs.add(((0, 3), (100, 5)), 150)
    assert [runs.before(offset) for offset in (100, 101, 150)] == [3, 5, 5]
    runs.add(((20, 3),), 60)  # read again after a seek
    assert [runs.before(offset) for offset in (60, 120)] == [3, 5]


def test_a_commit_knows_the_epoch_before_it_only() -> None:
    runs = EpochRuns(((99, 4),))
    assert [runs.before(offset) for offset in (99, 100, 101)] == [-1, 4, 4]


class Lossy:
    """A broker that can lose the end of its log, as a machine without power would."""

    def __init__(self, path: Path) -> None:
        self._data = path / "data"
        self.port = lasting_port()

    @contextmanager
    def running(self) -> Iterator[RunningBroker]:
        with running_broker(self._data, port=self.port) as broker:
            yield broker

    def lose(self, topic: str, keep: int) -> None:
        """Cut the partition's only segment behind its first ``keep`` bytes, uncleanly."""
        directory = self._data / "topics" / f"{topic}-0"
        os.truncate(directory / f"{0:020}.log", keep)
        for path in self._data.rglob("*"):
            if "clean" in path.name or "recovery" in path.name:
                path.unlink()

    def size(self, topic: str) -> int:
        return (self._data / "topics" / f"{topic}-0" / f"{0:020}.log").stat().st_size


def write(address: str, rows: list[bytes]) -> None:
    """By another producer: one that wrote what is gone is refused, as its numbers have a gap."""
    with ms.connect(address) as stem:
        stem.topic("t").append(rows)


@pytest.fixture
def lossy(tmp_path: Path) -> Lossy:
    return Lossy(tmp_path)


def test_a_read_that_follows_is_told_what_is_gone(lossy: Lossy) -> None:
    with lossy.running() as broker:
        stem = ms.connect(broker.address)
        topic = stem.create_topic("t", 1)
        topic.append([b"%d" % n for n in range(10)])
        size = lossy.size("t")
        batches = topic.read(follow=True)
        assert next(batches).num_rows == 10
        topic.append([b"lost"] * 5)
        assert next(batches).num_rows == 5
    lossy.lose("t", size)
    with lossy.running():
        write(stem.address, [b"other"] * 20)
        with pytest.raises(
            ms.Conflict, match=r"offsets 10 to 14, which were read, are not"
        ) as told:
            next(batches)
        assert told.value.code == 1
        assert next(topic.read(10))["value"].to_pylist() == [b"other"] * 20
        stem.close()


def test_a_consumer_is_told_and_goes_on_where_the_log_differs(lossy: Lossy) -> None:
    with lossy.running() as broker:
        stem = ms.connect(broker.address)
        topic = stem.create_topic("t", 1)
        topic.append([b"%d" % n for n in range(10)])
        size = lossy.size("t")
        topic.append([b"lost"] * 5)
        consumer = stem.consumer("g", "t", heartbeat_interval=0.1, auto_commit=None)
        seen = 0
        while seen < 15:
            seen += consumer.poll().num_rows
    lossy.lose("t", size)
    with lossy.running():
        write(stem.address, [b"other"])
        with pytest.raises(ms.Conflict, match="offsets 10 to 14"):
            consumer.poll(20)
        batch = consumer.poll(20)
        assert batch["_offset"].to_pylist() == [10]
        assert batch["value"].to_pylist() == [b"other"]
        consumer.commit()
        assert stem.committed("g") == {("t", 0): 11}
        consumer.close()
        stem.close()


def test_a_commit_of_what_is_gone_is_told_to_the_next_consumer(lossy: Lossy) -> None:
    with lossy.running() as broker, ms.connect(broker.address) as stem:
        topic = stem.create_topic("t", 1)
        topic.append([b"%d" % n for n in range(10)])
        size = lossy.size("t")
        topic.append([b"lost"] * 5)
        with stem.consumer("g", "t") as consumer:
            assert consumer.poll().num_rows == 15
    lossy.lose("t", size)
    with lossy.running() as broker, ms.connect(broker.address) as stem:
        stem.topic("t").append([b"other"] * 20)
        with stem.consumer("g", "t") as consumer:
            with pytest.raises(ms.Conflict, match="offsets 10 to 14"):
                consumer.poll(20)
            assert consumer.poll(20)["_offset"].to_pylist()[0] == 10


def test_a_restart_that_lost_nothing_disturbs_nobody(lossy: Lossy) -> None:
    with lossy.running() as broker:
        stem = ms.connect(broker.address)
        topic = stem.create_topic("t", 1)
        topic.append([b"a"] * 10)
        batches = topic.read(follow=True)
        assert next(batches).num_rows == 10
    with lossy.running():
        topic.append([b"b"])
        assert next(batches)["_offset"].to_pylist() == [10]
        stem.close()
