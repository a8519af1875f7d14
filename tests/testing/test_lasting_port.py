"""Ports for servers that start later, or again."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Any

import pytest

from mainstem.testing import ports
from mainstem.testing.ports import lasting_port


def test_a_port_can_be_bound_and_is_none_that_the_system_gives() -> None:
    port = lasting_port()
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not lowest <= port <= highest
    socket.create_server(("127.0.0.1", port)).close()


def test_who_asks_gets_none_that_another_has_or_that_is_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marks: list[socket.socket] = []
    monkeypatch.setattr(ports, "_marks", marks)
    port = lasting_port()

    class First(random.SystemRandom):
        def sample(self, *arguments: Any, **named: Any) -> list[int]:
            return [port, *super().sample(*arguments, **named)]

    monkeypatch.setattr(random, "SystemRandom", First)
    assert lasting_port() != port
    marks[0].close()  # as it is when its process ends
    with socket.create_server(("127.0.0.1", port)):
        assert lasting_port() != port
    assert lasting_port() == port
    for mark in marks:
        mark.close()
