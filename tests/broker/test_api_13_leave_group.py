"""LeaveGroup in every version: one member, or several from version 3."""

from __future__ import annotations

import pytest

from mainstem.wire import Message
from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def leaving(*members):
    return [
        Message(member_id=member, group_instance_id=instance, reason=None)
        for member, instance in members
    ]


@pytest.mark.parametrize("version", range(6))
def test_every_version(site, version):
    async def scenario():
        member = await site.lead()
        answer = await site.ask(13, version, group_id="g", members=leaving((member, None)))
        assert answer.error_code == 0
        if version >= 3:
            assert [(m.member_id, m.error_code) for m in answer.members] == [(member, 0)]
        assert site.broker.groups.get("g").state == "Empty"

    site.run(scenario)


@pytest.mark.parametrize("version", range(6))
@pytest.mark.parametrize("group", ["g", "unknown"])
def test_stranger_in_every_version(site, version, group):
    async def scenario():
        await site.lead()
        answer = await site.ask(13, version, group_id=group, members=leaving(("who", None)))
        if version >= 3:
            assert (answer.error_code, answer.members[0].error_code) == (0, 25)
        else:
            assert answer.error_code == 25

    site.run(scenario)


def test_several_leave_at_once(site):
    async def scenario():
        first = (await site.join("g", group_instance_id="a")).member_id
        members = leaving(("", "a"), ("who", None), ("", "nobody"))
        answer = await site.ask(13, 5, group_id="g", members=members)
        told = [(m.member_id, m.group_instance_id, m.error_code) for m in answer.members]
        assert told == [("", "a", 0), ("who", None, 25), ("", "nobody", 25)]
        assert first not in site.broker.groups.get("g").roster.members

    site.run(scenario)


def test_group_needs_a_name(site):
    async def scenario():
        answer = await site.ask(13, 5, group_id="", members=leaving(("m", None)))
        assert (answer.error_code, answer.members) == (24, [])

    site.run(scenario)
