"""What the departures boards show, at moments of a day made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from mainstem.demo.board import MINUTE, ROWS, Board
from mainstem.demo.flights import TIME_ZONE
from mainstem.demo.places import CITIES

NOON = datetime(2013, 3, 8, 12, 0, tzinfo=TIME_ZONE)


def at(minute: int) -> int:
    """Milliseconds of so many minutes after noon."""
    return int((NOON + timedelta(minutes=minute)).timestamp() * 1000)


def board(*flights: tuple[int, int | None, str]) -> Board:
    """Of (minute due, delay or None, origin), all to Los Angeles."""
    rows = [
        {
            "_timestamp": datetime.fromtimestamp(at(due) / 1000, UTC),
            "dep_delay": delay,
            "origin": origin,
            "dest": "LAX",
            "carrier": "DL",
            "flight": number,
        }
        for number, (due, delay, origin) in enumerate(flights)
    ]
    schema = pa.schema(
        [
            ("_timestamp", pa.timestamp("ms", "UTC")),
            ("dep_delay", pa.int16()),
            ("origin", pa.string()),
            ("dest", pa.string()),
            ("carrier", pa.string()),
            ("flight", pa.int16()),
        ]
    )
    return Board(pa.Table.from_pylist(rows, schema))


def rows(of: Board, minute: int, airport: str = "JFK") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = of.at(at(minute))[airport]["rows"]
    return found


@pytest.mark.parametrize(
    ("minute", "status"),
    [
        (-100, "on time"),
        (-31, "on time"),
        (-30, "delayed"),  # announced half an hour before
        (0, "delayed"),
        (21, "delayed"),
        (22, "last call"),
        (30, "departed"),
        (33, "departed"),
        (34, None),
    ],
)
def test_a_late_flight_goes_through_its_states(minute: int, status: str | None) -> None:
    shown = rows(board((0, 30, "JFK")), minute)
    assert [row["status"] for row in shown] == ([] if status is None else [status])


@pytest.mark.parametrize(
    ("minute", "status"), [(-36, "on time"), (-30, "boarding"), (-8, "last call"), (0, "departed")]
)
def test_a_punctual_flight_goes_through_its_states(minute: int, status: str) -> None:
    assert [row["status"] for row in rows(board((0, 0, "JFK")), minute)] == [status]


@pytest.mark.parametrize(
    ("minute", "status"), [(-61, "on time"), (-60, "cancelled"), (8, "cancelled"), (9, None)]
)
def test_a_cancelled_flight_goes_through_its_states(minute: int, status: str | None) -> None:
    shown = rows(board((0, None, "JFK")), minute)
    assert [row["status"] for row in shown] == ([] if status is None else [status])


def test_a_delay_is_no_secret_only_once_it_is_announced() -> None:
    late = board((60, 90, "JFK"))
    (before,) = rows(late, 29)
    (after,) = rows(late, 30)
    assert (before["late"], before["time"]) == (0, "13:00")
    assert (after["late"], after["time"]) == (90, "14:30")


def test_rows_are_in_the_order_in_which_flights_are_said_to_leave() -> None:
    shown = rows(board((0, 45, "JFK"), (10, 0, "JFK"), (20, 5, "JFK")), 0)
    assert [row["scheduled"] for row in shown] == ["12:10", "12:20", "12:00"]


def test_a_board_has_room_for_its_rows_and_its_airport_only() -> None:
    many = board(*[(minute, 0, "JFK") for minute in range(20)], (20, 0, "LGA"))
    assert len(rows(many, 0)) == ROWS
    assert [row["flight"] for row in rows(many, 0, "LGA")] == ["DL 20"]
    assert rows(many, 0, "EWR") == []


def test_the_clock_is_the_one_on_the_airports_wall() -> None:
    shown = board((0, 0, "JFK")).at(at(3))["JFK"]
    assert (shown["clock"], shown["day"]) == ("12:03", "Friday, 8 March 2013")
    (row,) = shown["rows"][:1]
    assert (row["to"], row["flight"]) == ("Los Angeles", "DL 0")


def test_each_minute_of_delay_is_counted_once_and_early_flights_are_not() -> None:
    flown = board((0, 30, "JFK"), (0, -5, "JFK"), (5, 31, "LGA"), (6, None, "LGA"), (7, 20, "JFK"))
    counted: dict[str, int] = {}
    for minute in range(-10, 60):
        for airport, late in flown.delays(at(minute), at(minute) + MINUTE).items():
            counted[airport] = counted.get(airport, 0) + late
    assert counted == {"JFK": 50, "LGA": 31}


def test_every_city_of_the_year_has_a_name(year: pa.Table) -> None:
    assert set(year["dest"].unique().to_pylist()) == set(CITIES)
    assert max(len(name) for name in CITIES.values()) <= 16
