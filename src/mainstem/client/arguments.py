"""What callers may pass: each check names the argument and its value, and says what to give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mainstem.errors import Invalid

_LONGEST = 1e9  # seconds; beyond is a mistake, or infinity
#: What the protocol has room for: seconds as int32 milliseconds, numbers, offsets, names in bytes.
MOST_SECONDS: Final = 2_147_483
MOST_COUNT: Final = 2**31 - 1
MOST_OFFSET: Final = 2**63 - 1
_LONGEST_NAME: Final = 2**15 - 1


def check_text(name: str, value: object, *, code: int | None = None) -> None:
    """Raise ``Invalid`` unless it is text that Kafka can carry; it may be empty."""
    if not isinstance(value, str):
        raise Invalid(f"{name}={value!r} is not valid: give text", code=code)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise Invalid(f"{name}={value!r} is not valid: UTF-8 does not have it", code=code) from None
    if size > _LONGEST_NAME:
        raise Invalid(
            f"{name}={value[:20]!r}… of {size:,} bytes is not valid: "
            f"give {_LONGEST_NAME:,} at most",
            code=code,
        )


def check_count(
    name: str,
    value: object,
    *,
    least: int = 1,
    most: int = MOST_OFFSET,
    code: int | None = None,
) -> None:
    """Raise ``Invalid`` unless it is a whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise Invalid(f"{name}={value!r} is not valid: give {least} or more", code=code)
    if value > most:
        raise Invalid(f"{name}={value!r} is not valid: give {most} at most", code=code)


def check_seconds(name: str, value: object, *, zero: bool = False, most: float = _LONGEST) -> None:
    """Raise ``Invalid`` unless it is a time above zero, or zero where that is allowed."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < most or (value == 0 and not zero):  # type: ignore[operator]
        least = "seconds, zero or more" if zero else "seconds above zero"
        below = f", below {most:,.0f}" if number and value >= most else ""  # type: ignore[operator]
        raise Invalid(f"{name}={value!r} is not valid: give {least}{below}")


def check_mapping(name: str, value: object) -> None:
    """Raise ``Invalid`` unless it is a dict or the like."""
    if not isinstance(value, Mapping):
        raise Invalid(f"{name}={value!r} is not valid: give a dict")


def check_partitions(name: str, value: Any) -> list[tuple[str, int]]:
    """(topic, partition) pairs as a list. Raises ``Invalid`` for anything else."""
    try:
        found = list(value)
    except TypeError:
        found = [value]
    for pair in found:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise Invalid(f"{name} holds {pair!r}: give (topic, partition) pairs", code=3)
        check_text(f"{name}, a topic", pair[0], code=17)
        check_count(
            f"{name}, the partition of {pair[0]!r}", pair[1], least=0, most=MOST_COUNT, code=3
        )
    return found


def check_offsets(name: str, value: Any) -> None:
    """Raise ``Invalid`` unless it is offsets by (topic, partition)."""
    check_mapping(name, value)
    for (topic, index), offset in zip(check_partitions(name, value), value.values(), strict=True):
        if type(offset) is not int or not 0 <= offset <= MOST_OFFSET:
            raise Invalid(f"offset {offset!r} of {topic}-{index} is not valid: give 0 or more")


def indexes_of(name: str, value: Any) -> tuple[int, ...]:
    """Numbers of partitions as a tuple. Raises ``Invalid`` for anything else."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise Invalid(f"{name}={value!r} is not valid: give numbers in a list", code=3)
    found = tuple(value)
    for index in found:
        if type(index) is not int:
            raise Invalid(f"{name} holds {index!r}: partitions have numbers", code=3)
    return found


def names_of(name: str, value: Any) -> tuple[Any, ...]:
    """One text, or several, as a tuple. Raises ``Invalid`` for what is neither."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise Invalid(f"{name}={value!r} is not valid: give a name, or several in a list")
    return tuple(value)
