"""Apache Kafka's Java clients, beyond what all clients share (interop/java/*Checks.java)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from interop.clients import Client
from interop.clients.java import Adapter
from interop.kafka import JAVA_SOURCES

CHECKS = [
    check
    for source in ("AdminChecks", "GroupChecks", "ClientChecks")
    for check in re.findall(r'checks\.put\("(\w+)"', (JAVA_SOURCES / f"{source}.java").read_text())
]


@pytest.fixture
def java(connect: Callable[[str], Client]) -> Adapter:
    client = connect("java")
    assert isinstance(client, Adapter)
    return client


def test_every_check_is_run(java: Adapter) -> None:
    assert java.jvm.call("checks") == CHECKS


@pytest.mark.parametrize("check", CHECKS)
def test_java_client(java: Adapter, check: str) -> None:
    java.jvm.call("check", name=check)
