"""OffsetDelete: only what the group does not read."""

from __future__ import annotations

import pytest

from mainstem.wire import Message
from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


async def delete(site, *keys, group="g"):
    topics = [
        Message(name=name, partitions=[Message(partition_index=index)]) for name, index in keys
    ]
    answer = await site.ask(47, group_id=group, topics=topics)
    errors = {
        (topic.name, partition.partition_index): int(partition.error_code)
        for topic in answer.topics
        for partition in topic.partitions
    }
    return int(answer.error_code), errors


def test_offsets_of_an_empty_group(site):
    async def scenario():
        await site.topic("t")
        await site.commit({("t", 0): 1, ("t", 1): 2})
        error, errors = await delete(site, ("t", 0), ("t", 2), ("t", 9), ("u", 0))
        assert error == 0
        assert errors == {("t", 0): 0, ("t", 2): 0, ("t", 9): 3, ("u", 0): 3}
        assert await site.committed() == {("t", 1): 2}

    site.run(scenario)
    site.restart()
    assert site.run(site.committed) == {("t", 1): 2}


def test_topics_that_members_read_are_kept(site):
    async def scenario():
        await site.topic("t")
        await site.topic("u")
        member = await site.lead(metadata=b"\0\0\0\0\0\1\0\1t")
        await site.commit({("t", 0): 1, ("u", 0): 2}, member=member, generation=1)
        assert await delete(site, ("t", 0), ("u", 0)) == (0, {("t", 0): 86, ("u", 0): 0})
        assert await site.committed() == {("t", 0): 1}

    site.run(scenario)


def test_unreadable_subscriptions_may_mean_any_topic(site):
    async def scenario():
        await site.topic("t")
        await site.lead(metadata=b"?")
        assert await delete(site, ("t", 0)) == (0, {("t", 0): 86})

    site.run(scenario)


def test_group_of_another_kind_with_members_is_not_touched(site):
    async def scenario():
        await site.topic("t")
        await site.enter("g", protocol_type="connect")
        assert await delete(site, ("t", 0)) == (68, {})

    site.run(scenario)


def test_unknown_group(site):
    async def scenario():
        assert await delete(site, ("t", 0), group="nobody") == (69, {})

    site.run(scenario)
