"""ListOffsets over the wire: special timestamps by version, epochs, what is asked for twice."""

from __future__ import annotations

import pytest

from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message
from reference.produce import batch, create, produce


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    with (
        running_broker(tmp_path_factory.mktemp("data")) as running,
        RawConnection(running.address) as raw,
    ):
        create(raw, "t", partitions=2)
        assert produce(raw, "t", batch(b"a", b"b", base_timestamp=1_000)).error_code == 0
        yield raw


def ask(connection, *timestamps, version=11, topic="t", partition=0, epoch=-1, isolation=0):
    asked = [
        Message(partition_index=partition, current_leader_epoch=epoch, timestamp=timestamp)
        for timestamp in timestamps
    ]
    answer = connection.call(
        2,
        version,
        Message(
            replica_id=-1,
            isolation_level=isolation,
            topics=[Message(name=topic, partitions=asked)],
            timeout_ms=1_000,
        ),
    )
    return answer.topics[0].partitions


@pytest.mark.parametrize("version", range(1, 12))
@pytest.mark.parametrize(("timestamp", "offset"), [(-1, 2), (-2, 0), (0, 0), (1_000, 0)])
def test_ends_and_times_in_every_version(connection, version, timestamp, offset):
    (found,) = ask(connection, timestamp, version=version)
    assert (found.error_code, found.offset) == (0, offset)


@pytest.mark.parametrize(("timestamp", "since"), [(-3, 7), (-4, 8), (-5, 9), (-6, 11), (-7, 12)])
def test_special_timestamps_mean_nothing_before_their_version(connection, timestamp, since):
    for version in range(1, 12):
        (found,) = ask(connection, timestamp, version=version)
        assert found.error_code == (0 if version >= since else 35), version


@pytest.mark.parametrize(("epoch", "code"), [(-1, 0), (0, 0), (1, 75), (-2, 74)])
def test_a_leader_epoch_that_is_not_ours_is_told(connection, epoch, code):
    (found,) = ask(connection, -1, epoch=epoch)
    assert (found.error_code, found.offset) == (code, -1 if code else 2)


def test_a_partition_asked_for_twice_is_refused_once(connection):
    (found,) = ask(connection, -1, -2)
    assert (found.partition_index, found.error_code, found.offset) == (0, 42, -1)


@pytest.mark.parametrize(("topic", "partition"), [("t", 2), ("t", -1), ("missing", 0), ("", 0)])
def test_a_place_that_does_not_exist(connection, topic, partition):
    (found,) = ask(connection, -1, topic=topic, partition=partition)
    assert found.error_code == 3
