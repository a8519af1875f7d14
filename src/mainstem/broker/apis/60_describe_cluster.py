"""DescribeCluster: one broker, which is its own controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import CLUSTER_OPERATIONS, NO_OPERATIONS, failure
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call

_BROKERS, _CONTROLLERS = 1, 2
_MISMATCHED_ENDPOINT_TYPE = 114
_UNSUPPORTED_ENDPOINT_TYPE = 115


def handle(request: Message, call: Call) -> Message:
    """Only the brokers' endpoint exists here (KIP-919): asking for controllers is an error."""
    broker = call.broker
    try:
        _check_endpoint(request.endpoint_type)
    except MainstemError as error:
        code, text = failure(broker, error)
        return _answer(broker, request, code, text, [])
    host, port = broker.advertised
    node = Message(broker_id=broker.node_id, host=host, port=port, rack=None, is_fenced=False)
    return _answer(broker, request, 0, None, [node])


def _check_endpoint(kind: int) -> None:
    if kind == _CONTROLLERS:
        raise Invalid(
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of "
            "type CONTROLLER: this site has no separate controllers",
            code=_MISMATCHED_ENDPOINT_TYPE,
        )
    if kind != _BROKERS:
        raise Invalid(f"Unsupported endpoint type {kind}", code=_UNSUPPORTED_ENDPOINT_TYPE)


def _answer(
    broker: Broker, request: Message, code: int, text: str | None, brokers: list[Message]
) -> Message:
    asked = request.include_cluster_authorized_operations
    return Message(
        error_code=code,
        error_message=text,
        endpoint_type=_BROKERS,
        cluster_id=broker.cluster_id,
        controller_id=broker.node_id if brokers else -1,
        brokers=brokers,
        cluster_authorized_operations=CLUSTER_OPERATIONS if asked else NO_OPERATIONS,
    )
