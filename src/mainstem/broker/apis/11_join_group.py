"""JoinGroup (11): parked until the group's next generation is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.groups import JoinRequest
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call

_KNOWN_MEMBER_SINCE = 4  # KIP-394
_NO_PROTOCOL_IS_NULL_SINCE = 7
_SKIP_ASSIGNMENT_SINCE = 9  # KIP-814


async def handle(request: Message, call: Call) -> Message:
    """The generation, its protocol and leader; the leader is also told all members."""
    session_ms, rebalance_ms = request.session_timeout_ms, request.rebalance_timeout_ms
    result = await call.broker.groups.join(
        request.group_id,
        JoinRequest(
            member_id=request.member_id,
            instance_id=request.group_instance_id,
            client_id=call.client_id or "",
            client_host=call.client_host,
            session_timeout_ms=session_ms,
            # v0 has no rebalance timeout: the session's serves for both.
            rebalance_timeout_ms=session_ms if rebalance_ms < 0 else rebalance_ms,
            protocol_type=request.protocol_type,
            protocols={protocol.name: protocol.metadata for protocol in request.protocols},
            requires_known_member=call.api_version >= _KNOWN_MEMBER_SINCE,
            supports_skip_assignment=call.api_version >= _SKIP_ASSIGNMENT_SINCE,
        ),
    )
    nothing = None if call.api_version >= _NO_PROTOCOL_IS_NULL_SINCE else ""
    return Message(
        error_code=result.error,
        generation_id=result.generation,
        protocol_type=result.protocol_type,
        protocol_name=nothing if result.protocol_name is None else result.protocol_name,
        leader=result.leader,
        skip_assignment=result.skip_assignment,
        member_id=result.member_id,
        members=[
            Message(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                metadata=member.metadata,
            )
            for member in result.members
        ],
    )
