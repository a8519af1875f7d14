"""Batches of one reader are decoded side by side where their format remembers nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.client import append

ROWS = 400_000
PATIENCE = 30.0


class Meeting:
    """A decoder that waits until another batch is being decoded, or sees that none ever is."""

    def __init__(self, *, forgetful: bool) -> None:
        self.forgetful = forgetful
        self._changed = threading.Condition()
        self._inside = 0
        self.most = 0

    def __call__(self, values: Any, _where: Callable[[int], str]) -> dict[str, Any]:
        with self._changed:
            self._inside += 1
            self.most = max(self.most, self._inside)
            self._changed.notify_all()
            if self.forgetful:
                assert self._changed.wait_for(lambda: self.most > 1, PATIENCE)
            self._inside -= 1
        return {"value": values}


class Watched:
    """``Raw`` with a decoder that is watched."""

    def __init__(self, decoder: Meeting) -> None:
        self._decoder = decoder
        self.encode = ms.Raw().encode

    def decoder(self) -> Meeting:
        """See ``Format``."""
        return self._decoder


@pytest.mark.parametrize("forgetful", [True, False])
def test_batches_are_decoded_at_the_same_time_only_where_nothing_is_remembered(
    make_topic: Callable[..., ms.Topic], forgetful: bool
) -> None:
    topic = make_topic()
    topic.append(pa.table({"value": pa.array([b"x" * 20] * ROWS)}))
    decoder = Meeting(forgetful=forgetful)
    rows = sum(batch.num_rows for batch in topic.read(format=Watched(decoder)))
    assert rows == ROWS
    assert (decoder.most > 1) == forgetful


def test_json_by_a_schema_remembers_nothing_but_what_goes_to_a_side_output_keeps_its_order() -> (
    None
):
    schema = pa.schema([("x", pa.int64())])
    assert ms.Json(schema).decoder().forgetful  # type: ignore[attr-defined]
    assert not ms.Json().decoder().forgetful  # type: ignore[attr-defined]
    aside = ms.Json(schema, clash="side", side=print)
    assert not aside.decoder().forgetful  # type: ignore[attr-defined]


def test_rows_keep_their_order_when_batches_are_decoded_side_by_side(
    make_topic: Callable[..., ms.Topic],
) -> None:
    topic = make_topic()
    numbers = pa.table({"number": pa.array(range(ROWS), pa.int64())})
    topic.append(numbers, format=ms.Json())
    read = topic.read(format=ms.Json(numbers.schema), batch_rows=50_000)
    found = pa.Table.from_batches([batch.select(["number"]) for batch in read])
    assert found.column("number").to_pylist() == list(range(ROWS))


ROW = pa.record_batch({"value": [b"x"]})
LOOP = "mainstem-client"  # the thread of the blocking face's loop


@pytest.mark.parametrize(
    ("data", "on_the_loop"),
    [
        (pa.Table.from_batches([ROW] * 3), True),
        (pa.Table.from_batches([ROW] * 2000), False),  # looking through it would take a while
        (ROW, True),
        (pa.RecordBatchReader.from_batches(ROW.schema, [ROW]), False),  # it may wait for more
        ([b"x"] * 5, True),
        ([b"x"] * 5000, False),
    ],
    ids=["table", "chunks", "batch", "stream", "few rows", "many rows"],
)
def test_the_loop_slices_only_what_is_at_hand(
    make_topic: Callable[..., ms.Topic],
    monkeypatch: pytest.MonkeyPatch,
    data: Any,
    on_the_loop: bool,
) -> None:
    names = set()

    def watched(rows: Any) -> Any:
        source = slices(rows)
        while (found := next(source, None)) is not None:
            names.add(threading.current_thread().name)
            yield found

    slices = append.slices
    monkeypatch.setattr(append, "slices", watched)
    make_topic().append(data)
    assert (names == {LOOP}) == on_the_loop
    assert (LOOP in names) == on_the_loop


def test_the_first_slice_is_small_as_nothing_is_done_beside_it() -> None:
    rows = pa.record_batch({"value": [b"x" * 100] * 400_000})
    sizes = [found.num_rows for found in append.slices(rows)]
    assert sum(sizes) == 400_000
    assert sizes[0] == sizes[1] // 8
    assert set(sizes[1:-1]) == {sizes[1]}
