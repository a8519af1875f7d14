"""Files and standard input as tables to append."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa

from mainstem.client import Format, Json, Raw, unknown_column
from mainstem.errors import Corrupt, Invalid

_CHUNK = 4 << 20
_LONGEST_LINE = 256 << 20


@dataclass(frozen=True, slots=True)
class Tables:
    """``tables`` yields tables and the bytes of the file each stands for; ``size`` is all."""

    tables: Iterator[tuple[Any, int]]
    format: Format
    key: str | None
    timestamp: str | None
    size: int | None


@contextmanager
def open_source(
    name: str,
    kind: str,
    key: str | None,
    timestamp: str | None,
    payload: Format | None = None,
    wanted: Any = None,
) -> Iterator[Tables]:
    """The file, or standard input for ``-``. Raises ``Invalid`` naming the place of bad data.

    ``wanted`` is a ``pa.Schema`` of what the payload takes, where that is known: text is read so.
    """
    if name == "-":
        stream: IO[bytes] = sys.stdin.buffer
        yield _tables(stream, kind, key, timestamp, None, payload, wanted)
        return
    with open(name, "rb") as stream:  # noqa: PTH123 - any path, as the shell gave it
        size = os.fstat(stream.fileno()).st_size
        yield _tables(stream, kind, key, timestamp, size, payload, wanted)


def _tables(
    stream: IO[bytes],
    kind: str,
    key: str | None,
    timestamp: str | None,
    size: int | None,
    payload: Format | None,
    wanted: Any,
) -> Tables:
    if kind == "lines":
        return Tables(_lines(stream), Raw(), None, None, size)
    if kind == "json":
        found = _json(stream, key, timestamp, rows=payload is not None, wanted=wanted)
        return Tables(found, payload or Raw(), key and "_key", timestamp and "_timestamp", size)
    if kind == "csv":
        return Tables(_csv(stream, size, wanted), payload or Json(), key, timestamp, size)
    read = {"parquet": _parquet, "arrow": _arrow}[kind]
    return Tables(read(stream, size), payload or Json(), key, timestamp, size)


def _chunks(stream: IO[bytes]) -> Iterator[tuple[list[bytes], int]]:
    """Whole lines as soon as they arrive."""
    rest = b""
    while data := stream.read1(_CHUNK):  # type: ignore[attr-defined]  # binary streams have it
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        if len(rest) > _LONGEST_LINE:
            raise Invalid(f"a line is longer than {_LONGEST_LINE >> 20} MiB: is this text?")
        yield lines, len(data)
    if rest:
        yield [rest], 0


def _lines(stream: IO[bytes]) -> Iterator[tuple[Any, int]]:
    for lines, size in _chunks(stream):
        if lines:
            yield pa.table({"value": pa.array(lines, pa.binary())}), size


def _json(
    stream: IO[bytes], key: str | None, timestamp: str | None, *, rows: bool, wanted: Any
) -> Iterator[tuple[Any, int]]:
    """Values stay the bytes they are; they are parsed to be checked, and for key and time.

    With ``rows`` the members are columns, for another payload, of the types ``wanted``.
    """
    decode = Json().decoder()
    number = 0
    for lines, size in _chunks(stream):
        filled = [line for line in lines if line.strip()]
        numbers = [number + at for at, line in enumerate(lines, 1) if line.strip()]
        number += len(lines)
        if not filled:
            continue
        values = pa.array(filled, pa.binary())
        try:
            members = decode(values, lambda row, numbers=numbers: f"line {numbers[row]}")  # type: ignore[misc]
        except Corrupt as error:
            raise Invalid(f"{error}: fix it, or use --format lines", code=error.code) from error
        columns: dict[str, Any] = {"value": values}
        if rows:
            columns = dict(members)
        if wanted is not None:
            columns = _as_wanted(values, members, wanted, {key, timestamp}, numbers)
        for name, place in ((key, "_key"), (timestamp, "_timestamp")):
            if name is not None:
                if name not in members:
                    raise unknown_column(name, list(members))
                columns[place] = members[name]
                if place == "_timestamp" and pa.types.is_string(members[name].type):
                    columns[place] = _moments(values, name, members[name], numbers)
        if not columns:
            raise Invalid(f"line {numbers[0]}: an object without members is no row")
        yield pa.table(columns), size


def _as_wanted(
    values: Any, members: dict[str, Any], wanted: Any, used: set[str | None], numbers: list[int]
) -> dict[str, Any]:
    """Members of the types wanted; one that is not is left for the payload to refuse by name."""
    known = pa.schema([field for field in wanted if field.name in members])
    more = {
        name: column
        for name, column in members.items()
        if name not in known.names and name not in used
    }
    try:
        found = Json(known).decoder()(values, lambda row: f"line {numbers[row]}")
    except Corrupt as error:
        raise Invalid(f"{error}: the schema of the topic wants another", code=error.code) from error
    return dict(found) | more


def _moments(values: Any, name: str, texts: Any, numbers: list[int]) -> Any:
    """ISO 8601 text as moments: with a zone, or all without one, which is then UTC."""
    zone = None if texts.null_count < len(texts) and not _zoned(texts) else "UTC"
    schema = pa.schema([(name, pa.timestamp("us", zone))])
    try:
        found = Json(schema).decoder()(values, lambda row: f"line {numbers[row]}")
    except Corrupt as error:
        raise Invalid(f"{error}: --timestamp needs times such as 2026-01-31T12:00:00Z") from error
    return found[name].cast(pa.timestamp("us", "UTC"))


def _zoned(texts: Any) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring_regex(texts, r"([Zz]|[+-]\d{2}:?\d{2})$")).as_py())


def _csv(stream: IO[bytes], size: int | None, wanted: Any) -> Iterator[tuple[Any, int]]:
    from pyarrow import csv

    types = {field.name: field.type for field in wanted or () if _in_text(field.type)}
    try:
        reader = csv.open_csv(
            stream,
            read_options=csv.ReadOptions(block_size=_CHUNK),
            convert_options=csv.ConvertOptions(column_types=types),
        )
        for batch in reader:
            yield batch, min(_CHUNK, size or 0)
    except pa.ArrowInvalid as error:
        raise Invalid(f"this is not CSV with a header line and steady types: {error}") from error


def _in_text(kind: Any) -> bool:
    """Whether CSV can be read as this type; an enum is text there."""
    tests = (
        pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string,
        pa.types.is_binary, pa.types.is_date, pa.types.is_time, pa.types.is_timestamp,
        pa.types.is_decimal128,
    )  # fmt: skip
    return any(test(kind) for test in tests)


def _parquet(stream: IO[bytes], size: int | None) -> Iterator[tuple[Any, int]]:
    from pyarrow import parquet

    source = pa.BufferReader(stream.read()) if size is None else stream  # needs to seek
    try:
        file = parquet.ParquetFile(source)
        rows = max(1, file.metadata.num_rows)
        for batch in file.iter_batches():
            yield batch, (size or 0) * batch.num_rows // rows
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise Invalid(f"this is not a Parquet file, or a damaged one: {reason}") from error


def _arrow(stream: IO[bytes], size: int | None) -> Iterator[tuple[Any, int]]:
    """An IPC stream as it arrives, or an IPC file (Feather), which begins with its name."""
    try:
        head = stream.read(6)
        if head == b"ARROW1":
            rest = head + stream.read()
            with pa.ipc.open_file(pa.BufferReader(rest)) as file:
                count = max(1, file.num_record_batches)
                for index in range(file.num_record_batches):
                    yield _checked(file.get_batch(index)), (size or 0) // count
            return
        with pa.ipc.open_stream(_Joined(head, stream)) as batches:
            for batch in batches:
                yield _checked(batch), min(batch.nbytes, size or 0)
    except (pa.ArrowException, OSError) as error:
        raise Invalid(f"this is not an Arrow IPC file or stream: {error}") from error


def _checked(batch: Any) -> Any:
    batch.validate(full=True)
    return batch


class _Joined:
    """What was read already, and the rest of a stream that cannot go back."""

    closed = False

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        head = self._head if size < 0 else self._head[:size]
        self._head = self._head[len(head) :]
        return head + self._stream.read(size - len(head) if size >= 0 else -1)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        pass
