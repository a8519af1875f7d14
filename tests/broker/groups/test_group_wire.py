"""Groups over real sockets: parked calls hold a connection, and survive its loss."""

from __future__ import annotations

import pytest

from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message


@pytest.fixture
def broker(tmp_path):
    with running_broker(tmp_path, group_min_session_timeout_ms=1) as running:
        yield running


def join(member_id="", *, timeout_ms=10_000):
    return Message(
        group_id="g",
        session_timeout_ms=timeout_ms,
        rebalance_timeout_ms=timeout_ms,
        member_id=member_id,
        group_instance_id=None,
        protocol_type="consumer",
        protocols=[Message(name="range", metadata=b"m")],
        reason=None,
    )


def sync(member_id, generation, **assignments):
    return Message(
        group_id="g",
        generation_id=generation,
        member_id=member_id,
        group_instance_id=None,
        protocol_type="consumer",
        protocol_name="range",
        assignments=[Message(member_id=member_id, assignment=b"all")],
    )


def heartbeat(member_id, generation):
    return Message(
        group_id="g", generation_id=generation, member_id=member_id, group_instance_id=None
    )


def test_two_members_rebalance(broker):
    with RawConnection(broker.address) as one, RawConnection(broker.address) as two:
        first = one.call(11, 9, join()).member_id
        assert one.call(11, 9, join(first)).generation_id == 1
        assert one.call(14, 5, sync(first, 1)).assignment == b"all"
        second = two.call(11, 9, join()).member_id
        two.send(11, 9, join(second))
        while one.call(12, 4, heartbeat(first, 1)).error_code != 27:
            pass  # its join is on the way
        rejoined = one.call(11, 9, join(first))
        assert len(rejoined.members) == 2
        assert two.receive().generation_id == rejoined.generation_id == 2


def test_requests_behind_a_parked_join_are_answered_after_it(broker):
    with RawConnection(broker.address) as one, RawConnection(broker.address) as two:
        first = one.call(11, 9, join()).member_id
        one.call(11, 9, join(first))
        one.call(14, 5, sync(first, 1))
        second = two.call(11, 9, join()).member_id
        two.send(11, 9, join(second))
        two.send(12, 4, heartbeat(second, 2))
        while one.call(12, 4, heartbeat(first, 1)).error_code != 27:
            pass
        one.call(11, 9, join(first))
        assert two.receive().generation_id == 2
        assert two.receive().error_code == 0


def test_connection_lost_while_its_join_is_parked(broker):
    with RawConnection(broker.address) as one:
        first = one.call(11, 9, join(timeout_ms=300)).member_id
        one.call(11, 9, join(first, timeout_ms=300))
        one.call(14, 5, sync(first, 1))
        with RawConnection(broker.address) as two:
            second = two.call(11, 9, join(timeout_ms=300)).member_id
            two.send(11, 9, join(second, timeout_ms=300))
            while one.call(12, 4, heartbeat(first, 1)).error_code != 27:
                pass
        generation = one.call(11, 9, join(first, timeout_ms=300)).generation_id
        one.call(14, 5, sync(first, generation))
        while one.call(12, 4, heartbeat(first, generation)).error_code != 27:
            pass  # until the session of the one that is gone ends
        alone = one.call(11, 9, join(first, timeout_ms=300))
        assert [member.member_id for member in alone.members] == [first]
