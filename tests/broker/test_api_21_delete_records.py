"""DeleteRecords: the log start offset moves up, and stays there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_site import Site, versions

from mainstem.wire import Message


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        site.create("a", 2)
        for _ in range(5):
            site.append("a", count=2)
        yield site


def delete(site: Site, topic: str, index: int, offset: int, version: int = 2) -> Message:
    part = Message(partition_index=index, offset=offset)
    topics = [Message(name=topic, partitions=[part])]
    (answer,) = site.call(21, version, topics=topics, timeout_ms=1000).topics
    (result,) = answer.partitions
    assert (answer.name, result.partition_index) == (topic, index)
    return result


@pytest.mark.parametrize("version", versions(21))
def test_every_version_moves_the_start(site: Site, version: int) -> None:
    result = delete(site, "a", 0, 4, version)
    assert (result.error_code, result.low_watermark) == (0, 4)
    assert site.partition("a").log_start_offset == 4


def test_minus_one_means_everything(site: Site) -> None:
    assert delete(site, "a", 0, -1).low_watermark == 10
    assert site.partition("a").log_start_offset == 10


def test_a_lower_offset_changes_nothing(site: Site) -> None:
    delete(site, "a", 0, 6)
    result = delete(site, "a", 0, 2)
    assert (result.error_code, result.low_watermark) == (0, 6)


@pytest.mark.parametrize("offset", [11, 2**63 - 1, -2, -(2**63)])
def test_an_offset_out_of_range(site: Site, offset: int) -> None:
    result = delete(site, "a", 0, offset)
    assert (result.error_code, result.low_watermark) == (1, -1)
    assert site.partition("a").log_start_offset == 0


@pytest.mark.parametrize(("topic", "index"), [("nowhere", 0), ("a", 2), ("a", -1)])
def test_what_does_not_exist(site: Site, topic: str, index: int) -> None:
    assert delete(site, topic, index, 0).error_code == 3


def test_a_compacted_topic_keeps_its_records(site: Site) -> None:
    site.create("compacted", cleanup_policy="compact")
    site.append("compacted")
    assert delete(site, "compacted", 0, -1).error_code == 44
    assert site.partition("compacted").log_start_offset == 0


def test_the_start_survives_a_restart(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.create("a")
        site.append("a", count=10)
        assert delete(site, "a", 0, 3).low_watermark == 3
    with Site(tmp_path) as site:
        assert site.partition("a").log_start_offset == 3
