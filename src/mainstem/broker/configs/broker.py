"""Broker configs: what this node was started with, and the topic defaults that may change."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Mapping

from mainstem.broker.config import BrokerConfig
from mainstem.broker.configs.definition import (
    INVALID_CONFIG,
    Definition,
    Source,
    format_value,
    nearest,
)
from mainstem.broker.configs.fixed import fixed_configs
from mainstem.broker.configs.topic import TOPIC_CONFIGS
from mainstem.broker.store import Store
from mainstem.errors import Invalid
from mainstem.log import LogConfig

INVALID_REQUEST = 42
#: Kafka's name for "every broker": dynamic defaults, source 3.
EVERY_BROKER = ""

_TABLES = """
CREATE TABLE IF NOT EXISTS broker_configs (
    broker TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (broker, name)
) WITHOUT ROWID
"""

#: Broker configs that may change while running: defaults of topic configs that have an effect.
DYNAMIC: dict[str, Definition] = {
    entry.broker_name: entry
    for entry in TOPIC_CONFIGS.values()
    if entry.broker_name is not None and entry.log_field is not None
}


class BrokerConfigs:
    """What is in force on this broker. Belongs to the event loop's thread."""

    def __init__(self, store: Store, config: BrokerConfig) -> None:
        self._store = store
        self._config = config
        store.schema(_TABLES)
        self._dynamic: dict[str, dict[str, str]] = {EVERY_BROKER: {}, str(config.node_id): {}}
        for broker, name, value in store.read(_load):
            self._dynamic.setdefault(broker, {})[name] = value
        self._log_defaults = self._compute()

    @property
    def log_defaults(self) -> LogConfig:
        """What a topic without overrides is stored with."""
        return self._log_defaults

    def dynamic(self, broker: str) -> dict[str, str]:
        """What was set at run time for ``EVERY_BROKER`` or this node's id, as text."""
        return dict(self._dynamic.get(broker, {}))

    def validate(self, configs: Mapping[str, str | None]) -> dict[str, str]:
        """Checks dynamic configs; raises ``Invalid`` (40, or 42 for what cannot change)."""
        for name, text in configs.items():
            definition = DYNAMIC.get(name)
            if definition is None:
                raise self._refuse(name)
            definition.parse(text)
        return {name: text for name, text in configs.items() if text is not None}

    async def alter(self, broker: str, configs: Mapping[str, str]) -> None:
        """Replaces the dynamic configs of ``EVERY_BROKER`` or of this node, durably."""
        rows = [(broker, name, value) for name, value in self.validate(configs).items()]

        def save(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM broker_configs WHERE broker = ?", (broker,))
            connection.executemany("INSERT INTO broker_configs VALUES (?, ?, ?)", rows)

        await self._store.write(save)
        self._dynamic[broker] = dict(configs)
        self._log_defaults = self._compute()

    def default_chain(self, broker_name: str) -> list[tuple[str, str, Source]]:
        """A dynamic broker config's values, strongest first: (name, value, source)."""
        definition = DYNAMIC[broker_name]
        chain = []
        for broker, source in (
            (str(self._config.node_id), Source.DYNAMIC_BROKER),
            (EVERY_BROKER, Source.DYNAMIC_DEFAULT_BROKER),
        ):
            if (text := self._dynamic[broker].get(broker_name)) is not None:
                chain.append((broker_name, text, source))
        assert definition.log_field is not None
        started_with = format_value(getattr(self._config.log, definition.log_field))
        if started_with != definition.default:
            chain.append((broker_name, started_with, Source.STATIC_BROKER))
        chain.append((broker_name, definition.default, Source.DEFAULT))
        return chain

    def _compute(self) -> LogConfig:
        changes = {}
        # The node's own value rules over the one for every broker (KIP-226).
        for broker in (EVERY_BROKER, str(self._config.node_id)):
            for name, text in self._dynamic[broker].items():
                definition = DYNAMIC.get(name)
                if definition is not None and definition.log_field is not None:
                    changes[definition.log_field] = definition.parse(text)
        return dataclasses.replace(self._config.log, **changes)

    def _refuse(self, name: str) -> Invalid:
        if any(entry.name == name for entry in fixed_configs(self._config)):
            return Invalid(
                f"Cannot update these configs dynamically: {name}: set it where the broker is "
                "started",
                code=INVALID_REQUEST,
            )
        return Invalid(
            f"Unknown broker config name: {name}{nearest(name, DYNAMIC)}", code=INVALID_CONFIG
        )


def _load(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    return connection.execute("SELECT broker, name, value FROM broker_configs").fetchall()
