"""What a person would ask of a year of departures, computed from what came out of the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.demo.flights import Truth


@dataclass(frozen=True, slots=True)
class Cell:
    """One airport in one month. Delay in minutes, summed over those that did leave."""

    departures: int
    cancelled: int
    delay_sum: int

    @property
    def delay(self) -> float:
        """Average departure delay in minutes."""
        return self.delay_sum / max(self.departures - self.cancelled, 1)

    def __add__(self, other: Cell) -> Cell:
        return Cell(
            self.departures + other.departures,
            self.cancelled + other.cancelled,
            self.delay_sum + other.delay_sum,
        )


@dataclass(frozen=True, slots=True)
class Day:
    """One bad day."""

    day: date
    departures: int
    cancelled: int
    delay: float


@dataclass(frozen=True, slots=True)
class Answers:
    """``cells`` by (airport, month)."""

    cells: dict[tuple[str, int], Cell]
    most_cancelled: Day
    most_delayed: Day
    aircraft: int
    busiest_aircraft: str
    busiest_departures: int
    keyless: int

    def total(self, airport: str | None = None, month: int | None = None) -> Cell:
        """The sum over what is not given."""
        picked = (
            cell
            for (name, number), cell in self.cells.items()
            if airport in (None, name) and month in (None, number)
        )
        return sum(picked, Cell(0, 0, 0))


_SUMS: list[tuple[str, str]] = [
    ("departed", "count"),
    ("cancelled", "sum"),
    ("dep_delay", "sum"),
    ("dep_delay", "mean"),
]


def answer(table: pa.Table) -> Answers:
    """``table`` holds every record read, in any order."""
    departed = pc.is_valid(table["dep_time"])
    table = table.append_column("departed", departed)
    table = table.append_column("cancelled", pc.invert(departed).cast(pa.int64()))
    cells = {
        (row["origin"], row["month"]): Cell(
            row["departed_count"], row["cancelled_sum"], row["dep_delay_sum"] or 0
        )
        for row in table.group_by(["origin", "month"]).aggregate(_SUMS).to_pylist()
    }
    days = table.group_by(["month", "day"]).aggregate(_SUMS).to_pylist()
    aircraft = table.filter(pc.is_valid(table["tailnum"])).group_by("tailnum")
    flown = aircraft.aggregate([("departed", "count")]).to_pylist()
    busiest = max(flown, key=lambda row: (row["departed_count"], row["tailnum"]))
    return Answers(
        cells=cells,
        most_cancelled=_day(max(days, key=lambda row: row["cancelled_sum"])),
        most_delayed=_day(max(days, key=lambda row: row["dep_delay_mean"] or 0.0)),
        aircraft=len(flown),
        busiest_aircraft=busiest["tailnum"],
        busiest_departures=busiest["departed_count"],
        keyless=table["_key"].null_count,
    )


def _day(row: dict[str, Any]) -> Day:
    return Day(
        date(2013, row["month"], row["day"]),
        row["departed_count"],
        row["cancelled_sum"],
        row["dep_delay_mean"] or 0.0,
    )


def differences(answers: Answers, truth: Truth) -> Iterator[str]:
    """Every way in which the answers differ from the count of the source, in words."""
    total = answers.total()
    pairs: list[tuple[str, object, object]] = [
        ("departures", total.departures, truth.rows),
        ("cancellations", total.cancelled, truth.cancelled),
        ("minutes of delay", total.delay_sum, truth.delay_minutes),
        ("records without a key", answers.keyless, truth.keyless),
    ]
    for airport in sorted({name for name, _ in answers.cells} | set(truth.by_airport)):
        departures = answers.total(airport=airport).departures
        pairs.append((f"departures from {airport}", departures, truth.by_airport[airport]))
    for cell in sorted(set(answers.cells) | set(truth.by_airport_month)):
        wanted = Cell(
            truth.by_airport_month[cell],
            truth.cancelled_by_airport_month[cell],
            truth.delay_by_airport_month[cell],
        )
        pairs.append((f"{cell[0]} in month {cell[1]}", answers.cells.get(cell), wanted))
    for what, found, expected in pairs:
        if found != expected:
            yield f"{what}: {found} read from the log, {expected} in the source file"


def disorder(table: pa.Table) -> Iterator[str]:
    """Every way in which the log broke its promises of order, in words."""
    for partition in sorted(pc.unique(table["_partition"]).to_pylist()):
        rows = table.filter(pc.equal(table["_partition"], partition)).combine_chunks()
        offsets, times = rows["_offset"], rows["_timestamp"].cast(pa.int64())
        if not offsets.equals(pa.chunked_array([pa.array(range(len(rows)), pa.int64())])):
            yield f"partition {partition}: offsets are not 0 to {len(rows) - 1} in order"
        if len(rows) > 1 and pc.any(pc.less(times[1:], times[:-1])).as_py():
            yield f"partition {partition}: event times go back"
    keyed = table.filter(pc.is_valid(table["_key"])).group_by("_key")
    homes = keyed.aggregate([("_partition", "count_distinct")])["_partition_count_distinct"]
    scattered = pc.sum(pc.greater(homes, 1)).as_py() or 0
    if scattered:
        yield f"{scattered} aircraft are in more than one partition"
