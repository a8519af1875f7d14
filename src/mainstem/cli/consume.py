"""``mainstem consume``."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mainstem.cli.options import BROKERS, PLACES, AsJson, Brokers, connect, place
from mainstem.cli.output import note

if TYPE_CHECKING:
    from mainstem.client import Point
    from mainstem.face import Stem, Topic


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
            help="Begin where this group is (--from where it has no offset), and commit what was "
            "printed. The group must have no running members.",
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
        start = point if group is None else _resume(stem, source, group, point)
        try:
            _print(stem, source, start, until, group, limit, write)
        except KeyboardInterrupt:
            if until is not Until.never:
                raise


def _resume(stem: Stem, topic: Topic, group: str, point: Point) -> dict[int, Point]:
    """Where the group is in each partition; what was deleted meanwhile is skipped, and said."""
    stem.require_idle(group)
    committed = stem.committed(group)
    first, last = topic.offsets()
    start: dict[int, Point] = {}
    for index in first:
        at = committed.get((topic.name, index))
        if at is None:
            start[index] = point
            continue
        start[index] = min(max(at, first[index]), last[index])
        if at != start[index]:
            note(f"partition {index}: offset {at} is gone, going on at {start[index]}")
    return start


def _print(
    stem: Stem,
    topic: Topic,
    start: Any,
    until: Until,
    group: str | None,
    limit: int | None,
    write: Any,
) -> None:
    left = limit
    rows = 65_536 if left is None else min(65_536, left)
    with topic.read(start, follow=until is Until.never, batch_rows=rows) as batches:
        for found in batches:
            batch = found if left is None else found.slice(0, left)
            write(batch)
            sys.stdout.flush()
            if group is not None:
                stem.commit(group, _positions(topic.name, batch))
            if left is not None:
                left -= batch.num_rows
                if left <= 0:
                    return


def _positions(topic: str, batch: Any) -> dict[tuple[str, int], int]:
    """The offset behind the last record of each partition; offsets rise within one."""
    import pyarrow as pa

    table = pa.table({"p": batch.column("_partition"), "o": batch.column("_offset")})
    last = table.group_by("p").aggregate([("o", "max")]).to_pylist()
    return {(topic, row["p"]): row["o_max"] + 1 for row in last}
