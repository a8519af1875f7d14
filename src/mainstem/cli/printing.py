"""Records on standard output: values as lines, JSON objects, or a table."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow.compute as pc

_WIDEST = 60


def printer(shape: str) -> Callable[[Any], None]:
    """A function that prints a batch."""
    return {"lines": _lines, "json": _json, "table": _table}[shape]


def _lines(batch: Any) -> None:
    values = batch.column("value").fill_null(b"")
    text = pc.binary_join_element_wise(values, b"", b"\n")
    _, offsets, data = text.buffers()
    first, last = (
        int.from_bytes(offsets[at * 4 : at * 4 + 4], "little")
        for at in (text.offset, text.offset + len(text))
    )
    sys.stdout.buffer.write(data[first:last] if data is not None else b"")


def _json(batch: Any) -> None:
    encode = msgspec.json.Encoder().encode
    names = ("topic", "partition", "offset", "timestamp", "key", "headers", "value")
    lines = []
    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
        record = dict(zip(names, row, strict=True))
        record["key"] = _plain(record["key"])
        record["value"] = _value(record["value"])
        record["headers"] = [[h["key"], _plain(h["value"])] for h in record["headers"]]
        lines.append(encode(record))
    sys.stdout.buffer.write(b"\n".join(lines) + b"\n")


def _plain(data: bytes | None) -> Any:
    """Text where it is, else ``{"base64": …}``."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _value(data: bytes | None) -> Any:
    """A JSON object or array as it is, else as ``_plain``."""
    if data is not None and data[:1] in {b"{", b"["}:
        try:
            return msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
    return _plain(data)


def _table(batch: Any) -> None:
    from mainstem.cli.output import show

    columns = ["partition", "offset", "timestamp", "key", "value"]
    picked = [batch.column(f"_{name}").to_pylist() for name in columns[:-1]]
    rows = [
        [part, offset, moment.isoformat(timespec="milliseconds"), _short(key), _short(value)]
        for part, offset, moment, key, value in zip(
            *picked, batch.column("value").to_pylist(), strict=True
        )
    ]
    show(columns, rows, as_json=False)


def _short(data: bytes | None) -> str | None:
    if data is None:
        return None
    text = data.decode("utf-8", "replace")
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return printable if len(printable) <= _WIDEST else printable[: _WIDEST - 1] + "…"
