"""DeleteGroups in every version."""

from __future__ import annotations

import pytest

from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("version", range(3))
def test_every_version(site, version):
    async def scenario():
        await site.topic("t")
        await site.commit({("t", 0): 1}, "empty")
        await site.lead("busy")
        answer = await site.ask(42, version, groups_names=["empty", "busy", "unknown", "empty"])
        told = {result.group_id: result.error_code for result in answer.results}
        assert told == {"empty": 0, "busy": 68, "unknown": 69}
        assert await site.committed("empty") == {}
        assert [group.group_id for group in site.broker.groups.all()] == ["busy"]

    site.run(scenario)


def test_deleted_group_does_not_come_back_at_a_restart(site):
    async def scenario():
        await site.topic("t")
        member = await site.lead()
        await site.commit({("t", 0): 1}, member=member, generation=1)
        await site.advance(11.0)
        answer = await site.ask(42, groups_names=["g"])
        assert answer.results[0].error_code == 0

    site.run(scenario)
    site.restart()
    assert site.broker.groups.all() == []
    assert site.run(site.committed) == {}


def test_deleted_group_starts_anew(site):
    async def scenario():
        await site.lead()
        await site.advance(11.0)
        await site.ask(42, groups_names=["g"])
        await site.lead()
        assert site.broker.groups.get("g").generation == 1

    site.run(scenario)
