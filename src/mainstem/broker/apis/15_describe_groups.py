"""DescribeGroups (15): state, protocol, members and their assignments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.groups import ClassicGroup, State
from mainstem.wire import ErrorCode, Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call

_UNKNOWN_IS_ERROR_SINCE = 6  # KIP-1043
_OPERATIONS_UNKNOWN = -(2**31)
#: AclOperation codes of a group: read, delete, describe, describe configs, alter configs.
_ALL_OPERATIONS = sum(1 << operation for operation in (3, 6, 8, 10, 11))


def handle(request: Message, call: Call) -> Message:
    """A group that is unknown is Dead: an error from v6 on, none before."""
    operations = _OPERATIONS_UNKNOWN
    if getattr(request, "include_authorized_operations", False):
        operations = _ALL_OPERATIONS
    wanted = dict.fromkeys(request.groups)
    return Message(groups=[_describe(group_id, operations, call) for group_id in wanted])


def _describe(group_id: str, operations: int, call: Call) -> Message:
    groups = call.broker.groups
    group = groups.get(group_id)
    if groups.closed:
        return _nothing(group_id, ErrorCode.coordinator_not_available, "", None)
    if group is None:
        if call.api_version < _UNKNOWN_IS_ERROR_SINCE:
            return _nothing(group_id, ErrorCode.none, State.DEAD, None, operations)
        message = f"Group {group_id} not found."
        return _nothing(group_id, ErrorCode.group_id_not_found, State.DEAD, message)
    stable = group.state is State.STABLE
    return Message(
        error_code=ErrorCode.none,
        error_message=None,
        group_id=group_id,
        group_state=str(group.state),
        protocol_type=group.protocol_type or "",
        protocol_data=(group.protocol_name or "") if stable else "",
        members=_members(group, stable),
        authorized_operations=operations,
    )


def _members(group: ClassicGroup, stable: bool) -> list[Message]:
    """Subscriptions and assignments mean something in a stable group only, as in Kafka."""
    name = group.protocol_name or ""
    return [
        Message(
            member_id=member.member_id,
            group_instance_id=member.instance_id,
            client_id=member.client_id,
            client_host=member.client_host,
            member_metadata=member.protocols.get(name, b"") if stable else b"",
            member_assignment=member.assignment if stable else b"",
        )
        for member in group.roster.members.values()
    ]


def _nothing(
    group_id: str,
    error: ErrorCode,
    state: str,
    message: str | None,
    operations: int = _OPERATIONS_UNKNOWN,
) -> Message:
    return Message(
        error_code=error,
        error_message=message,
        group_id=group_id,
        group_state=str(state),
        protocol_type="",
        protocol_data="",
        members=[],
        authorized_operations=operations,
    )
