"""JoinGroup in every version; the rules are tested with the state machine."""

from __future__ import annotations

import pytest

from mainstem.wire import Message
from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("version", range(10))
def test_every_version_joins(site, version):
    async def scenario():
        joined = await site.join("g", version=version)
        if version >= 4:
            assert (joined.error_code, joined.generation_id) == (79, -1)
            assert joined.protocol_name == (None if version >= 7 else "")
            joined = await site.join("g", joined.member_id, version=version)
        assert (joined.error_code, joined.generation_id, joined.protocol_name) == (0, 1, "range")
        assert joined.leader == joined.member_id
        assert joined.member_id.startswith("tester-")
        assert [member.metadata for member in joined.members] == [b"\0\0\0\0\0\0"]
        assert joined.protocol_type == ("consumer" if version >= 7 else None)
        assert not joined.skip_assignment

    site.run(scenario)


@pytest.mark.parametrize("version", range(5, 10))
def test_every_version_with_a_static_member(site, version):
    async def scenario():
        joined = await site.join("g", version=version, group_instance_id="i")
        assert joined.error_code == 0
        assert [member.group_instance_id for member in joined.members] == ["i"]
        await site.sync("g", joined.member_id, 1, group_instance_id="i")
        again = await site.join("g", version=version, group_instance_id="i")
        assert again.error_code == 0
        assert again.skip_assignment == (version >= 9)
        assert (again.leader == again.member_id) == (version >= 9)

    site.run(scenario)


def test_version_0_waits_for_members_as_long_as_their_session(site):
    async def scenario():
        await site.join("g", version=0, session_timeout_ms=3_000)
        (member,) = site.broker.groups.get("g").roster.members.values()
        assert (member.session_timeout_ms, member.rebalance_timeout_ms) == (3_000, 3_000)

    site.run(scenario)


@pytest.mark.parametrize(("timeout_ms", "error"), [(999, 26), (1_000, 79), (1_800_001, 26)])
def test_session_timeout_has_bounds(site, timeout_ms, error):
    async def scenario():
        assert (await site.join("g", session_timeout_ms=timeout_ms)).error_code == error

    site.run(scenario)


def test_group_needs_a_name(site):
    async def scenario():
        assert (await site.join("")).error_code == 24

    site.run(scenario)


def test_member_id_in_an_unknown_group_is_unknown(site):
    async def scenario():
        answer = await site.join("g", "who")
        assert (answer.error_code, answer.member_id) == (25, "who")
        assert site.broker.groups.get("g") is None

    site.run(scenario)


def test_member_ids_stay_within_what_the_wire_can_carry(site):
    async def scenario():
        joined = await site.join("g", group_instance_id="i" * 30_000, version=5)
        assert joined.error_code == 0

    site.run(scenario)


def test_long_client_ids_are_cut_in_member_ids(site):
    from mainstem.broker.groups import JoinRequest

    async def scenario():
        request = JoinRequest(
            member_id="",
            instance_id=None,
            client_id="c" * 32_767,
            client_host="/127.0.0.1",
            session_timeout_ms=10_000,
            rebalance_timeout_ms=10_000,
            protocol_type="consumer",
            protocols={"range": b""},
        )
        result = await site.broker.groups.join("g", request)
        assert len(result.member_id) < 300

    site.run(scenario)


def test_protocols_of_a_connect_group(site):
    async def scenario():
        protocols = [Message(name="sessioned", metadata=b"x")]
        member, task = await site.enter("c", protocol_type="connect", protocols=protocols)
        joined = await task
        assert (joined.protocol_type, joined.protocol_name) == ("connect", "sessioned")
        assert joined.leader == member

    site.run(scenario)
