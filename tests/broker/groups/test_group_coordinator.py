"""The coordinator: real store and timers around the state machine; restart, cancel, close."""

from __future__ import annotations

import asyncio

import pytest

from mainstem.broker.groups import coordinator
from mainstem.errors import Unavailable
from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def test_session_timeout_on_the_event_loop(site):
    async def scenario():
        member = await site.lead()
        await site.advance(9.0)
        assert await site.beat("g", member, 1) == 0
        await site.advance(9.0)
        assert await site.beat("g", member, 1) == 0
        await site.advance(10.5)
        assert await site.beat("g", member, 1) == 25
        assert site.broker.groups.get("g").state == "Empty"

    site.run(scenario)


def test_parked_call_whose_connection_closed_does_not_hold_up_the_group(site):
    async def scenario():
        first = await site.lead()
        second, parked = await site.enter()
        parked.cancel()
        await asyncio.sleep(0)
        again = await site.join("g", first)
        assert (again.error_code, again.generation_id) == (0, 2)
        await site.sync("g", first, 2, assignments={first: b"1"})
        await site.advance(9.0)
        assert await site.beat("g", first, 2) == 0
        await site.advance(2.0)  # the one that went away has timed out
        assert await site.beat("g", first, 2) == 27
        assert second not in site.broker.groups.get("g").roster.members

    site.run(scenario)


def test_cancelled_sync_of_the_leader_still_makes_the_generation_stable(site):
    async def scenario():
        first, task = await site.enter()
        await task
        sync = site.sync("g", first, 1, assignments={first: b"kept"})
        await asyncio.sleep(0)
        sync.cancel()
        await site.settle()
        assert (await site.sync("g", first, 1)).assignment == b"kept"

    site.run(scenario)


def test_cancelled_commit_is_all_or_nothing_in_memory_and_on_disk(site):
    async def scenario():
        await site.topic("t")
        commit = asyncio.ensure_future(site.commit({("t", 0): 5}))
        for _ in range(2):
            await asyncio.sleep(0)
        commit.cancel()
        await site.settle()
        return await site.committed()

    before = site.run(scenario)
    site.restart()
    assert site.run(site.committed) == before == {("t", 0): 5}


def test_members_go_on_after_a_restart_of_the_broker(site):
    async def before():
        await site.topic("t")
        member = await site.lead()
        await site.commit({("t", 0): 7}, member=member, generation=1)
        return member

    member = site.run(before)
    site.restart()

    async def after():
        assert await site.beat("g", member, 1) == 0
        answer = await site.sync("g", member, 1)
        assert (answer.error_code, answer.assignment) == (0, b"all")
        assert await site.commit({("t", 0): 8}, member=member, generation=1) == {("t", 0): 0}
        assert await site.committed() == {("t", 0): 8}

    site.run(after)


def test_member_that_does_not_return_after_a_restart_times_out(site):
    member = site.run(site.lead)
    site.restart()

    async def after():
        await site.advance(10.5)
        assert await site.beat("g", member, 1) == 25
        fresh = await site.join("g", group_instance_id="static")
        assert fresh.generation_id > 2

    site.run(after)


def test_generation_grows_across_restarts(site):
    generations = []
    for _ in range(3):

        async def round_trip():
            member, task = await site.enter()
            joined = await task
            await site.sync("g", member, joined.generation_id)
            leave = [{"member_id": member, "group_instance_id": None, "reason": None}]
            await site.ask(13, group_id="g", members=[site_message(one) for one in leave])
            await site.settle()
            return joined.generation_id

        generations.append(site.run(round_trip))
        site.restart()
    assert generations == sorted(set(generations))


def site_message(fields):
    from mainstem.wire import Message

    return Message(**fields)


def test_join_half_done_at_a_restart_starts_over(site):
    async def before():
        first = await site.lead()
        second, parked = await site.enter()
        assert not parked.done()
        return first, second, parked

    first, second, parked = site.run(before)
    site.restart()
    assert parked.result().error_code == 15

    async def after():
        assert (await site.join("g", second)).error_code == 25
        assert (await site.join("g", first)).error_code == 0

    site.run(after)


def test_static_member_returns_to_its_assignment_after_a_restart(site):
    async def before():
        joined = await site.join("g", group_instance_id="i")
        member = joined.member_id
        await site.sync("g", member, 1, group_instance_id="i", assignments={member: b"mine"})
        return member

    old = site.run(before)
    site.restart()

    async def after():
        joined = await site.join("g", group_instance_id="i")
        assert (joined.error_code, joined.generation_id, joined.skip_assignment) == (0, 1, True)
        synced = await site.sync("g", joined.member_id, 1, group_instance_id="i")
        assert synced.assignment == b"mine"
        assert await site.beat("g", old, 1, "i") == 82
        return joined.member_id

    new = site.run(after)
    site.restart()
    assert site.run(lambda: site.beat("g", new, 1, "i")) == 0


def test_after_close_every_call_is_refused(site):
    async def scenario():
        await site.topic("t")
        member = await site.lead()
        second, parked = await site.enter()
        await site.broker.groups.close()
        assert (await parked).error_code == 15
        assert (await site.join("g", second)).error_code == 15
        assert (await site.sync("g", member, 1)).error_code == 15
        assert await site.beat("g", member, 1) == 15
        assert await site.commit({("t", 0): 1}) == {("t", 0): 15}
        assert (await site.ask(16, states_filter=[], types_filter=[])).error_code == 15
        assert (await site.ask(42, groups_names=["g"])).results[0].error_code == 15

    site.run(scenario)


def test_group_that_came_to_nothing_leaves_no_trace(site):
    async def scenario():
        refused = await site.join("x", protocols=[])
        assert refused.error_code == 23
        await site.join("y")
        assert [group.group_id for group in site.broker.groups.all()] == ["y"]
        await site.advance(10.5)
        assert site.broker.groups.all() == []

    site.run(scenario)


def test_number_of_groups_is_limited(site, monkeypatch):
    monkeypatch.setattr(coordinator, "MAX_GROUPS", 1)

    async def scenario():
        await site.topic("t")
        await site.commit({("t", 0): 1}, "one")
        assert (await site.join("two")).error_code == 44
        assert await site.commit({("t", 0): 1}, "two") == {("t", 0): 44}
        assert await site.commit({("t", 0): 2}, "one") == {("t", 0): 0}

    site.run(scenario)


def test_failing_store_makes_clients_retry_and_changes_nothing(site, monkeypatch):
    async def scenario():
        await site.topic("t")
        await site.commit({("t", 0): 1})

        async def refuse(_run):
            raise Unavailable("the disk is full", code=56)

        with monkeypatch.context() as patch:
            patch.setattr(site.broker.store, "write", refuse)
            assert await site.commit({("t", 0): 2}) == {("t", 0): 15}
            assert await site.commit({("t", 0): 2}, "new") == {("t", 0): 15}
            deleted = await site.ask(42, groups_names=["g"])
            assert deleted.results[0].error_code == 15
        assert await site.committed() == {("t", 0): 1}
        assert site.broker.groups.get("new") is None
        assert await site.commit({("t", 0): 3}) == {("t", 0): 0}

    site.run(scenario)


def test_concurrent_commits_end_in_memory_as_on_disk(site):
    async def scenario():
        await site.topic("t")
        await asyncio.gather(*(site.commit({("t", 0): offset}) for offset in range(200)))
        return await site.committed()

    in_memory = site.run(scenario)
    site.restart()
    assert site.run(site.committed) == in_memory == {("t", 0): 199}
