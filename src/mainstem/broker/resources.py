"""Things that have configs, and changing those configs: shared by APIs 32, 33, 44 and 74."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from mainstem.broker.answers import INVALID_REQUEST, failure, refuse_duplicate, twice
from mainstem.broker.configs import EVERY_BROKER, validate
from mainstem.broker.topic import check_name
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.topics import Topic

_INVALID_CONFIG = 40


class ResourceType(IntEnum):
    """``resource_type`` on the wire (ConfigResource.Type)."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


#: From the configs set now to the configs wanted; raises ``Invalid``.
Change = Callable[[Mapping[str, str], "ResourceType"], Mapping[str, str | None]]


def find_topic(broker: Broker, name: str) -> Topic:
    """Raises ``Invalid``: 17 for a name that cannot be, 3 for one that is not."""
    check_name(name)
    return broker.topics.require(name)


def broker_of(broker: Broker, name: str) -> str:
    """``EVERY_BROKER`` or this node's id; raises ``Invalid`` (42) for anybody else."""
    if name not in {EVERY_BROKER, str(broker.node_id)}:
        raise Invalid(
            f"Unexpected broker id, expected {broker.node_id} or empty string, but received "
            f"{name!r}",
            code=INVALID_REQUEST,
        )
    return name


def unsupported(kind: int, name: str) -> Invalid:
    """For resource types that have no configs here."""
    if kind == ResourceType.BROKER_LOGGER:
        what = "log levels cannot be read or set over the protocol; set them at start"
    else:
        what = f"resource type {kind} is not known"
    return Invalid(f"configs of {name!r}: {what}", code=INVALID_REQUEST)


async def alter_all(
    broker: Broker,
    resources: list[Message],
    change_of: Callable[[Message], Change],
    *,
    validate_only: bool,
) -> Message:
    """The response of both ways to alter; one result per resource, each on its own."""
    duplicates = twice((entry.resource_type, entry.resource_name) for entry in resources)
    results: dict[tuple[int, str], Message] = {}
    for entry in resources:
        key = (entry.resource_type, entry.resource_name)
        if key in results:
            continue
        code, text = 0, None
        try:
            if key in duplicates:
                raise refuse_duplicate(f"resource {entry.resource_name!r}")
            if repeated := twice(config.name for config in entry.configs):
                raise refuse_duplicate(f"config {', '.join(sorted(map(str, repeated)))}")
            await _alter(broker, entry, change_of(entry), validate_only=validate_only)
        except MainstemError as error:
            code, text = failure(broker, error)
        results[key] = Message(
            error_code=code,
            error_message=text,
            resource_type=entry.resource_type,
            resource_name=entry.resource_name,
        )
    return Message(responses=list(results.values()))


async def _alter(broker: Broker, entry: Any, change: Change, *, validate_only: bool) -> None:
    name, topics = entry.resource_name, broker.topics
    match entry.resource_type:
        case ResourceType.TOPIC:
            topic = find_topic(broker, name)
            wanted = validate(change(topic.overrides, ResourceType.TOPIC))
            if not validate_only:
                await topics.alter_configs(topic, wanted)
        case ResourceType.BROKER:
            which = broker_of(broker, name)
            now = topics.configs.dynamic(which)
            wanted = topics.configs.validate(change(now, ResourceType.BROKER))
            if not validate_only:
                await topics.alter_broker_configs(which, wanted)
        case ResourceType.GROUP | ResourceType.CLIENT_METRICS as kind:
            if entry.configs:
                what = "group" if kind == ResourceType.GROUP else "client metrics"
                raise Invalid(
                    f"Unknown {what} config name: {entry.configs[0].name}: this broker has no "
                    f"{what} configs",
                    code=_INVALID_CONFIG,
                )
        case kind:
            raise unsupported(kind, name)
