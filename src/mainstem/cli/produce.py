"""``mainstem produce``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from enum import StrEnum
from typing import Annotated

import typer

from mainstem.cli.options import BROKERS, AsJson, Brokers, connect
from mainstem.cli.output import note, progress, show
from mainstem.cli.payloads import Payload, RegistryUrl, payload_format


class Source(StrEnum):
    """What a file holds."""

    lines = "lines"
    json = "json"
    csv = "csv"
    parquet = "parquet"
    arrow = "arrow"


_TABLES = (Source.csv, Source.parquet, Source.arrow)


class Codec(StrEnum):
    """Kafka's compressions."""

    none = "none"
    gzip = "gzip"
    snappy = "snappy"
    lz4 = "lz4"
    zstd = "zstd"


class Promise(StrEnum):
    """When an append is acknowledged."""

    all = "all"
    one = "1"
    none = "0"


def produce(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Where to append.")],
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="What to append; - is standard input.")
    ] = "-",
    source: Annotated[
        Source,
        typer.Option(
            "--format",
            help="lines: each line is a value; json: an object a line, kept as it is; "
            "csv, parquet, arrow (IPC file or stream): each row becomes a record.",
        ),
    ] = Source.lines,
    payload: Annotated[
        Payload | None,
        typer.Option(
            help="What rows become: json, avro (needs --registry), or arrow (many rows a record). "
            "[json; lines and JSON objects stay as they are]"
        ),
    ] = None,
    registry: RegistryUrl = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="COLUMN", help="The record's key.")
    ] = None,
    timestamp: Annotated[
        str | None, typer.Option("--timestamp", metavar="COLUMN", help="The record's time.")
    ] = None,
    partition: Annotated[
        int | None, typer.Option("--partition", min=0, help="Put all records there.")
    ] = None,
    compression: Annotated[Codec, typer.Option(help="Of record batches.")] = Codec.none,
    acks: Annotated[
        Promise, typer.Option(help="all: on disk; 1: taken; 0: not answered.")
    ] = Promise.all,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """Append a file, or standard input as it arrives, to a topic."""
    if source is Source.lines and (key or timestamp):
        raise typer.BadParameter("lines have no columns: use --format json, csv or parquet")
    if source is Source.lines and payload not in (None, Payload.raw):
        raise typer.BadParameter("lines have no columns: use --format json, csv or parquet")
    if payload is Payload.protobuf or (payload is Payload.raw and source in _TABLES):
        raise typer.BadParameter(f"rows do not become {payload.value} by themselves: use Python")
    written_as = None if payload is None else payload_format(payload, registry)
    from mainstem.cli.sources import open_source

    promise = {"all": "all", "1": 1, "0": 0}[acks.value]
    started, rows, partitions = time.monotonic(), 0, Counter[int]()
    with (
        connect(brokers) as stem,
        open_source(file, source.value, key, timestamp, written_as) as found,
    ):
        target = stem.topic(topic)
        with progress(f"append to {topic}", found.size, unit="bytes") as advance:
            for table, size in found.tables:
                written = target.append(
                    table,
                    key=found.key,
                    timestamp=found.timestamp,
                    partition=partition,
                    format=found.format,
                    acks=promise,  # type: ignore[arg-type]  # one of the three
                    compression=compression.value,
                )
                rows += written.rows
                partitions.update({at: part.rows for at, part in written.partitions.items()})
                advance(size)
    seconds = time.monotonic() - started
    if as_json:
        columns = ["topic", "records", "partitions", "seconds"]
        counts = {str(index): count for index, count in sorted(partitions.items())}
        show(columns, [[topic, rows, counts, round(seconds, 3)]], as_json=True)
    else:
        note(f"appended {rows:,} records to {topic!r} in {seconds:.1f} s")
    sys.stdout.flush()
