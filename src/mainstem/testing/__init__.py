"""Doubles and helpers for tests of Mainstem, and of programs that use it.

Imported lazily: pytest loads this package's plugin in every run of every project that has
Mainstem installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainstem.testing.broker import RunningBroker, running_broker
    from mainstem.testing.clock import VirtualClock
    from mainstem.testing.faults import FaultProxy
    from mainstem.testing.filesystem import CrashFileSystem
    from mainstem.testing.raw import RawConnection
    from mainstem.testing.registry import RunningRegistry, running_registry

_LAZY = {
    "CrashFileSystem": "filesystem",
    "FaultProxy": "faults",
    "RawConnection": "raw",
    "RunningBroker": "broker",
    "RunningRegistry": "registry",
    "VirtualClock": "clock",
    "running_broker": "broker",
    "running_registry": "registry",
}

__all__ = [
    "CrashFileSystem",
    "FaultProxy",
    "RawConnection",
    "RunningBroker",
    "RunningRegistry",
    "VirtualClock",
    "running_broker",
    "running_registry",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
