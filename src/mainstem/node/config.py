"""One tree of settings: TOML file < environment < flags, typed, unknown keys refused.

The tree has a few keys of the node itself and three tables: ``[broker]`` (the fields of
``BrokerConfig``), ``[log]`` (those of ``LogConfig``, the defaults of every topic) and ``[live]``
(those of ``LiveSettings``; the role runs where ``listen`` is among them). In the
environment the same names are ``MAINSTEM_KAFKA``, ``MAINSTEM_BROKER_NUM_PARTITIONS``,
``MAINSTEM_LOG_RETENTION_MS``; on the command line ``--kafka`` and
``--set broker.num_partitions=3``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from mainstem.errors import Invalid

if TYPE_CHECKING:
    from mainstem.broker import BrokerConfig

PREFIX = "MAINSTEM_"
#: Read by the command line's other commands, not settings of a node.
_OTHER_VARIABLES = frozenset({"MAINSTEM_BROKERS", "MAINSTEM_ANNOTATE"})
# Kubernetes gives every container the addresses of services called "mainstem" or "mainstem-live"
# in these names.
_KUBERNETES = re.compile(r"MAINSTEM_(LIVE_)?(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP).*)?)")
#: Set by the node itself, from its own keys.
_DERIVED = frozenset({"data", "host", "port", "advertised_host", "advertised_port", "log"})

Table = dict[str, Any]


class NodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the supervisor needs; the tables are checked where they are used."""

    data: str = "./data"
    kafka: str = "127.0.0.1:9092"
    http: str = "127.0.0.1:9093"
    #: What clients are told to connect to, where that differs from ``kafka``.
    advertise: str | None = None
    insecure: bool = False
    logging: str = "info"
    broker: Table = msgspec.field(default_factory=dict)
    log: Table = msgspec.field(default_factory=dict)
    live: Table = msgspec.field(default_factory=dict)


_KEYS = tuple(field.name for field in msgspec.structs.fields(NodeConfig))
_TABLES = ("broker", "log", "live")
LEVELS = ("debug", "info", "warning", "error")


def gather(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> NodeConfig:
    """Merges the three sources. ``flags`` may hold dotted keys; values of None are not given.

    Raises ``Invalid`` naming the source, the key and the nearest known one, or the bad value.
    """
    tree: Table = {table: {} for table in _TABLES}
    if file is not None:
        _merge(tree, _from_file(file).items(), str(file))
    _merge(tree, _from_environment(environment), "the environment")
    _merge(tree, ((k, v) for k, v in flags.items() if v is not None), "the command line")
    try:
        config = msgspec.convert(tree, NodeConfig, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"configuration: {error}") from error
    if config.logging not in LEVELS:
        raise Invalid(f"logging is {config.logging!r}: choose one of {', '.join(LEVELS)}")
    return config


def assignments(pairs: Iterable[str]) -> Table:
    """``["broker.num_partitions=3"]`` as flags for ``gather``."""
    result: Table = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise Invalid(f"--set {pair!r} has no value: write --set KEY=VALUE")
        result[key.strip()] = value.strip()
    return result


def broker_config(
    config: NodeConfig, host: str, port: int, advertised: tuple[str, int] | None
) -> BrokerConfig:
    """The broker's part, typed by its own dataclasses. Raises ``Invalid`` naming key and value.

    ``config.data`` must be absolute by now: the caller decides what it is relative to.
    """
    from mainstem.broker import BrokerConfig
    from mainstem.log import LogConfig

    advertised_host, advertised_port = advertised or (None, None)
    return BrokerConfig(
        **_typed(config.broker, BrokerConfig, "broker"),
        data=Path(config.data),
        host=host,
        port=port,
        advertised_host=advertised_host,
        advertised_port=advertised_port,
        log=LogConfig(**_typed(config.log, LogConfig, "log")),
    )


def parse_address(text: str, what: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPV6]:PORT``; raises ``Invalid`` with the text and an example."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 0xFFFF):
        raise Invalid(f"{what} address {text!r} is not HOST:PORT: write, say, 127.0.0.1:9092")
    return host, int(port)


def _from_file(file: Path) -> Table:
    import tomllib

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise Invalid(f"configuration file {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"configuration file {file} is not TOML: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name in _OTHER_VARIABLES or _KUBERNETES.fullmatch(name):
            continue
        key = name.removeprefix(PREFIX).lower()
        table, underscore, rest = key.partition("_")
        yield (f"{table}.{rest}" if underscore and table in _TABLES else key), value


def _merge(tree: Table, items: Iterable[tuple[str, Any]], source: str) -> None:
    for key, value in items:
        table, dot, name = key.partition(".")
        if dot and table in _TABLES:
            tree[table][name] = value
        elif dot or key not in _KEYS:
            raise Invalid(f"unknown key {key!r} in {source}{nearest(key, _KEYS)}")
        elif key in _TABLES:
            if not isinstance(value, dict):
                raise Invalid(f"{key!r} in {source} is {value!r}: it must be a table")
            tree[key].update(value)
        else:
            tree[key] = value


def _typed(given: Table, kind: type, table: str) -> Table:
    """The given values in the types of the dataclass ``kind``."""
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind) if field.name not in _DERIVED]
    result: Table = {}
    for key, raw in given.items():
        if key not in known:
            raise Invalid(f"unknown key '{table}.{key}'{nearest(key, known, table)}")
        value = raw
        if isinstance(raw, str) and "tuple" in str(hints[key]):
            value = [part.strip() for part in raw.split(",") if part.strip()]
        try:
            result[key] = msgspec.convert(value, hints[key], strict=False)
        except msgspec.ValidationError as error:
            raise Invalid(f"{table}.{key} is {raw!r}: {error}") from error
    return result


def nearest(key: str, known: Iterable[str], table: str = "") -> str:
    """``: did you mean 'x'?``, or what there is when nothing is near."""
    names = sorted(known)
    close = difflib.get_close_matches(key, names, 1)
    prefix = f"{table}." if table else ""
    if close:
        return f": did you mean '{prefix}{close[0]}'?"
    return f": known are {', '.join(names)}"
