"""The demo's checks can fail: each kind of damage is told in words."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from mainstem.demo.answers import answer, differences, disorder
from mainstem.demo.flights import Truth

# partition, offset, timestamp, key, month, day, origin, dep_time, dep_delay, tailnum
ROWS: list[tuple[Any, ...]] = [
    (0, 0, 1000, b"N1", 1, 1, "JFK", 500, 10, "N1"),
    (0, 1, 2000, b"N1", 1, 2, "JFK", 600, -4, "N1"),
    (1, 0, 1500, b"N2", 1, 2, "LGA", 700, 90, "N2"),
    (1, 1, 2500, None, 2, 8, "LGA", None, None, None),
]
COLUMNS = pa.schema(
    [
        ("_partition", pa.int32()),
        ("_offset", pa.int64()),
        ("_timestamp", pa.timestamp("ms", "UTC")),
        ("_key", pa.binary()),
        ("month", pa.int16()),
        ("day", pa.int16()),
        ("origin", pa.string()),
        ("dep_time", pa.int16()),
        ("dep_delay", pa.int16()),
        ("tailnum", pa.string()),
    ]
)
TRUTH = Truth(
    rows=4,
    cancelled=1,
    delay_minutes=96,
    keyless=1,
    by_airport=Counter({"JFK": 2, "LGA": 2}),
    by_airport_month=Counter({("JFK", 1): 2, ("LGA", 1): 1, ("LGA", 2): 1}),
    cancelled_by_airport_month=Counter({("LGA", 2): 1}),
    delay_by_airport_month=Counter({("JFK", 1): 6, ("LGA", 1): 90}),
)


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=COLUMNS)


def changed(row: int, **values: Any) -> list[tuple[Any, ...]]:
    rows = [list(each) for each in ROWS]
    for name, value in values.items():
        rows[row][COLUMNS.names.index(name)] = value
    return [tuple(each) for each in rows]


def test_right_answers_differ_in_nothing() -> None:
    assert list(differences(answer(table(ROWS)), TRUTH)) == []


def test_the_questions_are_answered() -> None:
    found = answer(table(ROWS))
    assert (found.total().departures, found.total().cancelled) == (4, 1)
    assert found.total("JFK").delay == 3
    assert (found.most_cancelled.day.month, found.most_cancelled.day.day) == (2, 8)
    assert (found.most_delayed.day.day, found.most_delayed.delay) == (2, 43)
    assert (found.aircraft, found.busiest_aircraft, found.busiest_departures) == (2, "N1", 2)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS[:-1], "departures: 3 read from the log, 4 in the source file"),
        ([*ROWS, ROWS[0]], "departures: 5 read from the log, 4 in the source file"),
        (changed(0, dep_delay=11), "minutes of delay: 97 read"),
        (changed(0, origin="LGA"), "departures from JFK: 1 read"),
        (changed(0, month=2), "JFK in month 2"),
        (changed(0, dep_time=None), "cancellations: 2 read"),
        (changed(3, _key=b"N3"), "records without a key: 0 read"),
    ],
)
def test_what_differs_is_said(rows: list[tuple[Any, ...]], words: str) -> None:
    assert words in "\n".join(differences(answer(table(rows)), TRUTH))


def test_order_holds() -> None:
    assert list(disorder(table(ROWS))) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (changed(1, _offset=2), "partition 0: offsets are not 0 to 1 in order"),
        ([ROWS[1], ROWS[0], *ROWS[2:]], "partition 0: offsets are not 0 to 1 in order"),
        (changed(1, _timestamp=999), "partition 0: event times go back"),
        (changed(2, _key=b"N1"), "1 aircraft are in more than one partition"),
    ],
)
def test_disorder_is_said(rows: list[tuple[Any, ...]], words: str) -> None:
    assert words in "\n".join(disorder(table(rows)))
