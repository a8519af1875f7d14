"""CreatePartitions: more, never fewer."""

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
        yield site


def grow(
    site: Site, *asked: tuple[str, int, list[list[int]] | None], version: int = 3, dry: bool = False
) -> list[Message]:
    topics = [
        Message(
            name=name,
            count=count,
            assignments=None if ids is None else [Message(broker_ids=entry) for entry in ids],
        )
        for name, count, ids in asked
    ]
    return site.call(37, version, topics=topics, timeout_ms=1000, validate_only=dry).results


@pytest.mark.parametrize("version", versions(37))
def test_every_version_adds(site: Site, version: int) -> None:
    (result,) = grow(site, ("a", 5, None), version=version)
    assert (result.name, result.error_code, result.error_message) == ("a", 0, None)
    assert site.partition("a", 4).high_watermark == 0


@pytest.mark.parametrize(
    ("name", "count", "ids", "code"),
    [
        ("a", 1, None, 37),
        ("a", 2, None, 37),
        ("a", 0, None, 37),
        ("a", -1, None, 37),
        ("a", 10_001, None, 37),
        ("nowhere", 3, None, 3),
        ("a", 4, [[1]], 39),
        ("a", 4, [[1], [2]], 39),
        ("a", 4, [[1], [1, 1]], 39),
        ("a", 4, [], 39),
    ],
)
def test_refusals(
    site: Site, name: str, count: int, ids: list[list[int]] | None, code: int
) -> None:
    (result,) = grow(site, (name, count, ids))
    assert result.error_code == code
    assert result.error_message
    assert site.topics.require("a").partition_count == 2


def test_assignments_to_this_node_are_honoured(site: Site) -> None:
    (result,) = grow(site, ("a", 4, [[1], [1]]))
    assert result.error_code == 0
    assert site.topics.require("a").partition_count == 4


def test_validation_alone_adds_nothing(site: Site) -> None:
    results = grow(site, ("a", 5, None), ("nowhere", 5, None), dry=True)
    assert [int(result.error_code) for result in results] == [0, 3]
    assert site.topics.require("a").partition_count == 2


def test_a_topic_named_twice_is_refused_once(site: Site) -> None:
    (result,) = grow(site, ("a", 5, None), ("a", 6, None))
    assert result.error_code == 42
    assert site.topics.require("a").partition_count == 2
