"""Finding records without a key, against the plain-Python records and damaged ones."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.kernels import BatchError, first_without_key
from reference.record_batch import Record, encode_record, encode_records

KEYS = st.lists(st.one_of(st.none(), st.binary(max_size=300)), max_size=12)


@given(KEYS)
def test_the_first_record_without_a_key_is_found(keys: list[bytes | None]) -> None:
    records = tuple(
        Record(b"v" * i, key, timestamp_delta=i << 40, offset_delta=i) for i, key in enumerate(keys)
    )
    missing = keys.index(None) if None in keys else -1
    assert first_without_key(encode_records(records), len(keys)) == missing


@given(KEYS.filter(lambda keys: None not in keys and keys), st.data())
def test_records_cut_short_are_refused(keys: list[bytes], data: st.DataObject) -> None:
    records = encode_records(tuple(Record(b"v", key) for key in keys))
    cut = data.draw(st.integers(0, len(records) - 1))
    with pytest.raises(BatchError):
        first_without_key(records[:cut], len(keys))


@given(st.binary(max_size=200), st.integers(1, 2**31 - 1))
def test_random_bytes_are_read_or_refused(records: bytes, count: int) -> None:
    with suppress(BatchError):
        assert -1 <= first_without_key(records, count) < count


def test_a_key_longer_than_its_record_is_refused() -> None:
    record = bytearray(encode_record(Record(b"v", b"key")))
    assert first_without_key(record, 1) == -1
    record[4] = 2 * 7  # the key's length: seven bytes, of which six are there
    with pytest.raises(BatchError):
        first_without_key(bytes(record) + b"and more behind it", 1)
