"""DescribeConfigs: what is in force for topics and brokers, and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import INVALID_REQUEST, failure
from mainstem.broker.configs import (
    EVERY_BROKER,
    Described,
    describe_broker,
    describe_every_broker,
    describe_topic,
)
from mainstem.broker.resources import ResourceType, broker_of, find_topic, unsupported
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call


def handle(request: Message, call: Call) -> Message:
    """One result per resource; keys that do not exist are left out, as Kafka does."""
    distinct = {(entry.resource_type, entry.resource_name): entry for entry in request.resources}
    return Message(results=[_describe(call.broker, entry, request) for entry in distinct.values()])


def _describe(broker: Broker, entry: Message, request: Message) -> Message:
    code, text, configs = 0, None, []
    try:
        # Null asks for all. So did an empty list from old clients (KAFKA-9472).
        keys = set(entry.configuration_keys or ())
        configs = [
            _config(described, request)
            for described in _configs(broker, entry.resource_type, entry.resource_name)
            if not keys or described.name in keys
        ]
    except MainstemError as error:
        code, text = failure(broker, error)
    return Message(
        error_code=code,
        error_message=text,
        resource_type=entry.resource_type,
        resource_name=entry.resource_name,
        configs=configs,
    )


def _configs(broker: Broker, kind: int, name: str) -> list[Described]:
    match kind:
        case ResourceType.TOPIC:
            return describe_topic(find_topic(broker, name).overrides, broker.topics.configs)
        case ResourceType.BROKER if broker_of(broker, name) == EVERY_BROKER:
            return describe_every_broker(broker.topics.configs)
        case ResourceType.BROKER:
            return describe_broker(
                broker.topics.configs, broker.config, broker.address, broker.advertised
            )
        case ResourceType.GROUP | ResourceType.CLIENT_METRICS:
            if not name:
                raise Invalid("the resource name must not be empty", code=INVALID_REQUEST)
            return []
        case _:
            raise unsupported(kind, name)


def _config(config: Described, request: Message) -> Message:
    synonyms = config.synonyms if request.include_synonyms else []
    return Message(
        name=config.name,
        value=config.value,
        read_only=config.read_only,
        config_source=int(config.source),
        is_sensitive=False,
        synonyms=[
            Message(name=name, value=value, source=int(source)) for name, value, source in synonyms
        ],
        config_type=int(config.type),
        documentation=config.documentation if request.include_documentation else None,
    )
