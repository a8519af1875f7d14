"""Kafka's murmur2, against the vectors of its own test and the Python clients."""

from __future__ import annotations

import random
import struct

import pyarrow as pa
import pytest

from mainstem.kernels import BinaryColumn, murmur2, partitions_of
from reference.murmur2 import murmur2 as reference_murmur2
from reference.murmur2 import partition

# Apache Kafka, UtilsTest.testMurmur2
VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def column(array: pa.Array) -> BinaryColumn:
    validity, offsets, data = array.buffers()
    wide = array.type in (pa.large_binary(), pa.large_string())
    return BinaryColumn(offsets, data, validity, array.offset, len(array), wide)


def partitions(array: pa.Array, count: int) -> list[int]:
    memory = partitions_of(column(array), count)
    return list(struct.unpack(f"={len(array)}i", bytes(memory)))


@pytest.mark.parametrize("key", VECTORS)
def test_kafkas_own_vectors(key: bytes) -> None:
    assert murmur2(key) == VECTORS[key]


def test_same_hash_as_the_reference() -> None:
    chooser = random.Random(11)
    for size in range(300):
        key = chooser.randbytes(size)
        assert murmur2(key) == reference_murmur2(key), f"seed 11 size {size}"


def test_same_hash_as_aiokafka() -> None:
    partitioner = pytest.importorskip("aiokafka.partitioner")
    chooser = random.Random(13)
    for size in range(200):
        key = chooser.randbytes(size)
        assert murmur2(key) & 0xFFFFFFFF == partitioner.murmur2(key) & 0xFFFFFFFF, f"seed 13 {size}"


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("count", [1, 3, 16, 2**31 - 1])
def test_partition_of_each_key_of_a_column(kind: pa.DataType, count: int) -> None:
    chooser = random.Random(12)
    keys = [chooser.randbytes(chooser.randrange(40)) for _ in range(300)]
    expected = [partition(key, count) for key in keys]
    assert partitions(pa.array(keys, kind), count) == expected


def test_null_key_has_no_partition() -> None:
    assert partitions(pa.array([b"foobar", None, b""]), 7)[1] == -1


def test_sliced_column() -> None:
    array = pa.array([b"x", None, b"foobar", b"21", b"y"])
    assert partitions(array.slice(2, 2), 1000) == partitions(array, 1000)[2:4]


@pytest.mark.parametrize("count", [0, -1])
def test_topic_without_partitions_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="partitions"):
        partitions_of(column(pa.array([b"x"])), count)
