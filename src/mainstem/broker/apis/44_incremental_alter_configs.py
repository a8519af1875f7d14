"""IncrementalAlterConfigs: sets, deletes, appends to and subtracts from configs (KIP-339)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mainstem.broker.configs import (
    DYNAMIC,
    TOPIC_CONFIGS,
    BrokerConfigs,
    apply_operations,
    format_value,
)
from mainstem.broker.resources import Change, ResourceType, alter_all
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call


async def handle(request: Message, call: Call) -> Message:
    """Each resource changes as a whole or not at all."""
    configs = call.broker.topics.configs
    return await alter_all(
        call.broker,
        request.resources,
        lambda entry: _change(entry, configs),
        validate_only=request.validate_only,
    )


def _change(entry: Message, configs: BrokerConfigs) -> Change:
    operations = [(config.name, config.config_operation, config.value) for config in entry.configs]

    def change(now: Mapping[str, str], kind: ResourceType) -> Mapping[str, str | None]:
        definitions = TOPIC_CONFIGS if kind is ResourceType.TOPIC else DYNAMIC

        def in_force(name: str) -> str:
            definition = definitions[name]
            if definition.log_field is None:
                return definition.default
            return format_value(getattr(configs.log_defaults, definition.log_field))

        return apply_operations(now, operations, definitions, in_force)

    return change
