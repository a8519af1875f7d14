"""Record batches ⇄ Arrow: the columns every part of Mainstem sees.

Decoding gives ``_offset``, ``_timestamp``, ``_key``, ``_headers`` and ``value``; encoding takes
columns of any Arrow type that holds bytes. The work is done in kernels, one call per fetched
buffer or per batch; Python here sees batches, never records.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from mainstem.errors import Corrupt, Invalid
from mainstem.kernels import (
    BatchError,
    BatchHeader,
    HeaderColumns,
    RecordColumns,
    check_crcs,
    decode_records,
    read_batches,
)
from mainstem.kernels import decode_runs as decode_into_columns
from mainstem.wire.aborted import Aborted, drop_aborted
from mainstem.wire.columns import HEADERS_TYPE
from mainstem.wire.compression import DEFAULT_LIMIT, decompress
from mainstem.wire.encoding import Squeeze, encode_batch, encode_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from typing_extensions import Buffer

    _ColumnsRun = tuple[Any, list[BatchHeader], list[Buffer | None], int, int]

__all__ = [
    "SCHEMA",
    "Decoded",
    "DecodedRuns",
    "Run",
    "RunRows",
    "Squeeze",
    "decode_batches",
    "decode_runs",
    "encode_batch",
    "encode_batches",
]

SCHEMA: Final = pa.schema(
    [
        ("_offset", pa.int64()),
        ("_timestamp", pa.timestamp("ms", tz="UTC")),
        ("_key", pa.binary()),
        ("_headers", HEADERS_TYPE),
        ("value", pa.binary()),
    ]
)
_TIMESTAMP: Final = pa.timestamp("ms", tz="UTC")
_INT64: Final = pa.int64()
_BINARY: Final = pa.binary()
_NO_HEADERS: Final = pa.array([], HEADERS_TYPE.value_type)
_HEADER_SIZE: Final = 61
_MANY_ROWS: Final = 64 << 10
_CORRUPT_MESSAGE: Final = 2
_MESSAGE_TOO_LARGE: Final = 10


class Decoded(NamedTuple):
    """Records out of a fetched buffer, and where to go on."""

    records: pa.RecordBatch
    next_offset: int
    """The first offset after all batches seen, control batches and skipped records included."""
    end: int
    """Where decoding stopped: at a batch cut off by the end, or before ``limit`` was passed."""


def decode_batches(
    data: Buffer,
    *,
    start: int = 0,
    end: int | None = None,
    from_offset: int | None = None,
    verify_crc: bool = True,
    limit: int = DEFAULT_LIMIT,
    aborted: Iterable[Aborted] = (),
) -> Decoded:
    """The records in ``data[start:end]`` at or after ``from_offset``, in Arrow columns.

    A partial batch at the end, as Fetch may return, is left out; control batches carry no
    records. Records of ``aborted`` transactions (producer id, first offset) are left out, too:
    ``data`` is the whole answer then. At most ``limit`` bytes of records (decompressed) are
    decoded: when more are there, ``end`` of the result lies before the rest and another call
    continues there. Raises ``Corrupt`` (code 2) for damaged data and ``Invalid`` (code 10) when
    a single batch is beyond ``limit``. Thread-safe while nobody writes to ``data``.
    """
    try:
        headers = read_batches(
            data, start, -1 if end is None else end, verify_crc, whole=False, dense=False
        )
        dropped = drop_aborted(data, end, aborted) if aborted else frozenset()
        return _decode(data, headers, start, from_offset or 0, limit, dropped)
    except BatchError as error:
        if error.reason == "limit":
            raise Invalid(str(error), code=_MESSAGE_TOO_LARGE) from error
        raise Corrupt(str(error), code=_CORRUPT_MESSAGE) from error


class Run(NamedTuple):
    """Record batches in one buffer, and which of their records are wanted, by offset."""

    data: Buffer
    headers: list[BatchHeader]
    from_offset: int
    to_offset: int


class RunRows(NamedTuple):
    """How many of the rows decoded are of run number ``run``, in order; ``next_offset`` is set
    where the rest of that run comes with the next rows."""

    run: int
    rows: int
    next_offset: int | None


class DecodedRuns(NamedTuple):
    """Records of several runs one after the other."""

    records: pa.RecordBatch
    parts: list[RunRows]


def decode_runs(runs: Sequence[Run], *, limit: int = DEFAULT_LIMIT) -> Iterator[DecodedRuns]:
    """The records of all runs in Arrow columns, together, CRCs checked.

    Where they are more than ``limit`` bytes (decompressed), in several steps of up to that much.
    Raises ``Corrupt`` and ``Invalid`` as ``decode_batches`` does. Thread-safe while nobody
    writes to the buffers.
    """
    try:
        yield from _decode_runs(runs, limit)
    except BatchError as error:
        if error.reason == "limit":
            raise Invalid(str(error), code=_MESSAGE_TOO_LARGE) from error
        raise Corrupt(str(error), code=_CORRUPT_MESSAGE) from error


def _decode_runs(runs: Sequence[Run], limit: int) -> Iterator[DecodedRuns]:
    numbers: list[int] = []
    wanted: list[_ColumnsRun] = []
    used = 0
    for number, run in enumerate(runs):
        check_crcs(run.data, run.headers)
        begin = 0
        bodies: list[Buffer | None] = []
        for at, header in enumerate(run.headers):
            size, body = _body(run.data, header, limit - used, first=not used)
            if size < 0:
                numbers.append(number)
                wanted.append((run.data, run.headers[begin:at], bodies, *run[2:]))
                yield _together(numbers, wanted, header.base_offset)
                numbers, wanted, bodies, begin, used = [], [], [], at, 0
                size, body = _body(run.data, header, limit, first=True)
            bodies.append(body)
            used += size
        numbers.append(number)
        wanted.append((run.data, run.headers[begin:], bodies, *run[2:]))
    yield _together(numbers, wanted, None)


def _together(
    numbers: list[int], wanted: list[_ColumnsRun], next_offset: int | None
) -> DecodedRuns:
    columns, rows = decode_into_columns(wanted)
    parts = [RunRows(number, count, None) for number, count in zip(numbers, rows, strict=True)]
    parts[-1] = parts[-1]._replace(next_offset=next_offset)
    return DecodedRuns(_record_batch(columns), parts)


def _decode(
    data: Buffer,
    headers: list[BatchHeader],
    start: int,
    from_offset: int,
    limit: int,
    dropped: frozenset[int],
) -> Decoded:
    wanted: list[BatchHeader] = []
    bodies: list[Buffer | None] = []
    next_offset, position, used = from_offset, start, 0
    for header in headers:
        hidden = header.control or header.position in dropped
        if not hidden and header.last_offset >= from_offset:
            size, body = _body(data, header, limit - used, first=not wanted)
            if size < 0:
                break
            wanted.append(header)
            bodies.append(body)
            used += size
        next_offset = max(next_offset, header.last_offset + 1)
        position = header.position + header.size
    columns = decode_records(data, wanted, bodies, from_offset)
    return Decoded(_record_batch(columns), next_offset, position)


def _body(
    data: Buffer, header: BatchHeader, limit: int, *, first: bool
) -> tuple[int, Buffer | None]:
    """Size of one batch's records and, where compressed, the records; -1 when over ``limit``."""
    size = header.size - _HEADER_SIZE
    try:
        if header.codec == 0:
            if size > limit:
                raise BatchError(f"{size} bytes of records are over {limit}", "limit", 0)
            return size, None
        compressed = memoryview(data).cast("B")[header.position + _HEADER_SIZE :][:size]
        body = decompress(header.codec, compressed, limit=limit)
        return memoryview(body).nbytes, body
    except BatchError as error:
        if error.reason == "limit" and not first:
            return -1, None
        message = f"record batch at byte {header.position}, offset {header.base_offset}: {error}"
        raise BatchError(message, error.reason, header.position) from error


def _record_batch(columns: RecordColumns) -> pa.RecordBatch:
    count = columns.count
    build = pa.Array.from_buffers
    arrays = [
        build(_INT64, count, [None, pa.py_buffer(columns.offsets)], 0),
        build(_TIMESTAMP, count, [None, pa.py_buffer(columns.timestamps)], 0),
        _binary_array(
            columns.key_offsets, columns.keys, columns.key_validity, columns.key_nulls, count
        ),
        _headers_array(columns.headers, count),
        _binary_array(
            columns.value_offsets,
            columns.values,
            columns.value_validity,
            columns.value_nulls,
            count,
        ),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _binary_array(offsets: Buffer, data: Buffer, validity: Buffer, nulls: int, count: int) -> Any:
    bitmap = pa.py_buffer(validity) if nulls else None
    buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(_BINARY, count, buffers, nulls)


def _headers_array(headers: HeaderColumns | None, count: int) -> Any:
    if headers is None:
        return _none_of_many().slice(0, count) if count <= _MANY_ROWS else _no_headers(count)
    total = headers.count
    buffers = [None, pa.py_buffer(headers.key_offsets), pa.py_buffer(headers.keys)]
    keys = pa.Array.from_buffers(pa.string(), total, buffers, 0)
    if not headers.ascii_keys:
        keys = _valid_text(keys)
    values = _binary_array(
        headers.value_offsets, headers.values, headers.value_validity, headers.value_nulls, total
    )
    pairs = pa.Array.from_buffers(
        HEADERS_TYPE.value_type, total, [None], 0, children=[keys, values]
    )
    buffers = [None, pa.py_buffer(headers.offsets)]
    return pa.Array.from_buffers(HEADERS_TYPE, count, buffers, 0, children=[pairs])


@lru_cache(maxsize=1)
def _none_of_many() -> Any:
    return _no_headers(_MANY_ROWS)


def _no_headers(count: int) -> Any:
    """An empty list for each row."""
    zeros = pa.py_buffer(bytes(4 * (count + 1)))
    return pa.Array.from_buffers(HEADERS_TYPE, count, [None, zeros], 0, children=[_NO_HEADERS])


def _valid_text(keys: Any) -> Any:
    """Header keys as UTF-8, with U+FFFD for what is not, as Java's client reads them."""
    try:
        keys.validate(full=True)
    except pa.ArrowInvalid:
        raw = keys.view(pa.binary()).to_pylist()
        return pa.array([key.decode("utf-8", "replace") for key in raw], pa.string())
    return keys
