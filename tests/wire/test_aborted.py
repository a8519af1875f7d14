"""What ``read_committed`` leaves out of a fetched answer."""

from __future__ import annotations

import random
import struct
from typing import Any

import pyarrow as pa
import pytest

from mainstem.errors import Corrupt
from mainstem.kernels import seal, stamp
from mainstem.wire import decode_batches, encode_batch


class Answer:
    """A fetched buffer, batch by batch."""

    def __init__(self, first: int = 0) -> None:
        self.data = bytearray()
        self.next = first

    def _put(self, batch: bytearray, rows: int) -> int:
        offset, self.next = self.next, self.next + rows
        stamp(batch, 0, offset, 0)
        self.data += batch
        return offset

    def batch(self, values: list[str], producer: int = -1, *, transactional: bool = True) -> int:
        found = bytearray(
            encode_batch(pa.array([v.encode() for v in values], pa.binary()), now_ms=1)
        )
        if producer >= 0:
            seal(found, 0, producer_id=producer, producer_epoch=0, base_sequence=0,
                 transactional=transactional)  # fmt: skip
        return self._put(found, len(values))

    def marker(self, producer: int, *, commit: bool, key: bytes | None = None) -> int:
        """A control batch: its key is version and type, its value the coordinator's epoch."""
        key = struct.pack(">hh", 0, int(commit)) if key is None else key
        one = encode_batch(
            pa.array([bytes(6)], pa.binary()), key=pa.array([key], pa.binary()), now_ms=1
        )
        found = bytearray(one)
        attributes = struct.unpack_from(">h", found, 21)[0] | 0x20
        struct.pack_into(">h", found, 21, attributes)
        seal(found, 0, producer_id=producer, producer_epoch=0, transactional=True)
        return self._put(found, 1)

    def read(self, *aborted: tuple[int, int], **options: Any) -> list[str]:
        """All values, in as many steps as it takes."""
        values, start = [], 0
        while start < len(self.data):
            found = decode_batches(self.data, start=start, aborted=aborted, **options)
            values += [value.decode() for value in found.records["value"].to_pylist()]
            start = found.end
        assert found.next_offset == self.next
        return values


def test_aborted_records_are_left_out_and_all_others_are_not() -> None:
    answer = Answer(100)
    first = answer.batch(["a1", "a2"], 7)
    answer.batch(["b1"], 8)
    answer.batch(["plain"])
    answer.batch(["a3"], 7)
    answer.marker(7, commit=False)
    answer.marker(8, commit=True)
    answer.batch(["a4"], 7)
    answer.marker(7, commit=True)
    assert answer.read((7, first)) == ["b1", "plain", "a4"]
    assert answer.read() == ["a1", "a2", "b1", "plain", "a3", "a4"]


def test_a_transaction_that_began_before_the_answer_is_known() -> None:
    answer = Answer(100)
    answer.batch(["a"], 7)
    answer.marker(7, commit=False)
    answer.batch(["b"], 7)
    assert answer.read((7, 12)) == ["b"]


def test_what_comes_before_the_first_offset_of_an_aborted_transaction_counts() -> None:
    answer = Answer()
    answer.batch(["a"], 7)
    answer.marker(7, commit=True)
    second = answer.batch(["b"], 7)
    answer.marker(7, commit=False)
    assert answer.read((7, second)) == ["a"]


def test_idempotent_records_of_the_same_producer_id_count() -> None:
    answer = Answer()
    first = answer.batch(["a"], 7)
    answer.batch(["b"], 7, transactional=False)
    answer.marker(7, commit=False)
    assert answer.read((7, first)) == ["b"]


def test_markers_before_the_step_count_too() -> None:
    """Decoded in steps, the second must know of the marker that the first passed."""
    answer = Answer()
    first = answer.batch(["x" * 100], 7)
    answer.marker(7, commit=False)
    for n in range(5):
        answer.batch([f"{n}" * 100], 7)
    answer.marker(7, commit=True)
    limit = 300
    one_step = decode_batches(answer.data, aborted=[(7, first)], limit=limit)
    assert one_step.end < len(answer.data), "this needs several steps"
    assert answer.read((7, first), limit=limit) == [f"{n}" * 100 for n in range(5)]


def test_any_interleaving_is_read_as_a_model_reads_it() -> None:
    seed = random.randrange(2**32)
    source = random.Random(seed)
    for _ in range(50):
        answer, expected = Answer(source.randrange(1000)), []
        running: dict[int, tuple[int, list[tuple[int, str]]]] = {}
        aborted: list[tuple[int, int]] = []
        kept: list[tuple[int, str]] = []
        for turn in range(source.randrange(1, 40)):
            producer = source.randrange(4)
            if source.random() < 0.3 and producer in running:
                first, said = running.pop(producer)
                commit = source.random() < 0.5
                answer.marker(producer, commit=commit)
                kept += said if commit else []
                aborted += [] if commit else [(producer, first)]
                continue
            words = [f"{turn}.{n}" for n in range(source.randrange(1, 4))]
            offset = answer.batch(words, producer)
            first, said = running.setdefault(producer, (offset, []))
            said += [(offset + n, word) for n, word in enumerate(words)]
        for _, said in running.values():
            kept += said  # the answer ends at the last stable offset; these are a model's rest
        expected = [word for _, word in sorted(kept)]
        source.shuffle(aborted)
        assert answer.read(*aborted) == expected, f"seed {seed}"
        assert answer.read(*aborted, limit=60) == expected, f"seed {seed}"


@pytest.mark.parametrize("key", [b"", b"\0", b"\0\0\0"])
def test_a_marker_without_a_type_is_corrupt(key: bytes) -> None:
    answer = Answer()
    first = answer.batch(["a"], 7)
    answer.marker(7, commit=False, key=key)
    with pytest.raises(Corrupt, match="has no type"):
        answer.read((7, first))
