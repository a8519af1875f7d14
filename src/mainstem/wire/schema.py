"""The one place that knows `kio`: its message classes, reader and writer, by API and version.

kio imports hypothesis where that is installed (its values double as test strategies), which
costs 170 ms; the import is kept out of the way here. Classes are loaded on first use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

_blocked = [name for name in ("hypothesis", "hypothesis.strategies") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_blocked))  # type: ignore[arg-type]  # None: "not importable"
try:
    from kio.schema.errors import ErrorCode
    from kio.schema.index import api_key_map, schema_name_map
    from kio.serial import entity_writer
    from kio.static.constants import EntityType
finally:
    for _name in _blocked:
        del sys.modules[_name]

__all__ = [
    "ErrorCode",
    "api_name",
    "api_versions",
    "load",
    "newest",
    "writer",
]

Kind = Literal["request", "response"]


def api_name(api_key: int) -> str:
    """``"create_topics"`` for 19; raises ``KeyError`` for an unknown key."""
    return api_key_map[api_key]


@cache
def api_versions(api_key: int) -> tuple[int, int]:
    """Lowest and highest version known of an API."""
    versions = schema_name_map[api_key_map[api_key]]
    return min(versions), max(versions)


@cache
def load(api_key: int, version: int, kind: Kind) -> Any:
    """kio's class for one message; raises ``KeyError`` for an unknown key or version."""
    from importlib import import_module

    paths = schema_name_map[api_key_map[api_key]][version]
    path = paths[EntityType.request] if kind == "request" else paths[EntityType.response]
    module, _, name = path.partition(":")
    found = getattr(import_module(module), name)
    assert isinstance(found, type)
    return found


def newest(api_key: int, kind: Kind) -> Any:
    """The class of the highest version known of an API."""
    return load(api_key, api_versions(api_key)[1], kind)


@cache
def writer(api_key: int, version: int, kind: Kind) -> Callable[[Any, Any], None]:
    """``write(file, entity)``."""
    return entity_writer(load(api_key, version, kind))
