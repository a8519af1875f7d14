"""Serves Kafka's protocol from the log."""

from __future__ import annotations

from mainstem.broker.broker import Broker
from mainstem.broker.config import BrokerConfig

__all__ = ["Broker", "BrokerConfig"]
