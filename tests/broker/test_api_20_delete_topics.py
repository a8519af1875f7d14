"""DeleteTopics by name and by id."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_site import Site, versions

from mainstem.wire import Message


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def state(name: str | None = None, topic_id: uuid.UUID | None = None) -> Message:
    return Message(name=name, topic_id=topic_id)


def delete(site: Site, *topics: Message, version: int = 6) -> list[Message]:
    return site.call(20, version, topics=list(topics), timeout_ms=1000).responses


@pytest.mark.parametrize("version", versions(20))
def test_every_version_deletes_by_name(site: Site, version: int) -> None:
    site.create("a", 2)
    (result,) = delete(site, state("a"), version=version)
    assert (result.name, result.error_code) == ("a", 0)
    assert site.topics.get("a") is None


def test_deletes_by_id_and_answers_with_the_name(site: Site) -> None:
    site.create("a")
    topic_id = site.topics.require("a").id
    (result,) = delete(site, state(topic_id=topic_id))
    assert (result.name, result.topic_id, result.error_code) == ("a", topic_id, 0)
    assert site.topics.get("a") is None


@pytest.mark.parametrize("version", versions(20))
def test_an_unknown_name(site: Site, version: int) -> None:
    (result,) = delete(site, state("nowhere"), version=version)
    assert result.error_code == 3


def test_an_unknown_id(site: Site) -> None:
    (result,) = delete(site, state(topic_id=uuid.UUID(int=7)))
    assert (result.error_code, result.topic_id) == (100, uuid.UUID(int=7))


def test_name_and_id_together_or_neither_is_refused(site: Site) -> None:
    site.create("a")
    topic_id = site.topics.require("a").id
    results = delete(site, state("a", topic_id), state())
    assert [result.error_code for result in results] == [42, 42]
    assert site.topics.get("a") is not None


def test_a_topic_named_twice_is_refused_once(site: Site) -> None:
    site.create("a")
    site.create("b")
    results = delete(site, state("a"), state("b"), state("a"))
    assert [(r.name, int(r.error_code)) for r in results] == [("a", 42), ("b", 0)]
    assert site.topics.get("a") is not None
