"""Serves Kafka's protocol from the log."""

from __future__ import annotations

from mainstem.broker.broker import Broker
from mainstem.broker.config import BrokerConfig
from mainstem.broker.descriptors import raise_limit as raise_descriptor_limit

__all__ = ["Broker", "BrokerConfig", "raise_descriptor_limit"]
