"""Heartbeat (12): a member is alive, and learns of a rebalance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call


def handle(request: Message, call: Call) -> Message:
    """Restarts the member's session; REBALANCE_IN_PROGRESS asks it to join again."""
    error = call.broker.groups.heartbeat(
        request.group_id, request.member_id, request.group_instance_id, request.generation_id
    )
    return Message(error_code=error)
