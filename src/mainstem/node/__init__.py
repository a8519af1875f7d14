"""Runs Mainstem: as a supervised server (``serve``), inside a process (``open_embedded``).

Everything here is imported at first use: a server must start fast, and a program that only
connects to one needs none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainstem.node.checkup import doctor
    from mainstem.node.embedded import Embedded, open_embedded
    from mainstem.node.serving import serve

__all__ = ["Embedded", "doctor", "open_embedded", "serve"]

_HOMES = {
    "Embedded": "embedded",
    "doctor": "checkup",
    "open_embedded": "embedded",
    "serve": "serving",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
