"""Record batches in line to Arrow batches of all columns, and where to go on behind each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import pyarrow as pa

from mainstem.client.formats import Decode
from mainstem.client.leader_epochs import Epochs
from mainstem.client.side_output import set_aside
from mainstem.client.spool import Part
from mainstem.client.spreading import spread
from mainstem.errors import Corrupt
from mainstem.wire import Run, decode_runs

_KEPT_ROWS: Final = 64 << 10  # of columns that say the same in every row
_HEAD: Final = ("_offset", "_timestamp", "_key", "_headers")


class Place(NamedTuple):
    """Where to go on in a partition, and which leaders wrote what came before it."""

    offset: int
    epochs: Epochs


#: Where to go on behind a batch, by topic and partition.
Places = dict[tuple[str, int], Place]


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of one partition among those decoded together; ``next_offset`` comes behind them."""

    topic: str
    partition: int
    rows: int
    next_offset: int
    epochs: Epochs = ()


def decode_parts(parts: list[Part], rows: int) -> Iterator[tuple[Any, list[Span]]]:
    """The records of all parts, at most ``rows`` at a time. Raises ``Corrupt``."""
    runs = [Run(part.data, part.headers, part.from_offset, part.to_offset) for part in parts]
    for found in decode_runs(runs):
        spans = []
        for number, count, next_offset in found.parts:
            part = parts[number]
            behind = part.next_offset if next_offset is None else next_offset
            spans.append(Span(part.topic, part.partition, count, behind, part.epochs))
        yield from _in_steps(found.records, spans, rows)


def _in_steps(records: Any, spans: list[Span], rows: int) -> Iterator[tuple[Any, list[Span]]]:
    while records.num_rows > rows:
        head, spans = _cut(records, spans, rows)
        yield records.slice(0, rows), head
        records = records.slice(rows)
    yield records, spans


def _cut(records: Any, spans: list[Span], rows: int) -> tuple[list[Span], list[Span]]:
    """The spans of the first ``rows`` rows, and of the rest."""
    head: list[Span] = []
    left = rows
    for index, span in enumerate(spans):
        if left < span.rows:
            if left:
                behind = records.column(0)[rows].as_py()
                head.append(replace(span, rows=left, next_offset=behind))
            return head, [replace(span, rows=span.rows - left), *spans[index + 1 :]]
        head.append(span)
        left -= span.rows
    return head, []


def places(spans: list[Span]) -> Places:
    """Where to go on behind these."""
    found: Places = {}
    for span in spans:
        where = span.topic, span.partition
        before = found.get(where)
        epochs = span.epochs if before is None else before.epochs + span.epochs
        found[where] = Place(span.next_offset, epochs)
    return found


def assemble(records: Any, spans: list[Span], decode_payload: Decode) -> Any:
    """Decoded records as one ``pa.RecordBatch`` of all columns; ``None`` without rows."""
    if not records.num_rows:
        return None
    origin, partitions = _origins([span for span in spans if span.rows])
    offsets, times, keys, headers, values = records.columns

    def where(row: int) -> str:
        at = f"partition {partitions[row]} offset {offsets[row]}"
        return f"topic {origin[row].as_py()!r} {at}"

    columns = {"_topic": origin, "_partition": partitions}
    columns |= zip(_HEAD, (offsets, times, keys, headers), strict=True)
    try:
        payload = decode_payload(values, where)
    except Corrupt as error:
        advice = "read it with format=Raw(), or start behind it"
        raise Corrupt(f"{error}: {advice}", code=error.code) from error
    rows, rejected = getattr(payload, "rows", None), getattr(payload, "rejected", None)
    if rows is None:
        columns |= payload
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    if rejected is not None:
        rest = set_aside(batch, values, rejected, where)
        batch = rest if rows is None else batch
    return batch if rows is None else spread(batch, rows, payload)


def _origins(spans: list[Span]) -> tuple[Any, Any]:
    topics = list(dict.fromkeys(span.topic for span in spans))
    if len(spans) == 1 and spans[0].rows <= _KEPT_ROWS:  # slices of what is there already
        (span,) = spans
        return _same_topic(span.topic).slice(0, span.rows), _repeated(span.partition, span.rows)
    ids = [_repeated(topics.index(span.topic), span.rows) for span in spans]
    partitions = [_repeated(span.partition, span.rows) for span in spans]
    names = pa.array(topics, pa.string())
    origin = pa.DictionaryArray.from_arrays(pa.concat_arrays(ids), names)
    return origin, pa.concat_arrays(partitions)


def _repeated(number: int, rows: int) -> Any:
    if rows > _KEPT_ROWS:
        return pa.repeat(pa.scalar(number, pa.int32()), rows)
    return _same_number(number).slice(0, rows)


@lru_cache(maxsize=32)  # 256 KiB each
def _same_number(number: int) -> Any:
    return pa.repeat(pa.scalar(number, pa.int32()), _KEPT_ROWS)


@lru_cache(maxsize=8)
def _same_topic(topic: str) -> Any:
    return pa.DictionaryArray.from_arrays(_same_number(0), pa.array([topic], pa.string()))
