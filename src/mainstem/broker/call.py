"""One request being served, as its handler sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, in which version, and the broker that answers."""

    broker: Broker
    api_version: int
    client_id: str | None = None
    client_host: str = "/127.0.0.1"
