"""DeleteGroups (42): empty groups go, with their offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call


async def handle(request: Message, call: Call) -> Message:
    """NON_EMPTY_GROUP while there are members, GROUP_ID_NOT_FOUND where there is no group."""
    return Message(
        results=[
            Message(group_id=group_id, error_code=await call.broker.groups.delete(group_id))
            for group_id in dict.fromkeys(request.groups_names)
        ]
    )
