"""LeaveGroup (13): members go at once instead of timing out; several from v3 (KIP-345)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call


def handle(request: Message, call: Call) -> Message:
    """Each member's own error; up to v2, where there is one member, it is the whole's."""
    identities = [(member.member_id, member.group_instance_id) for member in request.members]
    error, errors = call.broker.groups.leave(request.group_id, identities)
    return Message(
        error_code=error,
        members=[
            Message(member_id=member_id, group_instance_id=instance_id, error_code=member_error)
            for (member_id, instance_id), member_error in zip(identities, errors, strict=False)
        ],
    )
