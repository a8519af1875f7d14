"""What callers give, checked where it comes in: the message says what it was and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any, Final

from mainstem.errors import Invalid
from mainstem.lsm.options import FOLDS

_OPERATIONS: Final = ", ".join(dict.fromkeys(operation for operation, _ in FOLDS))
_NAME_BYTES: Final = 255
_LARGEST: Final = (1 << 63) - 1


def check_bytes(value: Any, what: str) -> None:
    """Raises ``Invalid`` for what is not ``bytes`` (or a view of them)."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise Invalid(
            f"{what} must be bytes, not {value!r}: encode it (text: .encode(); numbers and times: "
            "mainstem.lsm.encode_key)"
        )


def check_bound(value: Any, what: str) -> None:
    """As :func:`check_bytes`; ``None`` is no bound."""
    if value is not None:
        check_bytes(value, what)


def check_limit(limit: Any, batch_rows: Any) -> None:
    """Raises ``Invalid`` for what cannot count rows."""
    if limit is not None and (type(limit) is not int or limit < 0):
        raise Invalid(f"limit={limit!r} is no number of rows: give 0 or more, or None for all")
    if type(batch_rows) is not int or batch_rows < 1:
        raise Invalid(f"batches of {batch_rows!r} rows: ask for at least one")


def check_name(name: Any) -> None:
    """Raises ``Invalid`` for what cannot name a family."""
    if not isinstance(name, str) or not 0 < len(name.encode(errors="replace")) <= _NAME_BYTES:
        raise Invalid(f"a family cannot be called {name!r}: its name is text of 1 to 255 bytes")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"a family cannot be called {name!r}: {error.reason}") from error


def check_position(position: Any) -> None:
    """Raises ``Invalid`` for a position that a log could not keep."""
    if position is None:
        return
    if not isinstance(position, Mapping):
        raise Invalid(f"a position is a dict of names and whole numbers, not {position!r}")
    for name, number in position.items():
        if not isinstance(name, str) or type(number) is not int or abs(number) > _LARGEST:
            raise Invalid(
                f"a position has whole numbers of 64 bits by name, not {name!r}: {number!r}"
            )


def check_operations(ops: Any, columns: int) -> None:
    """Raises ``Invalid`` unless ``ops`` names an operation for each of ``columns``."""
    if isinstance(ops, str) or not isinstance(ops, Sequence):
        raise Invalid(f"ops={ops!r}: give a list, an operation for each column: {_OPERATIONS}")
    if len(ops) != columns or not columns:
        raise Invalid(f"{columns} columns need as many operations, not {len(ops)}")
    for operation in ops:
        if not any(operation == known for known, _ in FOLDS):
            raise Invalid(f"there is no operation {operation!r}: there are {_OPERATIONS}")


def path_of(path: str | PathLike[str], what: str = "a store") -> str:
    """``path`` as text. Raises ``Invalid`` for what is none."""
    try:
        text: Any = fspath(path)
    except TypeError as error:
        raise Invalid(f"{what} lies at a path, not at {path!r}") from error
    if not isinstance(text, str) or not text or "\0" in text:
        raise Invalid(f"{what} cannot lie at {path!r}: give a path as text")
    return text.rstrip("/") or "/"
