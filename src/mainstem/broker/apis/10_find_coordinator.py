"""FindCoordinator (10): one node coordinates everything.

Transactions are pointed here, too, though there are none yet: InitProducerId then says so at
once, where "coordinator not available" would have clients ask for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.wire import ErrorCode, Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call

_GROUP, _TRANSACTION = 0, 1


def handle(request: Message, call: Call) -> Message:
    """One answer for each key; share groups (type 2) and unknown types are refused."""
    known = request.key_type in {_GROUP, _TRANSACTION}
    return Message(
        coordinators=[_coordinator(key, known, call) for key in request.coordinator_keys]
    )


def _coordinator(key: str, known: bool, call: Call) -> Message:
    if not known:
        return Message(
            key=key,
            node_id=-1,
            host="",
            port=-1,
            error_code=ErrorCode.invalid_request,
            error_message="only groups (0) and transactions (1) have a coordinator here",
        )
    host, port = call.broker.advertised
    return Message(
        key=key,
        node_id=call.broker.node_id,
        host=host,
        port=port,
        error_code=ErrorCode.none,
        error_message=None,
    )
