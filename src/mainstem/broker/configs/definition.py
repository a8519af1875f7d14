"""One config as Kafka's ConfigDef has it: name, type, default, what is allowed, what it does."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from mainstem.errors import Invalid

INVALID_CONFIG = 40
LONG_MAX = 2**63 - 1

#: Says what is wrong with a parsed value, or ``None`` when it is fine.
Check = Callable[[Any], str | None]


class ConfigType(IntEnum):
    """``config_type`` in DescribeConfigs responses (KIP-569)."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


class Source(IntEnum):
    """``config_source`` in DescribeConfigs and CreateTopics responses."""

    TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5


@dataclass(frozen=True, slots=True)
class Definition:
    """A config that may be given; ``default`` is Kafka's, as text.

    ``log_field`` is the field of ``LogConfig`` it sets, ``None`` if it has no effect there;
    ``broker_name`` is the broker config that gives its default, where there is one.
    """

    name: str
    type: ConfigType
    default: str
    documentation: str
    check: Check | None = None
    log_field: str | None = None
    broker_name: str | None = None

    def parse(self, text: str | None) -> Any:
        """The typed value; raises ``Invalid`` (40) saying what is wrong with it."""
        if text is None:
            raise Invalid(
                f"{self.name} must have a value: give one, or delete the config to get its default",
                code=INVALID_CONFIG,
            )
        try:
            value = _PARSERS[self.type](text.strip())
        except ValueError as error:
            raise self._invalid(text, str(error)) from None
        if (problem := self.check(value) if self.check is not None else None) is not None:
            raise self._invalid(text, problem)
        return value

    def _invalid(self, text: str, problem: str) -> Invalid:
        return Invalid(
            f"Invalid value {text!r} for configuration {self.name}: {problem}", code=INVALID_CONFIG
        )


def format_value(value: Any) -> str:
    """A typed value as Kafka writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ",".join(value)
    return str(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """``" (did you mean retention.ms?)"``, or nothing when none is near."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""


# --- checks ----------------------------------------------------------------------------------


def at_least(low: float) -> Check:
    return lambda value: f"must be at least {low}" if value < low else None


def between(low: float, high: float) -> Check:
    return lambda value: None if low <= value <= high else f"must be between {low} and {high}"


def one_of(*allowed: str) -> Check:
    return lambda value: None if value in allowed else f"must be one of {', '.join(allowed)}"


def each_of(*allowed: str) -> Check:
    """For lists: at least one entry, all known, none twice."""

    def check(values: tuple[str, ...]) -> str | None:
        if values and set(values) <= set(allowed) and len(set(values)) == len(values):
            return None
        return f"must be a list of {', '.join(allowed)}, each at most once"

    return check


def only(value: Any, why: str) -> Check:
    """Other values would promise something that does not happen here."""
    return lambda given: None if given == value else f"only {format_value(value)} works here: {why}"


# --- parsers, as ConfigDef.parseType ----------------------------------------------------------


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("expected true or false")
    return text.lower() == "true"


def _integer(bits: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # Java's parseInt: ASCII digits and a sign, no underscores or spaces.
        if not text.isascii() or not text.lstrip("+-").isdigit() or len(text) > 20:
            raise ValueError(f"not a whole number of {bits} bits")
        value = int(text)
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise ValueError(f"not a whole number of {bits} bits")
        return value

    return parse


def _double(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("not a number") from None


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


_PARSERS: dict[ConfigType, Callable[[str], Any]] = {
    ConfigType.BOOLEAN: _boolean,
    ConfigType.STRING: str,
    ConfigType.INT: _integer(32),
    ConfigType.SHORT: _integer(16),
    ConfigType.LONG: _integer(64),
    ConfigType.DOUBLE: _double,
    ConfigType.LIST: _list,
    ConfigType.CLASS: str,
    ConfigType.PASSWORD: str,
}
