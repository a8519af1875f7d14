"""``mainstem consume``."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mainstem.cli.options import BROKERS, PLACES, AsJson, Brokers, connect, place
from mainstem.cli.output import note, progress
from mainstem.cli.payloads import Payload, RegistryUrl, payload_format

if TYPE_CHECKING:
    from mainstem.client import Format, Point
    from mainstem.face import Consumer, Stem, Topic

_WAIT_FOR_OTHERS = 5.0  # seconds without a partition before that is worth a remark


class Until(StrEnum):
    """When to stop."""

    end = "end"
    never = "never"


class Shape(StrEnum):
    """How records are printed."""

    lines = "lines"
    json = "json"
    table = "table"
    arrow = "arrow"
    parquet = "parquet"
    avro = "avro"
    protobuf = "protobuf"


_SHORT = {Shape.avro: Payload.avro, Shape.protobuf: Payload.protobuf}
_FILES = (Shape.arrow, Shape.parquet)


GroupName = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="GROUP",
        help="Join this group: its members share the partitions. Begin where it is (--from where "
        "it has no offset), and commit what was printed.",
    ),
]
Printed = Annotated[
    Shape | None,
    typer.Option(
        "--format",
        help="lines: values; json: an object a record; table; arrow: an IPC stream; parquet; "
        "avro, protobuf: json of such a payload. [lines, json where the payload has columns]",
    ),
]


def consume(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="What to read.")],
    begin: Annotated[
        str, typer.Option("--from", metavar=PLACES, help="Where to begin.")
    ] = "earliest",
    until: Annotated[
        Until, typer.Option(help="end: what is there now; never: wait for more.")
    ] = Until.end,
    group: GroupName = None,
    limit: Annotated[
        int | None, typer.Option("--max", min=1, metavar="N", help="Stop after N records.")
    ] = None,
    shape: Printed = None,
    payload: Annotated[
        Payload, typer.Option(help="What the values are; raw: bytes as they are.")
    ] = Payload.raw,
    registry: RegistryUrl = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Of arrow and parquet.")
    ] = None,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """Print a topic's records."""
    point = place(begin, "--from")
    wanted, payload = _shape(shape, payload, as_json=as_json)
    if output is not None and wanted not in _FILES:
        raise typer.BadParameter(f"--output is for arrow and parquet, not for {wanted.value}")
    found = payload_format(payload, registry)
    with connect(brokers) as stem, _writer(wanted, output) as write:
        source = stem.topic(topic)
        try:
            if group is None:
                _print(source, point, until, limit, write, found)
            else:
                _print_as_member(stem, source, group, point, until, limit, write, found)
        except KeyboardInterrupt:
            if until is not Until.never:
                raise


def _shape(shape: Shape | None, payload: Payload, *, as_json: bool) -> tuple[Shape, Payload]:
    """What to print, and what the values are. Raises ``BadParameter`` where they do not go."""
    if shape in _SHORT:
        if payload not in (Payload.raw, _SHORT[shape]):
            raise typer.BadParameter(f"--format {shape} and --payload {payload} do not go")
        return Shape.json, _SHORT[shape]
    if as_json:
        return Shape.json, payload
    if shape is None:
        shape = Shape.lines if payload is Payload.raw else Shape.json
    if shape is Shape.lines and payload is not Payload.raw:
        raise typer.BadParameter(f"lines are raw values: use --format json for {payload.value}")
    return shape, payload


@contextmanager
def _writer(shape: Shape, output: str | None) -> Iterator[Any]:
    if shape in _FILES:
        from mainstem.cli.files import open_sink

        with open_sink(shape.value, output) as write:
            yield write
        return
    from mainstem.cli.printing import printer

    yield printer(shape.value)


def _total(topic: Topic, start: Point, limit: int | None) -> int | None:
    """How many records there are to read, where that is known."""
    if start != "earliest":
        return limit
    first, last = topic.offsets()
    there = sum(last[index] - first[index] for index in last)
    return there if limit is None else min(there, limit)


def _print(
    topic: Topic,
    start: Point,
    until: Until,
    limit: int | None,
    write: Any,
    payload: Format | None,
) -> None:
    left = limit
    rows = 65_536 if left is None else min(65_536, left)
    # A bar would stand among the records, were they on the same terminal.
    quiet = until is Until.never or sys.stdout.isatty()
    with (
        topic.read(start, follow=until is Until.never, batch_rows=rows, format=payload) as batches,
        progress(
            f"read {topic.name}",
            None if quiet else _total(topic, start, limit),
            unit="records",
            hidden=quiet,
        ) as advance,
    ):
        for found in batches:
            batch = found if left is None else found.slice(0, left)
            write(batch)
            sys.stdout.flush()
            advance(batch.num_rows)
            if left is not None:
                left -= batch.num_rows
                if left <= 0:
                    return


def _print_as_member(
    stem: Stem,
    topic: Topic,
    group: str,
    start: Point,
    until: Until,
    limit: int | None,
    write: Any,
    payload: Format | None,
) -> None:
    left = limit
    rows = 65_536 if left is None else min(65_536, left)

    def assigned(partitions: list[tuple[str, int]]) -> None:
        _note_what_is_gone(stem, topic, group, [index for _, index in partitions])

    options: Any = {"start": start, "auto_commit": None, "batch_rows": rows, "format": payload}
    with (
        stem.consumer(group, topic.name, on_assigned=assigned, **options) as consumer,
        _committed_when_whole(consumer, write) as printed,
    ):
        for found in _until(consumer, until, group):
            batch = found if left is None else found.slice(0, left)
            write(batch)
            sys.stdout.flush()
            printed(_positions(topic.name, batch, found.slice(batch.num_rows)))
            if left is not None:
                left -= batch.num_rows
                if left <= 0:
                    return


def _until(consumer: Consumer, until: Until, group: str) -> Iterator[Any]:
    note_due = time.monotonic() + _WAIT_FOR_OTHERS
    while True:
        if until is Until.end and consumer.assignment and not any(consumer.lag().values()):
            return
        found = consumer.poll(0.1)
        if not consumer.assignment and time.monotonic() > note_due:
            note(f"waiting: other members of group {group!r} have all partitions")
            note_due = math.inf
        if found is not None:
            yield found


@contextmanager
def _committed_when_whole(consumer: Consumer, write: Any) -> Iterator[Any]:
    """Commit what was printed: at once, or where a file is nothing without its end, then."""
    waiting: dict[tuple[str, int], int] = {}

    def printed(offsets: dict[tuple[str, int], int]) -> None:
        if getattr(write, "whole", True):
            consumer.commit(offsets)
        else:
            waiting.update(offsets)

    try:
        yield printed
    except KeyboardInterrupt:  # how following ends
        _finish(consumer, write, waiting)
        raise
    _finish(consumer, write, waiting)


def _finish(consumer: Consumer, write: Any, waiting: dict[tuple[str, int], int]) -> None:
    if waiting:
        write.finish()
        consumer.commit(waiting)


def _note_what_is_gone(stem: Stem, topic: Topic, group: str, partitions: list[int]) -> None:
    """Records that were deleted before this group read them are skipped, and that is said."""
    committed = stem.committed(group)
    first, _ = topic.offsets()
    for index in partitions:
        at = committed.get((topic.name, index))
        if at is not None and at < first[index]:
            note(f"partition {index}: offset {at} is gone, going on at {first[index]}")


def _positions(topic: str, batch: Any, rest: Any) -> dict[tuple[str, int], int]:
    """Behind the last record of each partition, or at one whose rows are not all printed."""
    found = {part: last + 1 for part, last in _offsets(batch, "max").items()}
    for part, first in _offsets(rest, "min").items():
        if part in found:
            found[part] = min(found[part], first)
    return {(topic, part): offset for part, offset in found.items()}


def _offsets(batch: Any, which: str) -> dict[int, int]:
    """One offset of each partition; offsets rise within one."""
    import pyarrow as pa

    table = pa.table({"p": batch.column("_partition"), "o": batch.column("_offset")})
    rows = table.group_by("p").aggregate([("o", which)]).to_pylist()
    return {row["p"]: row[f"o_{which}"] for row in rows}
