"""Records on standard output: values as lines, JSON objects, or a table.

Payloads that have columns are shown as the JSON object that they are.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client import Json

_WIDEST = 60
_HEAD = ("_topic", "_partition", "_offset", "_timestamp", "_key", "_headers")


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


def _values(batch: Any) -> list[Any]:
    """Raw values, or the payload's columns as JSON text."""
    names = [name for name in batch.schema.names if name not in _HEAD]
    if names == ["value"] and pa.types.is_binary(batch.schema.field("value").type):
        return [_value(data) for data in batch.column("value").to_pylist()]
    texts = Json().encode(batch.select(names), used=frozenset())
    return [msgspec.Raw(text) for text in texts.to_pylist()]


def _json(batch: Any) -> None:
    encode = msgspec.json.Encoder().encode
    names = ("topic", "partition", "offset", "timestamp", "key", "headers", "value")
    lines = []
    heads = (batch.column(name).to_pylist() for name in _HEAD)
    for row in zip(*heads, _values(batch), strict=True):
        record: dict[str, Any] = dict(zip(names, row, strict=True))
        record["key"] = _plain(record["key"])
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
    names = [name for name in batch.schema.names if name not in _HEAD]
    values = batch.column("value") if names == ["value"] else None
    if values is None or not pa.types.is_binary(values.type):
        values = Json().encode(batch.select(names), used=frozenset())
    rows = [
        [part, offset, moment.isoformat(timespec="milliseconds"), _short(key), _short(value)]
        for part, offset, moment, key, value in zip(*picked, values.to_pylist(), strict=True)
    ]
    show(columns, rows, as_json=False)


def _short(data: bytes | None) -> str | None:
    if data is None:
        return None
    text = data.decode("utf-8", "replace")
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return printable if len(printable) <= _WIDEST else printable[: _WIDEST - 1] + "…"
