"""DescribeLogDirs: one directory, real sizes, real space."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_site import Site, versions

from mainstem.wire import Message


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        site.create("a", 2)
        site.create("b")
        site.append("a", 1, count=5)
        yield site


def sizes(answer: Message) -> dict[tuple[str, int], int]:
    (directory,) = answer.results
    assert directory.error_code == 0
    return {
        (topic.name, part.partition_index): part.partition_size
        for topic in directory.topics
        for part in topic.partitions
    }


@pytest.mark.parametrize("version", versions(35))
def test_every_version_lists_all_partitions_with_their_size(site: Site, version: int) -> None:
    answer = site.call(35, version, topics=None)
    on_disk = (site.data / "topics" / "a-1" / f"{0:020d}.log").stat().st_size
    assert sizes(answer) == {("a", 0): 0, ("a", 1): on_disk, ("b", 0): 0}
    assert answer.results[0].log_dir == str(site.data)
    if version >= 4:
        space = os.statvfs(site.data)
        assert answer.results[0].total_bytes == space.f_blocks * space.f_frsize
        assert 0 < answer.results[0].usable_bytes <= answer.results[0].total_bytes


def test_only_what_is_asked_for_and_exists(site: Site) -> None:
    asked = [
        Message(topic="a", partitions=[1, 7]),
        Message(topic="nowhere", partitions=[0]),
    ]
    assert sizes(site.call(35, topics=asked)).keys() == {("a", 1)}


def test_a_directory_that_is_gone_is_an_error_not_a_crash(site: Site) -> None:
    away = site.data.rename(site.data.with_name("away"))
    try:
        (directory,) = site.call(35, topics=None).results
        assert (directory.error_code, directory.topics, directory.total_bytes) == (56, [], -1)
    finally:
        away.rename(site.data)
