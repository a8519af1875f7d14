"""What the departures boards show at a moment of 2013. No clock, no I/O: times come in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.demo.flights import AIRPORTS, TIME_ZONE
from mainstem.demo.places import CITIES

ROWS = 8
MINUTE = 60_000
#: How far back a flight may have been due and still wait, and how far ahead is announced.
_BEHIND, _AHEAD = 8 * 60 * MINUTE, 5 * 60 * MINUTE
#: Minutes: a flight that has gone stays; a cancelled one stays; a delay is made known before;
#: passengers board before; the last is called before it leaves.
_GONE, _CANCELLED, _KNOWN, _BOARDING, _LAST = 4, 8, 30, 35, 8
#: A delay below this is not put on the board, in minutes.
_DELAYED = 10
_COLUMNS = ["_timestamp", "dep_delay", "origin", "dest", "carrier", "flight"]


class Board:
    """Over flights in order of scheduled departure, as ``flights.load`` gives them."""

    def __init__(self, flights: pa.Table) -> None:
        table = flights.select(_COLUMNS).combine_chunks()
        due = table["_timestamp"].cast(pa.int64()).combine_chunks()
        delay = table["dep_delay"].combine_chunks().cast(pa.int64())
        self._table = table.set_column(0, "due", due)
        self._due: list[int] = due.to_pylist()
        self._left = pc.add(due, pc.multiply(delay, MINUTE))  # null: never
        self._late = pc.max_element_wise(delay, 0, skip_nulls=False)

    def at(self, now_ms: int) -> dict[str, dict[str, Any]]:
        """For each airport what its board says: ``clock``, ``day`` and at most ``ROWS`` rows."""
        start = bisect_left(self._due, now_ms - _BEHIND)
        end = bisect_right(self._due, now_ms + _AHEAD)
        rows: dict[str, list[tuple[int, dict[str, Any]]]] = {airport: [] for airport in AIRPORTS}
        for flight in self._table.slice(start, end - start).to_pylist():
            if (status := _status(flight, now_ms)) is not None:
                rows[flight["origin"]].append((_announced(flight, status), flight | status))
        now = datetime.fromtimestamp(now_ms / 1000, TIME_ZONE)
        head = {"clock": f"{now:%H:%M}", "day": f"{now:%A}, {now.day} {now:%B %Y}"}
        return {
            airport: head | {"rows": [_row(*each) for each in sorted(shown, key=_when)[:ROWS]]}
            for airport, shown in rows.items()
        }

    def delays(self, after_ms: int, until_ms: int) -> dict[str, int]:
        """Minutes of delay of the flights that left in (``after_ms``, ``until_ms``], if any."""
        left = pc.and_(pc.greater(self._left, after_ms), pc.less_equal(self._left, until_ms))
        gone = pa.table({"origin": self._table["origin"], "late": self._late}).filter(left)
        sums = gone.group_by("origin").aggregate([("late", "sum")]).to_pylist()
        return {each["origin"]: each["late_sum"] for each in sums if each["late_sum"]}


def _status(flight: dict[str, Any], now_ms: int) -> dict[str, Any] | None:
    """What is known at that moment, which of a delay is nothing before it is announced.

    None: it is history.
    """
    due, delay = flight["due"], flight["dep_delay"]
    if delay is None:
        if now_ms > due + _CANCELLED * MINUTE:
            return None
        known = now_ms >= due - 2 * _KNOWN * MINUTE
        return {"status": "cancelled" if known else "on time", "late": 0}
    minutes = (due + delay * MINUTE - now_ms) / MINUTE  # until it leaves
    if minutes <= -_GONE:
        return None
    if minutes <= 0:
        return {"status": "departed", "late": max(delay, 0)}
    announced = now_ms >= due - _KNOWN * MINUTE
    late = delay if announced and delay >= _DELAYED else 0
    if minutes <= _LAST:
        return {"status": "last call", "late": late}
    if late:
        return {"status": "delayed", "late": late}
    return {"status": "boarding" if minutes <= _BOARDING and announced else "on time", "late": 0}


def _announced(flight: dict[str, Any], status: dict[str, Any]) -> int:
    """When it is said to leave, in milliseconds."""
    return int(flight["due"] + status["late"] * MINUTE)


def _when(each: tuple[int, dict[str, Any]]) -> int:
    return each[0]


def _row(announced_ms: int, flight: dict[str, Any]) -> dict[str, Any]:
    """One line of a board."""
    return {
        "scheduled": _wall(flight["due"]),
        "to": CITIES.get(flight["dest"], flight["dest"]),
        "flight": f"{flight['carrier']} {flight['flight']}",
        "status": flight["status"],
        "late": flight["late"],
        "time": _wall(announced_ms),
    }


def _wall(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, TIME_ZONE):%H:%M}"
