"""``mainstem produce``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mainstem.cli.options import BROKERS, AsJson, Brokers, connect
from mainstem.cli.output import note, progress, show
from mainstem.cli.payloads import Payload, RegistryUrl, payload_format

if TYPE_CHECKING:
    from mainstem.cli.sources import Tables
    from mainstem.face import Topic


class Source(StrEnum):
    """What a file holds."""

    lines = "lines"
    json = "json"
    csv = "csv"
    parquet = "parquet"
    arrow = "arrow"
    avro = "avro"
    protobuf = "protobuf"


_TABLES = (Source.csv, Source.parquet, Source.arrow)
#: JSON lines that become a payload of this name.
_SHORT = {Source.avro: Payload.avro, Source.protobuf: Payload.protobuf}


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


TopicName = Annotated[str, typer.Argument(metavar="TOPIC", help="Where to append.")]
FileName = Annotated[
    str, typer.Argument(metavar="[FILE|-]", help="What to append; - is standard input.")
]
SourceFormat = Annotated[
    Source,
    typer.Option(
        "--format",
        help="lines: each line is a value; json: an object a line, kept as it is; "
        "csv, parquet, arrow (IPC file or stream): each row becomes a record; "
        "avro, protobuf: json for a payload of that name.",
    ),
]
WrittenAs = Annotated[
    Payload | None,
    typer.Option(
        help="What rows become: json, avro or protobuf (both need --registry), or arrow (many "
        "rows a record). [json; lines and JSON objects stay as they are]"
    ),
]
UseLatest = Annotated[
    bool,
    typer.Option(
        "--use-latest",
        help="Write avro with the newest schema of the topic's subject, not with one taken from "
        "the columns; protobuf always is.",
    ),
]
MessageName = Annotated[
    str | None,
    typer.Option(
        "--message", metavar="NAME", help="Which message of a Protobuf schema. [its first]"
    ),
]
KeyColumn = Annotated[str | None, typer.Option("--key", metavar="COLUMN", help="The record's key.")]
TimeColumn = Annotated[
    str | None, typer.Option("--timestamp", metavar="COLUMN", help="The record's time.")
]
Partition = Annotated[int | None, typer.Option("--partition", min=0, help="Put all records there.")]
Compression = Annotated[Codec, typer.Option(help="Of record batches.")]
Acknowledged = Annotated[Promise, typer.Option(help="all: on disk; 1: taken; 0: not answered.")]


def produce(
    topic: TopicName,
    file: FileName = "-",
    source: SourceFormat = Source.lines,
    payload: WrittenAs = None,
    registry: RegistryUrl = None,
    use_latest: UseLatest = False,
    message: MessageName = None,
    key: KeyColumn = None,
    timestamp: TimeColumn = None,
    partition: Partition = None,
    compression: Compression = Codec.none,
    acks: Acknowledged = Promise.all,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """Append a file, or standard input as it arrives, to a topic."""
    source, payload = _check(source, payload, has_columns=bool(key or timestamp))
    _check_schema(payload, use_latest=use_latest, message=message)
    latest = use_latest or payload is Payload.protobuf
    written_as = None
    if payload is not None:
        written_as = payload_format(payload, registry, use_latest=latest, message=message)
    from mainstem.cli.sources import open_source

    options = {
        "partition": partition,
        "compression": compression.value,
        "acks": {"all": "all", "1": 1, "0": 0}[acks.value],
    }
    started = time.monotonic()
    with connect(brokers) as stem:
        target = stem.topic(topic)
        columns = getattr(written_as, "columns", None)
        wanted = None if columns is None else columns(topic)
        with open_source(file, source.value, key, timestamp, written_as, wanted) as found:
            partitions = _append(target, found, options)
    _report(topic, partitions, time.monotonic() - started, as_json=as_json)


def _check(
    source: Source, payload: Payload | None, *, has_columns: bool
) -> tuple[Source, Payload | None]:
    """What the file holds and what rows become. Raises ``BadParameter`` where they do not go."""
    if source in _SHORT:
        if payload not in (None, _SHORT[source]):
            raise typer.BadParameter(f"--format {source} and --payload {payload} do not go")
        return Source.json, _SHORT[source]
    if source is Source.lines and (has_columns or payload not in (None, Payload.raw)):
        raise typer.BadParameter("lines have no columns: use --format json, csv or parquet")
    if payload is Payload.raw and source in _TABLES:
        raise typer.BadParameter("rows do not become raw by themselves: use Python")
    return source, payload


def _check_schema(payload: Payload | None, *, use_latest: bool, message: str | None) -> None:
    if message is not None and payload is not Payload.protobuf:
        raise typer.BadParameter("--message is for protobuf payloads")
    if use_latest and payload not in (Payload.avro, Payload.protobuf):
        raise typer.BadParameter("--use-latest is for avro payloads")


def _append(topic: Topic, source: Tables, options: dict[str, Any]) -> Counter[int]:
    """Append all tables; how many records each partition got."""
    partitions = Counter[int]()
    with progress(f"append to {topic.name}", source.size, unit="bytes") as advance:
        for table, size in source.tables:
            written = topic.append(
                table, key=source.key, timestamp=source.timestamp, format=source.format, **options
            )
            partitions.update({at: part.rows for at, part in written.partitions.items()})
            advance(size)
    return partitions


def _report(topic: str, partitions: Counter[int], seconds: float, *, as_json: bool) -> None:
    rows = partitions.total()
    if as_json:
        columns = ["topic", "records", "partitions", "seconds"]
        counts = {str(index): count for index, count in sorted(partitions.items())}
        show(columns, [[topic, rows, counts, round(seconds, 3)]], as_json=True)
    else:
        note(f"appended {rows:,} records to {topic!r} in {seconds:.1f} s")
    sys.stdout.flush()
