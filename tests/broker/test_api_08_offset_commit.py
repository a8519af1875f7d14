"""OffsetCommit in every version: who may commit what."""

from __future__ import annotations

import uuid

import pytest

from mainstem.wire import Message
from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("version", range(2, 10))
def test_every_version_by_name(site, version):
    async def scenario():
        await site.topic("t")
        assert await site.commit({("t", 0): 5, ("t", 2): 6}, version=version) == {
            ("t", 0): 0,
            ("t", 2): 0,
        }
        assert await site.committed() == {("t", 0): 5, ("t", 2): 6}

    site.run(scenario)


def by_id(topic_id, index=0):
    partition = Message(
        partition_index=index,
        committed_offset=9,
        committed_leader_epoch=2,
        committed_metadata="m",
    )
    return {
        "group_id": "g",
        "generation_id_or_member_epoch": -1,
        "member_id": "",
        "group_instance_id": None,
        "topics": [Message(topic_id=topic_id, partitions=[partition])],
    }


def test_version_10_by_topic_id(site):
    async def scenario():
        topic = await site.topic("t")
        answer = await site.ask(8, 10, **by_id(topic.id))
        assert answer.topics[0].topic_id == topic.id
        assert answer.topics[0].partitions[0].error_code == 0
        assert await site.committed() == {("t", 0): 9}

    site.run(scenario)


@pytest.mark.parametrize("topic_id", [uuid.UUID(int=77), None])
def test_unknown_topic_id(site, topic_id):
    async def scenario():
        answer = await site.ask(8, 10, **by_id(topic_id))
        assert answer.topics[0].topic_id == topic_id
        assert answer.topics[0].partitions[0].error_code == 100

    site.run(scenario)


def test_unknown_topics_and_partitions_do_not_spoil_the_others(site):
    async def scenario():
        await site.topic("t", 2)
        offsets = {("t", 0): 1, ("t", 2): 1, ("t", -1): 1, ("u", 0): 1}
        assert await site.commit(offsets) == {
            ("t", 0): 0,
            ("t", 2): 3,
            ("t", -1): 3,
            ("u", 0): 3,
        }
        assert await site.committed() == {("t", 0): 1}

    site.run(scenario)


def test_commit_of_unknown_topics_only_makes_no_group(site):
    async def scenario():
        assert await site.commit({("u", 0): 1}) == {("u", 0): 3}
        assert site.broker.groups.get("g") is None

    site.run(scenario)


def test_metadata_is_limited(site):
    async def scenario():
        await site.topic("t")
        limit = site.config.offset_metadata_max_bytes
        fits = {"committed_offset": 1, "committed_metadata": "x" * limit}
        over = {"committed_offset": 1, "committed_metadata": "x" * (limit + 1)}
        assert await site.commit({("t", 0): fits, ("t", 1): over}) == {("t", 0): 0, ("t", 1): 12}
        assert await site.committed() == {("t", 0): 1}

    site.run(scenario)


def test_simple_consumer_may_use_the_empty_group(site):
    async def scenario():
        await site.topic("t")
        assert await site.commit({("t", 0): 1}, "") == {("t", 0): 0}
        assert await site.committed("") == {("t", 0): 1}

    site.run(scenario)


def test_member_of_an_unknown_group_is_of_another_generation(site):
    async def scenario():
        await site.topic("t")
        for version in range(2, 10):
            answer = await site.ask(
                8,
                version,
                group_id="g",
                generation_id_or_member_epoch=3,
                member_id="m",
                group_instance_id=None,
                retention_time_ms=-1,
                topics=[
                    Message(
                        name="t",
                        partitions=[
                            Message(
                                partition_index=0,
                                committed_offset=1,
                                committed_leader_epoch=-1,
                                committed_metadata=None,
                            )
                        ],
                    )
                ],
            )
            # GROUP_ID_NOT_FOUND came with KIP-848; before it was ILLEGAL_GENERATION.
            assert answer.topics[0].partitions[0].error_code == (69 if version >= 9 else 22)

    site.run(scenario)


def test_only_members_of_this_generation_may_commit(site):
    async def scenario():
        await site.topic("t")
        member = await site.lead()
        at = {("t", 0): 1}
        assert await site.commit(at, member=member, generation=1) == {("t", 0): 0}
        assert await site.commit(at, member=member, generation=2) == {("t", 0): 22}
        assert await site.commit(at, member="other", generation=1) == {("t", 0): 25}
        assert await site.commit(at) == {("t", 0): 25}

    site.run(scenario)


def test_old_self_of_a_static_member_is_fenced(site):
    async def scenario():
        await site.topic("t")
        old = (await site.join(group_instance_id="i")).member_id
        await site.sync("g", old, 1, group_instance_id="i")
        new = (await site.join(group_instance_id="i")).member_id
        at = {("t", 0): 1}
        assert await site.commit(at, member=old, generation=1, instance="i") == {("t", 0): 82}
        assert await site.commit(at, member=new, generation=1, instance="i") == {("t", 0): 0}

    site.run(scenario)


def test_commit_during_a_rebalance(site):
    async def scenario():
        await site.topic("t")
        first = await site.lead()
        _second, _parked = await site.enter()
        # While members are asked to rejoin they may still commit what they read.
        assert await site.commit({("t", 0): 1}, member=first, generation=1) == {("t", 0): 0}
        await site.join("g", first)
        # Once they have, they own nothing until the assignment is there.
        assert await site.commit({("t", 0): 2}, member=first, generation=2) == {("t", 0): 27}
        assert await site.committed() == {("t", 0): 1}

    site.run(scenario)


def test_commit_keeps_a_member_alive(site):
    async def scenario():
        await site.topic("t")
        member = await site.lead()
        for offset in range(4):
            await site.advance(9.0)
            committed = await site.commit({("t", 0): offset}, member=member, generation=1)
            assert committed == {("t", 0): 0}

    site.run(scenario)
