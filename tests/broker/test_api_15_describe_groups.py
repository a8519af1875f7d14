"""DescribeGroups in every version: what tools show."""

from __future__ import annotations

import pytest

from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


async def describe(site, group="g", version=6, *, operations=False):
    answer = await site.ask(15, version, groups=[group], include_authorized_operations=operations)
    return answer.groups[0]


@pytest.mark.parametrize("version", range(7))
def test_every_version_of_a_stable_group(site, version):
    async def scenario():
        member = await site.lead(metadata=b"\0\0\0\0\0\1\0\1t")
        group = await describe(site, version=version)
        assert (group.error_code, group.group_id, group.group_state) == (0, "g", "Stable")
        assert (group.protocol_type, group.protocol_data) == ("consumer", "range")
        (told,) = group.members
        assert (told.member_id, told.client_id, told.client_host) == (
            member, "tester", "/127.0.0.1",
        )  # fmt: skip
        assert told.member_metadata == b"\0\0\0\0\0\1\0\1t"
        assert told.member_assignment == b"all"
        assert group.authorized_operations == -(2**31)

    site.run(scenario)


@pytest.mark.parametrize("version", range(7))
def test_unknown_group_in_every_version(site, version):
    async def scenario():
        group = await describe(site, "nobody", version)
        assert group.group_state == "Dead"
        assert group.error_code == (69 if version >= 6 else 0)
        assert group.error_message == ("Group nobody not found." if version >= 6 else None)

    site.run(scenario)


def test_states_by_kafkas_names(site):
    async def scenario():
        await site.topic("t")
        await site.commit({("t", 0): 1})
        seen = [(await describe(site)).group_state]
        member, task = await site.enter()
        await task
        seen.append((await describe(site)).group_state)
        await site.sync("g", member, 1)
        seen.append((await describe(site)).group_state)
        await site.enter()
        preparing = await describe(site)
        seen.append(preparing.group_state)
        assert seen == ["Empty", "CompletingRebalance", "Stable", "PreparingRebalance"]
        assert preparing.protocol_data == ""
        assert {m.member_assignment for m in preparing.members} == {b""}

    site.run(scenario)


def test_static_instances_are_named(site):
    async def scenario():
        await site.join("g", group_instance_id="i")
        assert [m.group_instance_id for m in (await describe(site)).members] == ["i"]

    site.run(scenario)


def test_operations_are_told_when_asked_for(site):
    async def scenario():
        await site.lead()
        operations = (await describe(site, operations=True)).authorized_operations
        assert [bit for bit in range(31) if operations >> bit & 1] == [3, 6, 8, 10, 11]

    site.run(scenario)
