"""Arrow IPC messages from strangers: looked at before Arrow reads them.

Arrow's reader checks the structure, and ``validate`` the values. What they do not bound is
memory: a compressed buffer says itself how large it will be, and rows without buffers are free.
Format: https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
"""

from __future__ import annotations

import struct
from typing import Any, Final

import pyarrow as pa
from pyarrow import ipc

from mainstem.errors import Corrupt

_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
# Fields of the tables Message, DictionaryBatch and RecordBatch, in Message.fbs' order.
_HEADER_TYPE, _HEADER = 1, 2
_DATA: Final = 1
_COMPRESSION: Final = 3
_MOST_MESSAGES: Final = 4096
_ENDS: Final = (b"\xff\xff\xff\xff\0\0\0\0", b"\0\0\0\0", b"")


def read_rows(value: bytes) -> Any:
    """The one ``pa.RecordBatch`` that a record's value holds, checked in full.

    ``value`` is an IPC stream of a schema, dictionaries if there are any, and a batch. Raises
    ``Corrupt``.
    """
    try:
        batch = _read(pa.py_buffer(value))
        batch.validate(full=True)
        _check_names(batch.schema)
    except (pa.ArrowException, OSError, EOFError, ValueError, IndexError, struct.error) as error:
        raise Corrupt(f"it is not an Arrow message: {error}") from error
    if batch.num_rows > len(value):
        raise Corrupt(f"it has {batch.num_rows} rows, more than its {len(value)} bytes may have")
    return batch


def _read(value: Any) -> Any:
    source = pa.BufferReader(value)
    kinds: list[int] = []
    rest = value
    while not _is_end(rest):
        if len(kinds) >= _MOST_MESSAGES:
            raise Corrupt(f"it has more than {_MOST_MESSAGES} messages")
        message = ipc.read_message(source)
        kinds.append(_check(message.metadata))
        # Arrow takes buffers as they lie, and lets its loops believe that they lie well.
        if message.body is not None and message.body.size and message.body.address % 8:
            raise Corrupt("its buffers do not begin at multiples of eight bytes")
        rest = value.slice(source.tell())
    if kinds[:1] != [_SCHEMA] or kinds[-1] != _BATCH or set(kinds[1:-1]) - {_DICTIONARY}:
        raise Corrupt("it is not one batch of rows with its schema before it")
    with ipc.open_stream(value) as stream:
        return stream.read_next_batch()


def _check_names(fields: Any) -> None:
    """Names, unlike values, are not validated: those that are no text fail when they are asked."""
    for field in fields:
        kind, _ = field.type, field.name
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_timestamp(kind):
            _ = kind.tz
        _check_names([kind.field(at) for at in range(kind.num_fields)])


def _is_end(rest: Any) -> bool:
    return rest.size <= len(_ENDS[0]) and rest.to_pybytes() in _ENDS


def _check(metadata: Any) -> int:
    """The kind of a message. Raises ``Corrupt`` where its body is compressed."""
    data = memoryview(metadata)
    message = _indirect(data, 0)
    place = _field(data, message, _HEADER_TYPE)
    kind = 0 if place is None else data[place]
    header = _field(data, message, _HEADER)
    if kind not in (_SCHEMA, _DICTIONARY, _BATCH) or header is None:
        raise Corrupt(f"an Arrow message of type {kind} has no place in a record")
    table: int | None = _indirect(data, header)
    if kind == _DICTIONARY:
        assert table is not None
        inner = _field(data, table, _DATA)
        table = None if inner is None else _indirect(data, inner)
    if kind != _SCHEMA and table is not None and _field(data, table, _COMPRESSION) is not None:
        raise Corrupt("its buffers are compressed: leave that to compression=… of the topic")
    return kind


# Flat buffers: https://flatbuffers.dev/internals. A table begins with the distance to its list
# of fields' places. ``struct`` raises where an offset points outside.


def _indirect(data: memoryview, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field(data: memoryview, table: int, number: int) -> int | None:
    """Where a table's field is, ``None`` where it has not got it."""
    listed = table - int(struct.unpack_from("<i", data, table)[0])
    if listed < 0:
        raise ValueError("a table's fields are before the message")
    size = struct.unpack_from("<H", data, listed)[0]
    entry = 4 + 2 * number
    if entry + 2 > size:
        return None
    offset = struct.unpack_from("<H", data, listed + entry)[0]
    return table + offset if offset else None
