"""The gateway's settings: TOML file < environment < flags, typed, unknown keys refused.

In a file the namespaces are tables; a file without any has those of ``OUT_OF_THE_BOX``::

    listen = "127.0.0.1:9094"

    [namespaces.comments]
    kind = "events"

    [access]
    …

In the environment the plain keys are ``MAINSTEM_LIVE_LISTEN`` and so on; on the command line any
key can be set as ``--set namespaces.comments.kind=events``.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from mainstem.errors import Invalid
from mainstem.live.channels import BUILT_IN, Partitioner, check_namespace

PREFIX = "MAINSTEM_LIVE_"
# Kubernetes gives every container the addresses of a service called "mainstem-live" in these.
_KUBERNETES = re.compile(r"MAINSTEM_LIVE_(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP).*)?)")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
NO_HTTP = "none"
LEVELS = ("debug", "info", "warning", "error")

Kind = Literal["events", "latest", "counter", "sample"]
Table = dict[str, Any]


class Namespace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One namespace. ``topic`` is ``live.<namespace>`` where not named.

    ``window_ms``: how often a counter or a sample speaks at most. ``top``: how many values a
    sample shows. ``partitions`` and ``config`` are for creating the topic, with ``create``;
    one partition by default, for then it does not matter how a producer hashes keys.
    ``partitioner`` says how those who write the topic do: ``murmur2`` (Java, Mainstem,
    kafka-python, aiokafka) or ``crc32`` (confluent-kafka, kcat).
    """

    kind: Kind
    topic: str | None = None
    window_ms: int = 100
    top: int = 10
    create: bool = True
    partitions: int = 1
    partitioner: Partitioner = "murmur2"
    config: dict[str, str] = {}

    def __post_init__(self) -> None:
        if not 10 <= self.window_ms <= 60_000:
            raise ValueError(f"window_ms is {self.window_ms}: choose 10 to 60000")
        if not 1 <= self.top <= 100:
            raise ValueError(f"top is {self.top}: choose 1 to 100")
        if not 1 <= self.partitions <= 1000:
            raise ValueError(f"partitions is {self.partitions}: choose 1 to 1000")


#: What is there without any configuration, for those on the same machine.
OUT_OF_THE_BOX: Mapping[str, Namespace] = {
    "comments": Namespace(kind="events"),
    "likes": Namespace(kind="counter"),
    "score": Namespace(kind="latest"),
}


class LiveSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of a gateway. Sizes in bytes, times in what the name says.

    ``workers`` 0 is two, or one on a single core. ``name`` tells this gateway from others in
    the viewer counts. ``cursor_key`` is text of 16 characters or more; without one, the cluster's
    gateways share a random one through the topic ``live._control``. ``pages`` is a directory of
    files to serve beside the channels. ``access`` and ``viewers``
    are the tables of ``mainstem.live.access`` and ``mainstem.live.viewers``.
    """

    brokers: str = "127.0.0.1:9092"
    listen: str = "127.0.0.1:9094"
    http: str = NO_HTTP
    workers: int = 0
    insecure: bool = False
    logging: str = "info"
    name: str = ""
    cursor_key: str = ""
    window_ms: float = 50.0
    heartbeat_seconds: float = 15.0
    drain_seconds: float = 5.0
    linger_seconds: float = 10.0
    worker_silence_seconds: float = 30.0
    max_connections: int = 18_000
    max_publish_bytes: int = 65_536
    ring_bytes: int = 262_144
    replay_bytes_per_second: int = 64 << 20
    cache_bytes: int = 64 << 20
    idempotency_seconds: int = 600
    checkpoint_seconds: float = 5.0
    username: str = ""
    password: str = ""
    mechanism: str = "SCRAM-SHA-256"
    tls: bool = False
    pages: str = ""
    namespaces: dict[str, Namespace] = {}
    access: Table = {}
    viewers: Table = {}

    def __post_init__(self) -> None:
        for name in self.namespaces:
            if name in BUILT_IN:
                raise ValueError(f"namespace {name!r} is built in: choose another name")
            try:
                check_namespace(name)
            except Invalid as error:
                raise ValueError(str(error)) from None
        if self.logging not in LEVELS:
            raise ValueError(f"logging is {self.logging!r}: choose one of {', '.join(LEVELS)}")
        if not 0 <= self.workers <= 64:
            raise ValueError(f"workers is {self.workers}: choose 1 to 64, or 0 for the default")
        if self.name and not _NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}: use 1 to 100 of A-Z a-z 0-9 . _ -")
        if not 1.0 <= self.worker_silence_seconds <= 3600.0:
            raise ValueError("worker_silence_seconds must be 1 to 3600")
        if self.cursor_key and len(self.cursor_key) < 16:
            raise ValueError("cursor_key is shorter than 16 characters")

    @property
    def worker_count(self) -> int:
        """Processes to run."""
        return self.workers or min(2, os.cpu_count() or 1)

    @property
    def largest_event(self) -> int:
        """Bytes of JSON one event may have: a few must fit a ring."""
        return max(1024, self.ring_bytes // 4)

    def served(self, *, on_loopback: bool) -> dict[str, Namespace]:
        """The namespaces there are: those configured, else on loopback those out of the box."""
        if self.namespaces:
            return dict(self.namespaces)
        return dict(OUT_OF_THE_BOX) if on_loopback else {}


def topic_of(name: str, namespace: Namespace) -> str:
    """The topic a namespace's events are in."""
    return namespace.topic or f"live.{name}"


def gather(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> LiveSettings:
    """Merges the three sources. ``flags`` may hold dotted keys; values of None are not given.

    Raises ``Invalid`` naming the source, the key and the nearest known one, or the bad value.
    """
    tree: Table = {}
    if file is not None:
        _merge(tree, _from_file(file), str(file))
    _merge(tree, _from_environment(environment), "the environment")
    _merge(tree, {k: v for k, v in flags.items() if v is not None}, "the command line")
    return _typed(tree)


def from_table(table: Mapping[str, Any], source: str) -> LiveSettings:
    """Settings of a table merged elsewhere, dotted keys and all. Raises ``Invalid`` likewise."""
    tree: Table = {}
    _merge(tree, table, source)
    return _typed(tree)


def _typed(tree: Table) -> LiveSettings:
    try:
        return msgspec.convert(tree, LiveSettings, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"live settings: {error}") from None


def _from_file(file: Path) -> Table:
    import tomllib

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise Invalid(f"configuration file {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"configuration file {file} is not TOML: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> Table:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and not _KUBERNETES.fullmatch(name)
    }


def _merge(tree: Table, found: Mapping[str, Any], source: str) -> None:
    for key, value in found.items():
        *parents, last = key.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise Invalid(f"{key!r} in {source}: {parent!r} is a value, not a table")
        if isinstance(value, dict) and isinstance(place.get(last), dict):
            place[last].update(value)
        else:
            place[last] = value
    _check_keys(tree, source)


def _check_keys(tree: Mapping[str, Any], source: str) -> None:
    _check(tree, _names(LiveSettings), "", source)
    namespaces = tree.get("namespaces", {})
    if not isinstance(namespaces, dict):
        raise Invalid(f"'namespaces' in {source} is {namespaces!r}: it must be a table")
    for name, table in namespaces.items():
        if not isinstance(table, dict):
            raise Invalid(f"'namespaces.{name}' in {source} is {table!r}: it must be a table")
        _check(table, _names(Namespace), f"namespaces.{name}.", source)


def _names(kind: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind)]


def _check(tree: Mapping[str, Any], known: Iterable[str], prefix: str, source: str) -> None:
    names = sorted(known)
    for key in tree:
        if key in names:
            continue
        close = difflib.get_close_matches(key, names, 1)
        hint = f"did you mean '{prefix}{close[0]}'?" if close else f"known are {', '.join(names)}"
        raise Invalid(f"unknown key '{prefix}{key}' in {source}: {hint}")
