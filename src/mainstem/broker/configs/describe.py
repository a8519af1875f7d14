"""What is in force, with where each value comes from, as DescribeConfigs shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mainstem.broker.config import BrokerConfig
from mainstem.broker.configs.broker import DYNAMIC, EVERY_BROKER, BrokerConfigs
from mainstem.broker.configs.definition import ConfigType, Definition, Source
from mainstem.broker.configs.fixed import fixed_configs
from mainstem.broker.configs.topic import TOPIC_CONFIGS

#: ``(name, value, source)``, the strongest first.
Synonym = tuple[str, str, Source]


@dataclass(frozen=True, slots=True)
class Described:
    """One config in force; ``synonyms`` are all the places that give it a value."""

    name: str
    value: str
    source: Source
    type: ConfigType
    read_only: bool
    documentation: str
    synonyms: list[Synonym]


def describe_topic(overrides: Mapping[str, str], broker: BrokerConfigs) -> list[Described]:
    """Every topic config, for a topic with these overrides."""
    return [
        _described(definition, _topic_chain(definition, overrides, broker))
        for definition in TOPIC_CONFIGS.values()
    ]


def _topic_chain(
    definition: Definition, overrides: Mapping[str, str], broker: BrokerConfigs
) -> list[Synonym]:
    chain: list[Synonym] = []
    if (text := overrides.get(definition.name)) is not None:
        chain.append((definition.name, text, Source.TOPIC))
    if definition.broker_name in DYNAMIC:
        return chain + broker.default_chain(definition.broker_name)
    chain.append((definition.broker_name or definition.name, definition.default, Source.DEFAULT))
    return chain


def describe_broker(
    broker: BrokerConfigs,
    config: BrokerConfig,
    address: tuple[str, int],
    advertised: tuple[str, int],
) -> list[Described]:
    """Every broker config of this node, which listens at ``address``."""
    described = [
        _described(definition, broker.default_chain(name), name)
        for name, definition in DYNAMIC.items()
    ]
    for fixed in fixed_configs(config, address, advertised):
        chain: list[Synonym] = [(fixed.name, fixed.default, Source.DEFAULT)]
        if fixed.value != fixed.default:
            chain.insert(0, (fixed.name, fixed.value, Source.STATIC_BROKER))
        name, value, source = chain[0]
        described.append(
            Described(name, value, source, fixed.type, True, fixed.documentation, chain)
        )
    return described


def describe_every_broker(broker: BrokerConfigs) -> list[Described]:
    """What was set at run time for all brokers (Kafka's resource name ``""``)."""
    return [
        _described(DYNAMIC[name], [(name, text, Source.DYNAMIC_DEFAULT_BROKER)], name)
        for name, text in broker.dynamic(EVERY_BROKER).items()
        if name in DYNAMIC
    ]


def _described(definition: Definition, chain: list[Synonym], name: str | None = None) -> Described:
    _name, value, source = chain[0]
    return Described(
        name or definition.name,
        value,
        source,
        definition.type,
        False,
        definition.documentation,
        chain,
    )
