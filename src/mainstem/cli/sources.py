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
def open_source(name: str, kind: str, key: str | None, timestamp: str | None) -> Iterator[Tables]:
    """The file, or standard input for ``-``. Raises ``Invalid`` naming the place of bad data."""
    if name == "-":
        stream: IO[bytes] = sys.stdin.buffer
        yield _tables(stream, kind, key, timestamp, None)
        return
    with open(name, "rb") as stream:  # noqa: PTH123 - any path, as the shell gave it
        size = os.fstat(stream.fileno()).st_size
        yield _tables(stream, kind, key, timestamp, size)


def _tables(
    stream: IO[bytes], kind: str, key: str | None, timestamp: str | None, size: int | None
) -> Tables:
    if kind == "lines":
        return Tables(_lines(stream), Raw(), None, None, size)
    if kind == "json":
        found = _json(stream, key, timestamp)
        return Tables(found, Raw(), key and "_key", timestamp and "_timestamp", size)
    if kind == "csv":
        return Tables(_csv(stream, size), Json(), key, timestamp, size)
    return Tables(_parquet(stream, size), Json(), key, timestamp, size)


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


def _json(stream: IO[bytes], key: str | None, timestamp: str | None) -> Iterator[tuple[Any, int]]:
    """Values stay the bytes they are; they are parsed to be checked, and for key and time."""
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
        columns = {"value": values}
        for name, place in ((key, "_key"), (timestamp, "_timestamp")):
            if name is not None:
                if name not in members:
                    raise unknown_column(name, list(members))
                columns[place] = members[name]
                if place == "_timestamp" and pa.types.is_string(members[name].type):
                    columns[place] = _moments(values, name, members[name], numbers)
        yield pa.table(columns), size


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


def _csv(stream: IO[bytes], size: int | None) -> Iterator[tuple[Any, int]]:
    from pyarrow import csv

    try:
        reader = csv.open_csv(stream, read_options=csv.ReadOptions(block_size=_CHUNK))
        for batch in reader:
            yield batch, min(_CHUNK, size or 0)
    except pa.ArrowInvalid as error:
        raise Invalid(f"this is not CSV with a header line and steady types: {error}") from error


def _parquet(stream: IO[bytes], size: int | None) -> Iterator[tuple[Any, int]]:
    from pyarrow import parquet

    source = pa.BufferReader(stream.read()) if size is None else stream  # needs to seek
    try:
        file = parquet.ParquetFile(source)
        rows = max(1, file.metadata.num_rows)
        for batch in file.iter_batches():
            yield batch, (size or 0) * batch.num_rows // rows
    except pa.ArrowInvalid as error:
        raise Invalid(f"this is not a Parquet file: {error}") from error
