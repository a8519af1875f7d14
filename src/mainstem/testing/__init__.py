"""Doubles and helpers for tests of Mainstem, and of programs that use it."""

from __future__ import annotations

from mainstem.testing.broker import RunningBroker, running_broker

__all__ = ["RunningBroker", "running_broker"]
