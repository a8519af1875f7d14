"""DescribeTopicPartitions: pages that together are everything, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from admin_site import Site

from mainstem.errors import Invalid
from mainstem.wire import Message


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as site:  # nothing here changes it
        for name, count in (("a", 3), ("b", 1), ("c", 4)):
            site.create(name, count)
        yield site


def page(
    site: Site, names: tuple[str, ...] = (), limit: int = 2000, cursor: Message | None = None
) -> Message:
    topics = [Message(name=name) for name in names]
    return site.call(75, topics=topics, response_partition_limit=limit, cursor=cursor)


def listed(answer: Message) -> list[tuple[str, int]]:
    return [
        (topic.name, part.partition_index) for topic in answer.topics for part in topic.partitions
    ]


EVERYTHING = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("c", 1), ("c", 2), ("c", 3)]


def test_no_names_means_all_topics(site: Site) -> None:
    answer = page(site)
    assert listed(answer) == EVERYTHING
    assert answer.next_cursor is None
    first = answer.topics[0]
    assert (first.error_code, first.topic_id) == (0, site.topics.require("a").id)
    operations = {bit for bit in range(31) if first.topic_authorized_operations >> bit & 1}
    assert operations == {3, 4, 5, 6, 7, 8, 10, 11}
    part = first.partitions[0]
    assert (part.leader_id, part.replica_nodes, part.isr_nodes) == (1, [1], [1])
    assert part.leader_epoch == site.partition("a").leader_epoch


@pytest.mark.parametrize("limit", [-1, 0, 1, 2, 3, 4, 7, 8, 9])
def test_pages_cover_everything_once(site: Site, limit: int) -> None:
    collected: list[tuple[str, int]] = []
    cursor = None
    for _ in range(20):
        answer = page(site, (), limit, cursor)
        assert len(listed(answer)) <= max(1, limit)
        collected += listed(answer)
        cursor = answer.next_cursor
        if cursor is None:
            break
    assert cursor is None
    assert collected == EVERYTHING


def test_names_are_sorted_and_unknown_ones_listed_with_an_error(site: Site) -> None:
    answer = page(site, ("c", "nowhere", "b", "c"))
    assert [(t.name, int(t.error_code)) for t in answer.topics] == [
        ("b", 0),
        ("c", 0),
        ("nowhere", 3),
    ]


def test_a_cursor_at_a_topic_that_is_gone_goes_on_with_the_next(site: Site) -> None:
    cursor = Message(topic_name="bb", partition_index=2)
    assert listed(page(site, (), 100, cursor)) == EVERYTHING[4:]


def test_a_cursor_beyond_the_last_partition_goes_on_with_the_next_topic(site: Site) -> None:
    cursor = Message(topic_name="a", partition_index=9)
    assert listed(page(site, (), 100, cursor)) == EVERYTHING[3:]


def test_a_negative_cursor_is_refused(site: Site) -> None:
    with pytest.raises(Invalid):
        page(site, (), 10, Message(topic_name="a", partition_index=-1))
