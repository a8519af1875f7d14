"""ListGroups (16): every group, with its state (v4) and type (v5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.wire import ErrorCode, Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call

_CLASSIC = "classic"


def handle(request: Message, call: Call) -> Message:
    """Filters are sets of names without regard to case; an empty one lets everything pass."""
    groups = call.broker.groups
    if groups.closed:
        return Message(error_code=ErrorCode.coordinator_not_available, groups=[])
    states = {state.lower() for state in request.states_filter}
    types = {kind.lower() for kind in request.types_filter}
    wanted = [] if types and _CLASSIC not in types else groups.all()
    return Message(
        error_code=ErrorCode.none,
        groups=[
            Message(
                group_id=group.group_id,
                protocol_type=group.protocol_type or "",
                group_state=str(group.state),
                group_type=_CLASSIC,
            )
            for group in wanted
            if not states or group.state.lower() in states
        ],
    )
