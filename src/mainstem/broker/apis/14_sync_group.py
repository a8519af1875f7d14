"""SyncGroup (14): the leader hands in the assignment, everyone receives their part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.wire import ErrorCode, Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call

_PROTOCOL_SINCE = 5  # KIP-559


async def handle(request: Message, call: Call) -> Message:
    """Parked until the leader's assignment is stored."""
    protocol = (request.protocol_type, request.protocol_name)
    if call.api_version >= _PROTOCOL_SINCE and None in protocol:
        return Message(error_code=ErrorCode.inconsistent_group_protocol, assignment=b"")
    result = await call.broker.groups.sync(
        request.group_id,
        request.member_id,
        request.group_instance_id,
        request.generation_id,
        protocol,
        {assigned.member_id: assigned.assignment for assigned in request.assignments},
    )
    return Message(
        error_code=result.error,
        protocol_type=result.protocol_type,
        protocol_name=result.protocol_name,
        assignment=result.assignment,
    )
