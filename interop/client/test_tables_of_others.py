"""What DuckDB, pandas and Polars give is appended as it is, and what is read goes back to them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mainstem as ms

MakeTopic = Callable[..., ms.Topic]
FORMAT = ms.Json()
ROWS: dict[str, list[Any]] = {"name": ["a", "b", None], "delay": [1, -2, 3], "late": [True] * 3}
SQL = "select * from (values ('a', 1, true), ('b', -2, true), (null, 3, true)) t(name, delay, late)"
TABLES: dict[str, Callable[[], Any]] = {
    "duckdb": lambda: duckdb.sql(SQL),
    "pandas": lambda: pd.DataFrame(ROWS),
    "polars": lambda: pl.DataFrame(ROWS),
    "polars categories": lambda: pl.DataFrame(ROWS, schema_overrides={"name": pl.Categorical}),
    "polars enums": lambda: pl.DataFrame(ROWS, schema_overrides={"name": pl.Enum(["a", "b"])}),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_appended_and_comes_back(make_topic: MakeTopic, kind: str) -> None:
    topic = make_topic()
    assert topic.append(TABLES[kind](), key="name", format=FORMAT).rows == 3
    found = pa.Table.from_batches(topic.read(format=FORMAT))
    assert found.select(list(ROWS)).to_pydict() == ROWS
    assert found["_key"].to_pylist() == [b"a", b"b", None]


@pytest.mark.parametrize(
    "series",
    [pl.Series("word", ["a", None]), pl.Series("word", [b"a", None]), pd.Series(["a", None])],
    ids=["polars text", "polars bytes", "pandas"],
)
def test_a_series_is_the_values(make_topic: MakeTopic, series: Any) -> None:
    topic = make_topic()
    topic.append(series)
    assert pa.Table.from_batches(topic.read())["value"].to_pylist() == [b"a", None]


@pytest.mark.parametrize("payload", [ms.Arrow(), ms.Json()], ids=str)
def test_every_type_of_polars_that_has_a_form_goes(make_topic: MakeTopic, payload: Any) -> None:
    moment = datetime.datetime.fromisoformat("2024-01-02T03:04:05")
    frame = pl.DataFrame(
        {
            "text": ["x", None], "list": [[1, 2], None], "struct": [{"a": 1}, {"a": None}],
            "moment": [moment, None], "day": [moment.date(), None], "time": [moment.time(), None],
            "small": pl.Series([1, None], dtype=pl.Int8), "bytes": [b"x", None],
            "category": pl.Series(["k", None], dtype=pl.Categorical), "nothing": [None, None],
        }
    )  # fmt: skip
    topic = make_topic()
    topic.append(frame, format=payload)
    found = pa.Table.from_batches(topic.read(format=payload)).select(frame.columns)
    if isinstance(payload, ms.Arrow):
        assert pl.DataFrame(found).equals(frame)
    assert found["category"].to_pylist() == ["k", None]
    assert found["list"].to_pylist() == [[1, 2], None]


def test_a_query_that_fails_is_its_own_error_and_nothing_is_written(make_topic: MakeTopic) -> None:
    topic = make_topic()
    with pytest.raises(duckdb.Error, match="no such luck"):
        topic.append(duckdb.sql("select error('no such luck') as value"))
    assert topic.offsets() == ({0: 0}, {0: 0})


def test_what_is_read_goes_to_each_of_them(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append(ROWS, format=FORMAT)
    (batch,) = topic.read(format=FORMAT)
    assert pl.DataFrame(batch)["delay"].to_list() == ROWS["delay"]
    assert duckdb.sql("select sum(delay) from batch").fetchall() == [(2,)]
    assert batch.to_pandas()["delay"].tolist() == ROWS["delay"]
