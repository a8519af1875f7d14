"""Settings as Kafka has them: of a topic, of one broker, of all brokers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mainstem.client.arguments import MOST_COUNT, check_count, check_mapping, check_text
from mainstem.client.cluster import Cluster, raise_for
from mainstem.client.retry import Deadline
from mainstem.errors import Invalid
from mainstem.wire import Message

DESCRIBE_CONFIGS, INCREMENTAL_ALTER_CONFIGS = 32, 44
TOPIC: Final = 2
BROKER: Final = 4
_SET, _RESET = 0, 1
_SOURCES = {
    1: "topic", 2: "broker", 3: "brokers", 4: "broker file", 5: "default", 6: "logger",
    7: "client metrics", 8: "group",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """One configuration entry; ``source`` says where the value comes from, as ``"topic"``."""

    name: str
    value: str | None
    source: str
    read_only: bool = False
    documentation: str | None = None


def text(value: Any) -> str:
    """A setting's value as Kafka writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def check_settings(config: Mapping[str, Any]) -> None:
    """Raise ``Invalid`` unless it is a dict of settings by their names."""
    check_mapping("config", config)
    for name in config:
        check_text("config, a name", name, code=40)


def question(kind: int, name: str, keys: list[str] | None = None) -> Message:
    """What asks for all settings of a resource, or for these."""
    resource = Message(resource_type=kind, resource_name=name, configuration_keys=keys)
    return Message(resources=[resource], include_synonyms=False, include_documentation=True)


def change(kind: int, name: str, config: Mapping[str, Any]) -> Message:
    """What changes these settings of a resource; ``None`` puts one back (KIP-339)."""
    configs = [
        Message(
            name=key,
            config_operation=_RESET if value is None else _SET,
            value=None if value is None else text(value),
        )
        for key, value in config.items()
    ]
    resource = Message(resource_type=kind, resource_name=name, configs=configs)
    return Message(resources=[resource], validate_only=False)


def answered(result: Message) -> list[Setting]:
    """The settings in an answer, sorted by name."""
    found = (
        Setting(
            entry.name,
            entry.value,
            _SOURCES.get(int(entry.config_source), "unknown"),
            bool(entry.read_only),
            entry.documentation,
        )
        for entry in result.configs
    )
    return sorted(found, key=lambda setting: setting.name)


class BrokerSettings:
    """Of one broker, or those that all have in common. Belongs to the client's event loop."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def get(self, broker: int | None) -> list[Setting]:
        """All of a broker's; with ``None`` those that were set for all."""
        result = await self._ask(broker, DESCRIBE_CONFIGS, question(BROKER, _name(broker)))
        return answered(result)

    async def alter(self, broker: int | None, config: Mapping[str, Any]) -> None:
        """Change them without a restart. Raises ``Invalid`` for one that needs one."""
        check_settings(config)
        message = change(BROKER, _name(broker), config)
        await self._ask(broker, INCREMENTAL_ALTER_CONFIGS, message)

    async def _ask(self, broker: int | None, api_key: int, message: Message) -> Message:
        """One broker's are its own to tell and to change."""
        if broker is not None:
            check_count("broker", broker, least=0, most=MOST_COUNT)
        subject = "settings of all brokers" if broker is None else f"settings of broker {broker}"

        async def attempt(deadline: Deadline) -> Message:
            if broker is None:
                answer = await self._cluster.ask_controller(api_key, message, deadline)
            else:
                await self._cluster.refresh([], deadline)
                nodes = self._cluster.metadata.nodes
                if broker not in nodes:
                    known = ", ".join(map(str, sorted(nodes)))
                    raise Invalid(f"there is no broker {broker}: there are {known}")
                answer = await self._cluster.call(api_key, message, deadline, node=broker)
            (result,) = answer.results if api_key == DESCRIBE_CONFIGS else answer.responses
            raise_for(int(result.error_code), subject, result.error_message)
            return result  # type: ignore[no-any-return]  # messages are dynamic

        return await self._cluster.retrying(attempt)


def _name(broker: int | None) -> str:
    return "" if broker is None else str(broker)
