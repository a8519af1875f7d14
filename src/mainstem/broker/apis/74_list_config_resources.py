"""ListConfigResources (KIP-1142); version 0 was ListClientMetricsResources (KIP-1000)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.resources import ResourceType
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call

_UNSUPPORTED_VERSION = 35


def handle(request: Message, call: Call) -> Message:
    """Names of what has configs; no types given means all types."""
    asked = {ResourceType.CLIENT_METRICS} if call.api_version == 0 else set(request.resource_types)
    if not asked <= {int(kind) for kind in ResourceType}:
        call.broker.counters.failed(_UNSUPPORTED_VERSION)
        return Message(error_code=_UNSUPPORTED_VERSION, config_resources=[])
    found = _resources(call.broker)
    return Message(
        error_code=0,
        config_resources=[
            Message(resource_name=name, resource_type=int(kind))
            for kind, name in found
            if not asked or kind in asked
        ],
    )


def _resources(broker: Broker) -> list[tuple[ResourceType, str]]:
    topics = [(ResourceType.TOPIC, topic.name) for topic in broker.topics.all()]
    return [*topics, (ResourceType.BROKER, str(broker.node_id))]
