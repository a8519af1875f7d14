"""An append that cannot begin, or go on, says which of its rows no request ever held."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.client.sent import Sent
from mainstem.face.async_topic import AsyncTopic

MakeTopic = Callable[..., ms.Topic]
VALUES = pa.schema([("value", pa.binary())])


def stream(*batches: list[bytes]) -> pa.RecordBatchReader:
    found = (pa.record_batch({"value": pa.array(rows, pa.binary())}) for rows in batches)
    return pa.RecordBatchReader.from_batches(VALUES, found)


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ([b"a", b"b", b"c"], "rows 0 to 2 were"),
        ([b"a"], "row 0 was"),
        ([{"value": b"a"}, {"value": b"b"}], "rows 0 to 1 were"),
        ({"value": [b"a", b"b"]}, "rows 0 to 1 were"),
        (pa.table({"value": ["a"] * 300_000}), "rows 0 to 299999 were"),
        (pa.record_batch({"value": ["a"] * 4}), "rows 0 to 3 were"),
        (pa.chunked_array([["a"], ["b"]]), "rows 0 to 1 were"),
        (lambda: stream([b"a"], [b"b"]), "row 0 and all after it were"),
    ],
    ids=["bytes", "one", "dicts", "columns", "table", "batch", "column", "stream"],
)
def test_an_unknown_topic_names_the_rows(stem: ms.Stem, data: Any, rows: str) -> None:
    """Until then it named none where nothing had been sent before."""

    async def main() -> None:
        async with await ms.aconnect(stem.address) as client:
            with pytest.raises(
                ms.Invalid, match=rf"no topic 'nowhere'.* \[{rows} not sent\]$"
            ) as e:
                await AsyncTopic(client, "nowhere").append(data() if callable(data) else data)
            assert e.value.code == 3

    asyncio.run(main())


def test_a_topic_deleted_meanwhile_names_the_rows(stem: ms.Stem, make_topic: MakeTopic) -> None:
    """Whether the client learns of it before it sends or from the answer."""
    topic = make_topic()
    topic.append([b"a"])
    stem.delete_topic(topic.name)
    with pytest.raises(ms.Invalid, match=r"no topic.*\[rows 0 to 2 (failed; 0 rows|were not sent)"):
        topic.append([b"a", b"b", b"c"])


def test_a_topic_deleted_under_a_stream_says_where_the_unsent_rows_begin(
    stem: ms.Stem, make_topic: MakeTopic
) -> None:
    topic = make_topic()

    def endless() -> Iterator[Any]:
        yield pa.record_batch({"value": pa.array([b"a"] * 3, pa.binary())})
        with ms.connect(stem.address) as other:
            other.delete_topic(topic.name)
        while True:
            yield pa.record_batch({"value": pa.array([b"b"] * 2, pa.binary())})

    wanted = r"no topic.*row (\d+) and all after it were not sent; (\d+) rows were ackn"
    with pytest.raises(ms.Invalid, match=wanted) as caught:
        topic.append(pa.RecordBatchReader.from_batches(VALUES, endless()))
    found = re.search(wanted, str(caught.value))
    assert found is not None
    first, written = map(int, found.groups())
    assert first % 2 == 1  # a batch's first row
    assert first >= written


def test_a_partition_that_is_not_there_names_the_rows(make_topic: MakeTopic) -> None:
    with pytest.raises(ms.Invalid, match=r"has no partition 7.*\[rows 0 to 1 were not sent\]$"):
        make_topic().append([b"a", b"b"], partition=7)


def test_what_is_wrong_with_the_call_itself_names_no_rows(make_topic: MakeTopic) -> None:
    with pytest.raises(ms.Invalid, match=r"there is no column 'k': there are 'value'$"):
        make_topic().append(pa.table({"value": ["a"]}), key="k")


@pytest.mark.parametrize(
    ("total", "touched", "text"),
    [
        (5, 0, "down [rows 0 to 4 were not sent]"),
        (5, 4, "down [row 4 was not sent]"),
        (5, 5, "down"),
        (0, 0, "down"),
        (None, 5, "down [row 5 and all after it were not sent]"),
    ],
)
def test_what_is_left_is_counted_from_what_was_touched(
    total: int | None, touched: int, text: str
) -> None:
    sent = Sent(total)
    sent.touched = touched
    assert str(sent.partial(ms.Unavailable("down"))) == text
