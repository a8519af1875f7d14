"""Committed offsets: durability, retention (KIP-211), topics and groups that go away."""

from __future__ import annotations

import asyncio
import threading

import pytest

from reference.group_site import Site

DAY = 86_400.0


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, offsets_retention_ms=7 * 86_400_000, retention_check_ms=3_600_000)
    yield made
    made.close()


def rows(site):
    """Offsets on disk."""
    ((count,),) = site.broker.store.read(
        lambda connection: connection.execute("SELECT count(*) FROM consumer_offsets").fetchall()
    )
    return count


async def pass_time(site, seconds):
    """Long enough for a check to have run after it."""
    await site.advance(seconds)
    await site.advance(3_601.0)
    await site.settle()


def test_offsets_survive_a_restart(site):
    detailed = {"committed_offset": 42, "committed_leader_epoch": 3, "committed_metadata": "häß"}

    async def before():
        await site.topic("t")
        assert await site.commit({("t", 1): detailed}) == {("t", 1): 0}

    site.run(before)
    site.restart()
    assert [group.group_id for group in site.broker.groups.all()] == ["g"]
    found = site.broker.groups.committed("g")[1]
    ((key, committed),) = found.items()
    assert key == ("t", 1)
    assert committed[:3] == (42, 3, "häß")
    assert committed.committed_ms == site.clock.now_ms()


def test_offset_is_not_seen_before_it_is_on_disk(site):
    async def scenario():
        await site.topic("t")
        commit = asyncio.ensure_future(site.commit({("t", 0): 1}))
        await asyncio.sleep(0)
        assert await site.committed() == {}
        await commit
        assert await site.committed() == {("t", 0): 1}

    site.run(scenario)


def test_offsets_of_a_deleted_topic_vanish(site):
    async def scenario():
        topic = await site.topic("t")
        await site.topic("u")
        await site.commit({("t", 0): 1, ("u", 0): 2})
        await site.broker.topics.delete(topic)
        await site.settle()
        assert await site.committed() == {("u", 0): 2}
        assert rows(site) == 1
        await site.topic("t")
        assert await site.committed() == {("u", 0): 2}

    site.run(scenario)
    site.restart()
    assert site.run(site.committed) == {("u", 0): 2}


def test_offsets_of_a_topic_made_anew_are_not_those_of_the_old_one(site):
    async def before():
        await site.topic("t")
        await site.commit({("t", 0): 1})
        # As if the broker had stopped between the topic's deletion and that of its offsets.
        other = b"\1" * 16
        await site.broker.store.write(
            lambda connection: connection.execute(
                "UPDATE consumer_offsets SET topic_id = ?", [other]
            )
        )

    site.run(before)
    site.restart()
    assert site.run(site.committed) == {}
    assert rows(site) == 0


def test_offsets_of_a_simple_consumer_expire_after_the_last_commit(site):
    async def scenario():
        await site.topic("t")
        await site.commit({("t", 0): 1})
        await pass_time(site, 4 * DAY)
        await site.commit({("t", 1): 1})
        await pass_time(site, 3 * DAY)
        assert await site.committed() == {("t", 1): 1}
        await pass_time(site, 4 * DAY)
        assert site.broker.groups.all() == []

    site.run(scenario)
    site.restart()
    assert site.broker.groups.all() == []


def test_offsets_of_an_empty_group_expire_after_its_last_member_left(site):
    async def scenario():
        await site.topic("t")
        member = await site.lead(session_timeout_ms=1_800_000)
        await site.commit({("t", 0): 1}, member=member, generation=1)
        for _ in range(24 * 8):
            await site.advance(1_700.0)
            assert await site.beat("g", member, 1) == 0
        await pass_time(site, 1_800.0)
        assert site.broker.groups.get("g").state == "Empty"
        await pass_time(site, 6 * DAY)
        assert await site.committed() == {("t", 0): 1}
        await pass_time(site, 1 * DAY)
        assert await site.committed() == {}
        assert site.broker.groups.get("g") is None

    site.run(scenario)


def test_commit_to_an_empty_group_renews_the_offset(site):
    async def scenario():
        await site.topic("t")
        member = await site.lead()
        await site.commit({("t", 1): 1}, member=member, generation=1)
        await pass_time(site, 11.0)
        await pass_time(site, 6 * DAY)
        await site.commit({("t", 0): 1})  # as a tool that resets offsets does
        await pass_time(site, 2 * DAY)
        assert await site.committed() == {("t", 0): 1}

    site.run(scenario)


def test_time_since_a_group_emptied_counts_across_restarts(site):
    async def before():
        await site.topic("t")
        member = await site.lead()
        await site.commit({("t", 0): 1}, member=member, generation=1)
        await site.advance(11.0)
        await pass_time(site, 4 * DAY)

    site.run(before)
    site.restart()

    async def after():
        assert await site.committed() == {("t", 0): 1}
        await pass_time(site, 3 * DAY)
        assert await site.committed() == {}

    site.run(after)


def test_commit_that_meets_the_expiry_of_its_predecessor_survives(site):
    disk = threading.Event()

    async def scenario():
        await site.topic("t")
        await site.commit({("t", 0): 1})
        site.clock.advance(8 * DAY)
        held = asyncio.ensure_future(site.broker.store.write(lambda _connection: disk.wait(20)))
        commit = asyncio.ensure_future(site.commit({("t", 0): 2}))
        for _ in range(3):
            await asyncio.sleep(0)
        expiry = asyncio.ensure_future(site.broker.groups.expire())
        for _ in range(3):
            await asyncio.sleep(0)
        disk.set()
        await asyncio.gather(held, commit, expiry)
        assert await site.committed() == {("t", 0): 2}

    site.run(scenario)
    site.restart()
    assert site.run(site.committed) == {("t", 0): 2}


def test_members_keep_offsets_of_what_they_read_and_lose_the_others(site):
    subscription = b"\0\0\0\0\0\1\0\1t"

    async def scenario():
        await site.topic("t")
        await site.topic("u")
        member = await site.lead(metadata=subscription, session_timeout_ms=1_800_000)
        await site.commit({("t", 0): 1, ("u", 0): 1}, member=member, generation=1)
        site.clock.advance(8 * DAY)
        await site.beat("g", member, 1)
        await site.broker.groups.expire()
        assert await site.committed() == {("t", 0): 1}

    site.run(scenario)


def test_retention_asked_for_by_an_old_client_is_kept(site):
    async def scenario():
        await site.topic("t")
        await site.commit({("t", 0): 1}, version=4, retention_time_ms=60_000)
        await site.commit({("t", 1): 1}, version=4, retention_time_ms=-1)
        await pass_time(site, 61.0)
        assert await site.committed() == {("t", 1): 1}

    site.run(scenario)


def test_group_is_not_cleaned_up_beneath_a_commit(site):
    async def scenario():
        await site.topic("t")
        member = await site.lead()
        await site.advance(11.0)
        assert site.broker.groups.get("g").state == "Empty"
        commit = asyncio.ensure_future(site.commit({("t", 0): 1}))
        await asyncio.sleep(0)
        await site.broker.groups.expire()
        assert await commit == {("t", 0): 0}
        assert await site.committed() == {("t", 0): 1}
        del member

    site.run(scenario)
    site.restart()
    assert site.run(site.committed) == {("t", 0): 1}


def test_new_group_stays_while_its_first_commit_is_under_way(site):
    async def scenario():
        await site.topic("t")
        commit = asyncio.ensure_future(site.commit({("t", 0): 1}))
        await asyncio.sleep(0)
        assert (await site.join("g", protocols=[])).error_code == 23
        await commit
        assert site.broker.groups.get("g") is not None

    site.run(scenario)


def test_group_is_not_cleaned_up_beneath_a_promised_member(site):
    async def scenario():
        await site.lead()
        await site.advance(11.0)
        member = (await site.join("g")).member_id
        await site.broker.groups.expire()
        assert (await site.join("g", member)).error_code == 0

    site.run(scenario)


def test_commit_during_the_deletion_of_its_group_is_refused(site):
    async def scenario():
        await site.topic("t")
        await site.commit({("t", 0): 1})
        deletion = asyncio.ensure_future(site.ask(42, groups_names=["g"]))
        await asyncio.sleep(0)
        assert await site.commit({("t", 0): 2}) == {("t", 0): 15}
        assert (await deletion).results[0].error_code == 0
        assert await site.committed() == {}

    site.run(scenario)
    site.restart()
    assert site.run(site.committed) == {}
