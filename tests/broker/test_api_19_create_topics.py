"""CreateTopics in every version, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from admin_site import Site, versions

from mainstem.broker.configs import TOPIC_CONFIGS
from mainstem.wire import Message


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, num_partitions=2) as site:
        yield site


def topic(name: str, count: int = -1, factor: int = -1, **more: Any) -> Message:
    fields: dict[str, Any] = {"assignments": [], "configs": [], **more}
    return Message(name=name, num_partitions=count, replication_factor=factor, **fields)


def config(name: str, value: str | None) -> Message:
    return Message(name=name, value=value)


def assigned(*replicas: list[int]) -> list[Message]:
    return [Message(partition_index=i, broker_ids=ids) for i, ids in enumerate(replicas)]


def create(site: Site, *topics: Message, version: int = 7, validate: bool = False) -> list[Message]:
    fields = {"topics": list(topics), "timeout_ms": 1000, "validate_only": validate}
    return site.call(19, version, **fields).topics


def codes(results: list[Message]) -> dict[str, int]:
    return {result.name: int(result.error_code) for result in results}


@pytest.mark.parametrize("version", versions(19))
def test_every_version_creates(site: Site, version: int) -> None:
    asked = topic("a", 3, 1, configs=[config("retention.ms", "5")])
    (result,) = create(site, asked, version=version)
    assert (result.name, result.error_code, result.error_message) == ("a", 0, None)
    created = site.topics.require("a")
    assert created.partition_count == 3
    assert created.config.retention_ms == 5
    if version >= 5:
        assert (result.num_partitions, result.replication_factor) == (3, 1)
        values = {entry.name: entry.value for entry in result.configs}
        assert values.keys() == TOPIC_CONFIGS.keys()
        assert values["retention.ms"] == "5"
        (source,) = {e.config_source for e in result.configs if e.name == "retention.ms"}
        assert source == 1  # set on the topic
    if version >= 7:
        assert result.topic_id == created.id


def test_defaults_are_the_brokers(site: Site) -> None:
    (result,) = create(site, topic("a"))
    assert (result.num_partitions, result.replication_factor) == (2, 1)


def test_validation_alone_creates_nothing_and_gives_no_id(site: Site) -> None:
    (result,) = create(site, topic("a", 5), validate=True)
    assert (result.error_code, result.num_partitions, result.topic_id) == (0, 5, None)
    assert site.topics.all() == []


def test_validation_alone_finds_the_same_mistakes(site: Site) -> None:
    results = create(site, topic("a b"), topic("b", configs=[config("x", "y")]), validate=True)
    assert codes(results) == {"a b": 17, "b": 40}


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (topic("a b"), 17, "a b"),
        (topic("a", 0), 37, "larger than 0"),
        (topic("a", -2), 37, "larger than 0"),
        (topic("a", 10_001), 37, "10000"),
        (topic("a", 1, 0), 38, "larger than 0"),
        (topic("a", 1, 3), 38, "one node"),
        (topic("a", 1, -2), 38, "larger than 0"),
        (topic("a", configs=[config("retention.mss", "1")]), 40, "did you mean retention.ms?"),
        (topic("a", configs=[config("retention.ms", None)]), 40, "must have a value"),
        (topic("a", configs=[config("x", "1"), config("x", "2")]), 40, "twice"),
        (topic("a", 2, assignments=assigned([1])), 42, "number of partitions is 2"),
        (topic("a", -1, 1, assignments=assigned([1])), 42, "replication factor is 1"),
        (topic("a", assignments=assigned([1], [2])), 39, "[2]"),
        (topic("a", assignments=assigned([1, 1])), 39, "[1, 1]"),
        (topic("a", assignments=assigned([])), 39, "[]"),
        (topic("a", assignments=assigned([1])[:1] * 2), 39, "without a gap"),
    ],
)
def test_refusals_say_why_in_every_version(
    site: Site, asked: Message, code: int, words: str
) -> None:
    for version in versions(19):
        (result,) = create(site, asked, version=version)
        assert result.error_code == code
        assert words in result.error_message
    assert site.topics.all() == []
    assert site.broker.counters.errors[code] == len(versions(19))


def test_assignments_to_this_node_are_honoured(site: Site) -> None:
    (result,) = create(site, topic("a", assignments=assigned([1], [1], [1])))
    assert (result.error_code, result.num_partitions) == (0, 3)


def test_an_existing_topic_is_refused_and_kept(site: Site) -> None:
    create(site, topic("a", 1))
    site.append("a", count=3)
    (result,) = create(site, topic("a", 5))
    assert result.error_code == 36
    assert site.partition("a").high_watermark == 3


def test_a_name_given_twice_is_refused_once_and_the_others_are_made(site: Site) -> None:
    results = create(site, topic("a", 1), topic("b", 1), topic("a", 2))
    assert codes(results) == {"a": 42, "b": 0}
    assert len(results) == 2
    assert [found.name for found in site.topics.all()] == ["b"]


def test_partitions_are_bounded_over_the_whole_request(site: Site) -> None:
    results = create(site, *(topic(name, 5000) for name in "abc"), validate=True)
    assert codes(results) == {"a": 0, "b": 0, "c": 37}


def test_colliding_names_in_one_request(site: Site) -> None:
    results = create(site, topic("a.b", 1), topic("a_b", 1))
    assert codes(results) == {"a.b": 0, "a_b": 17}
