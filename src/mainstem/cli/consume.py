"""``mainstem consume``."""

from __future__ import annotations

import math
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mainstem.cli.options import BROKERS, PLACES, AsJson, Brokers, connect, place
from mainstem.cli.output import note

if TYPE_CHECKING:
    from mainstem.client import Point
    from mainstem.face import Stem, Topic

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


def consume(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="What to read.")],
    begin: Annotated[
        str, typer.Option("--from", metavar=PLACES, help="Where to begin.")
    ] = "earliest",
    until: Annotated[
        Until, typer.Option(help="end: what is there now; never: wait for more.")
    ] = Until.end,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="GROUP",
            help="Join this group: its members share the partitions. Begin where it is (--from "
            "where it has no offset), and commit what was printed.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--max", min=1, metavar="N", help="Stop after N records.")
    ] = None,
    shape: Annotated[
        Shape,
        typer.Option("--format", help="lines: values; json: an object a record; table."),
    ] = Shape.lines,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """Print a topic's records."""
    point = place(begin, "--from")
    from mainstem.cli.printing import printer

    write = printer("json" if as_json else shape.value)
    with connect(brokers) as stem:
        source = stem.topic(topic)
        try:
            if group is None:
                _print(source, point, until, limit, write)
            else:
                _print_as_member(stem, source, group, point, until, limit, write)
        except KeyboardInterrupt:
            if until is not Until.never:
                raise


def _print(topic: Topic, start: Point, until: Until, limit: int | None, write: Any) -> None:
    left = limit
    rows = 65_536 if left is None else min(65_536, left)
    with topic.read(start, follow=until is Until.never, batch_rows=rows) as batches:
        for found in batches:
            batch = found if left is None else found.slice(0, left)
            write(batch)
            sys.stdout.flush()
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
) -> None:
    left = limit
    rows = 65_536 if left is None else min(65_536, left)

    def assigned(partitions: list[tuple[str, int]]) -> None:
        _note_what_is_gone(stem, topic, group, [index for _, index in partitions])

    options: Any = {"start": start, "auto_commit": None, "batch_rows": rows}
    with stem.consumer(group, topic.name, on_assigned=assigned, **options) as consumer:
        note_due = time.monotonic() + _WAIT_FOR_OTHERS
        while True:
            if until is Until.end and consumer.assignment and not any(consumer.lag().values()):
                return
            found = consumer.poll(0.1)
            if not consumer.assignment and time.monotonic() > note_due:
                note(f"waiting: other members of group {group!r} have all partitions")
                note_due = math.inf
            if found is None:
                continue
            batch = found if left is None else found.slice(0, left)
            write(batch)
            sys.stdout.flush()
            consumer.commit(_positions(topic.name, batch))
            if left is not None:
                left -= batch.num_rows
                if left <= 0:
                    return


def _note_what_is_gone(stem: Stem, topic: Topic, group: str, partitions: list[int]) -> None:
    """Records that were deleted before this group read them are skipped, and that is said."""
    committed = stem.committed(group)
    first, _ = topic.offsets()
    for index in partitions:
        at = committed.get((topic.name, index))
        if at is not None and at < first[index]:
            note(f"partition {index}: offset {at} is gone, going on at {first[index]}")


def _positions(topic: str, batch: Any) -> dict[tuple[str, int], int]:
    """The offset behind the last record of each partition; offsets rise within one."""
    import pyarrow as pa

    table = pa.table({"p": batch.column("_partition"), "o": batch.column("_offset")})
    last = table.group_by("p").aggregate([("o", "max")]).to_pylist()
    return {(topic, row["p"]): row["o_max"] + 1 for row in last}
