"""Topic and broker configs: the table of what may be set, and what is in force."""

from __future__ import annotations

from mainstem.broker.configs.broker import DYNAMIC, EVERY_BROKER, BrokerConfigs
from mainstem.broker.configs.definition import ConfigType, Definition, Source, format_value
from mainstem.broker.configs.describe import (
    Described,
    describe_broker,
    describe_every_broker,
    describe_topic,
)
from mainstem.broker.configs.fixed import Fixed, fixed_configs
from mainstem.broker.configs.incremental import Operation, apply_operations
from mainstem.broker.configs.topic import TOPIC_CONFIGS, log_config, validate

__all__ = [
    "DYNAMIC",
    "EVERY_BROKER",
    "TOPIC_CONFIGS",
    "BrokerConfigs",
    "ConfigType",
    "Definition",
    "Described",
    "Fixed",
    "Operation",
    "Source",
    "apply_operations",
    "describe_broker",
    "describe_every_broker",
    "describe_topic",
    "fixed_configs",
    "format_value",
    "log_config",
    "validate",
]
