"""Live: durable fan-out of the log to web pages, over server-sent events and WebSocket.

A *dispatcher* process reads the log and knows the channels; *worker* processes own the viewers'
sockets and never talk Kafka; a small binary bus joins them. Imported at first use: a worker needs
none of the client, a node that does not serve live none of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainstem.live.entry import run
    from mainstem.live.settings import LiveSettings, from_table

__all__ = ["LiveSettings", "from_table", "run"]

_HOMES = {"LiveSettings": "settings", "from_table": "settings", "run": "entry"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
