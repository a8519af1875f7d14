"""DescribeProducers: what the partitions remember."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_site import Site

from mainstem.wire import Message


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        site.create("a", 2)
        yield site


def producers(site: Site, topic: str, index: int) -> Message:
    asked = [Message(name=topic, partition_indexes=[index])]
    (answer,) = site.call(61, topics=asked).topics
    (result,) = answer.partitions
    assert (answer.name, result.partition_index) == (topic, index)
    return result


def test_idempotent_producers_are_listed(site: Site) -> None:
    before = site.clock.now_ms()
    site.append("a", 0, count=3, producer_id=7, producer_epoch=2, base_sequence=0)
    site.append("a", 0, count=2, producer_id=7, producer_epoch=2, base_sequence=3)
    site.append("a", 0, count=1)
    result = producers(site, "a", 0)
    assert result.error_code == 0
    (producer,) = result.active_producers
    assert (producer.producer_id, producer.producer_epoch, producer.last_sequence) == (7, 2, 4)
    assert before <= producer.last_timestamp <= site.clock.now_ms()
    assert (producer.coordinator_epoch, producer.current_txn_start_offset) == (-1, -1)


def test_a_partition_without_producers(site: Site) -> None:
    result = producers(site, "a", 1)
    assert (result.error_code, result.active_producers) == (0, [])


@pytest.mark.parametrize(("topic", "index"), [("nowhere", 0), ("a", 2)])
def test_what_does_not_exist(site: Site, topic: str, index: int) -> None:
    result = producers(site, topic, index)
    assert (result.error_code, result.active_producers) == (3, [])
    assert result.error_message
