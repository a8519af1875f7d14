"""OffsetFetch in every version: asked partitions, all of them, several groups."""

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


def group(group_id, topics, by_id=None):
    asked = None
    if topics is not None:
        asked = [
            Message(name=name, partition_indexes=indexes)
            if by_id is None
            else Message(topic_id=by_id[name], partition_indexes=indexes)
            for name, indexes in topics.items()
        ]
    return Message(group_id=group_id, topics=asked, member_id=None, member_epoch=-1)


@pytest.mark.parametrize("version", range(1, 10))
def test_every_version_by_name(site, version):
    async def scenario():
        await site.topic("t")
        known = {"committed_offset": 5, "committed_leader_epoch": 4, "committed_metadata": "m"}
        await site.commit({("t", 1): known})
        asked = group("g", {"t": [0, 1], "unknown": [7]})
        answer = await site.ask(9, version, groups=[asked], require_stable=False)
        (found,) = answer.groups
        assert found.error_code == 0
        told = {
            (topic.name, p.partition_index): (p.committed_offset, p.metadata, p.error_code)
            for topic in found.topics
            for p in topic.partitions
        }
        assert told == {
            ("t", 0): (-1, "", 0),
            ("t", 1): (5, "m", 0),
            ("unknown", 7): (-1, "", 0),
        }
        epochs = [p.committed_leader_epoch for p in found.topics[0].partitions]
        assert epochs == ([-1, 4] if version >= 5 else [-1, -1])

    site.run(scenario)


@pytest.mark.parametrize("version", range(2, 11))
def test_null_topics_mean_all(site, version):
    async def scenario():
        t, u = await site.topic("t"), await site.topic("u")
        await site.commit({("t", 0): 1, ("t", 2): 3, ("u", 1): 2})
        answer = await site.ask(9, version, groups=[group("g", None)], require_stable=True)
        told = {
            (topic.topic_id if version == 10 else topic.name, p.partition_index): p.committed_offset
            for topic in answer.groups[0].topics
            for p in topic.partitions
        }
        names = {"t": t.id, "u": u.id} if version == 10 else {"t": "t", "u": "u"}
        assert told == {(names["t"], 0): 1, (names["t"], 2): 3, (names["u"], 1): 2}

    site.run(scenario)


def test_version_10_by_topic_id(site):
    async def scenario():
        topic = await site.topic("t")
        await site.commit({("t", 0): 1})
        ids = {"t": topic.id, "gone": uuid.UUID(int=5)}
        asked = group("g", {"t": [0, 1], "gone": [0]}, ids)
        answer = await site.ask(9, 10, groups=[asked], require_stable=False)
        told = [
            (topic.topic_id, [(p.committed_offset, p.error_code) for p in topic.partitions])
            for topic in answer.groups[0].topics
        ]
        assert told == [(topic.id, [(1, 0), (-1, 0)]), (ids["gone"], [(-1, 100)])]

    site.run(scenario)


@pytest.mark.parametrize("version", [8, 9, 10])
def test_several_groups_at_once(site, version):
    async def scenario():
        await site.topic("t")
        await site.commit({("t", 0): 1}, "a")
        await site.commit({("t", 0): 2}, "b")
        asked = [group("a", None), group("nobody", None), group("b", None)]
        answer = await site.ask(9, version, groups=asked, require_stable=False)
        told = [
            (one.group_id, [p.committed_offset for topic in one.topics for p in topic.partitions])
            for one in answer.groups
        ]
        assert told == [("a", [1]), ("nobody", []), ("b", [2])]

    site.run(scenario)


@pytest.mark.parametrize("version", [1, 2, 7, 8, 10])
def test_closed_coordinator_says_so(site, version):
    async def scenario():
        topic = await site.topic("t")
        await site.broker.groups.close()
        asked = group("g", {"t": [0]}, {"t": topic.id} if version == 10 else None)
        answer = await site.ask(9, version, groups=[asked], require_stable=False)
        found = answer.groups[0]
        if version == 1:
            assert found.topics[0].partitions[0].error_code == 15
        else:
            assert found.error_code == 15

    site.run(scenario)
