"""Damaged batches by the hundred thousand: the kernel and the plain reference must agree.

Every case either gives the same records in both or is refused by both; nothing crashes, hangs
or allocates by what a damaged number says.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
import subprocess
import sys

import pytest

from mainstem.kernels import BatchError, decode_records, read_batches
from reference.record_batch import Reader, Record, decode_record, encode_records, varint

SEED = int(os.environ.get("TEST_SEED", "7"))
HEADER = struct.Struct(">qiiBIhiqqqhii")
EXTREMES = [0, 1, -1, -2, 63, 64, 127, 128, 2**31 - 1, -(2**31), 2**31 - 8, 2**20]

Rows = list[tuple[int, int, bytes | None, bytes | None, int]]


def batch_around(body: bytes, count: int, last_offset_delta: int) -> bytes:
    size = len(body) + 49
    return HEADER.pack(5, size, 0, 2, 0, 0, last_offset_delta, 100, 200, -1, -1, -1, count) + body


def by_reference(body: bytes, count: int, last_offset_delta: int) -> Rows | None:
    reader = Reader(body)
    least, rows = 0, []
    if last_offset_delta < 0 or not 0 <= count <= last_offset_delta + 1:
        return None
    try:
        for _ in range(count):
            record = decode_record(reader)
            if not least <= record.offset_delta <= last_offset_delta:
                return None
            least = record.offset_delta + 1
            timestamp = (100 + record.timestamp_delta + 2**63) % 2**64 - 2**63
            headers = len(record.headers)
            rows.append((5 + record.offset_delta, timestamp, record.key, record.value, headers))
    except ValueError:
        return None
    return rows if reader.position == len(body) else None


def by_kernel(body: bytes, count: int, last_offset_delta: int) -> Rows | None:
    data = batch_around(body, count, last_offset_delta)
    try:
        columns = decode_records(data, read_batches(data, verify_crc=False, dense=False))
    except BatchError as error:
        return None if error.reason in {"record", "count"} else [(-1, -1, None, None, -1)]
    n = columns.count
    keys = entries(columns.key_offsets, columns.keys, columns.key_validity, columns.key_nulls, n)
    values = entries(
        columns.value_offsets, columns.values, columns.value_validity, columns.value_nulls, n
    )
    offsets = struct.unpack(f"={n}q", bytes(columns.offsets))
    timestamps = struct.unpack(f"={n}q", bytes(columns.timestamps))
    ends = [0] * (n + 1)
    if columns.headers is not None:
        ends = list(struct.unpack(f"={n + 1}i", bytes(columns.headers.offsets)))
        assert ends[n] == columns.headers.count
    headers = [after - before for before, after in itertools.pairwise(ends)]
    return list(zip(offsets, timestamps, keys, values, headers, strict=True))


def entries(
    offsets: object, data: object, validity: object, nulls: int, count: int
) -> list[bytes | None]:
    ends = struct.unpack(f"={count + 1}i", bytes(offsets))  # type: ignore[call-overload]
    content = bytes(data)  # type: ignore[call-overload]
    bits = int.from_bytes(bytes(validity), "little")  # type: ignore[call-overload]
    found = [content[ends[i] : ends[i + 1]] if bits >> i & 1 else None for i in range(count)]
    assert found.count(None) == nulls
    assert ends[0] == 0
    assert ends[-1] == len(content)
    return found


def random_record(chooser: random.Random, offset_delta: int) -> Record:
    def some() -> bytes | None:
        size = chooser.choice([None, 0, 1, 5, 40, 70, 300])
        return None if size is None else chooser.randbytes(size)

    headers = tuple(("h" * chooser.randrange(4), some()) for _ in range(chooser.randrange(3)))
    if chooser.random() < 0.6:
        headers = ()
    delta = chooser.choice([0, 1, -1, 1000, -(2**63), 2**63 - 1])
    return Record(some(), some(), delta, offset_delta, headers)


def damaged(chooser: random.Random, body: bytes) -> bytes:
    data = bytearray(body)
    for _ in range(chooser.choice([0, 1, 1, 1, 2, 4])):
        at = chooser.randrange(len(data) + 1)
        kind = chooser.randrange(7)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << chooser.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = chooser.choice([0, 1, 2, 0x7F, 0x80, 0xFF])
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data[at:at] = chooser.randbytes(chooser.randrange(1, 12))
        elif kind == 4:
            data[at:at] = b"\xff" * chooser.randrange(1, 11)
        elif kind == 5:
            spliced = varint(chooser.choice(EXTREMES))
            data[at : at + len(spliced)] = spliced
        else:
            data[at : at + chooser.randrange(1, 9)] = b""
    return bytes(data)


def case(chooser: random.Random) -> tuple[bytes, int, int]:
    if chooser.random() < 0.15:
        body = chooser.randbytes(chooser.randrange(60))
        count = chooser.randrange(4)
    else:
        count = chooser.randrange(1, 5)
        body = damaged(
            chooser, encode_records(tuple(random_record(chooser, i) for i in range(count)))
        )
    delta = max(count - 1, 0)
    if chooser.random() < 0.1:
        count = chooser.choice([*EXTREMES, count + 1, count - 1])
    if chooser.random() < 0.1:
        delta = chooser.choice([*EXTREMES, delta + 1, delta + 9])
    return body, count, delta


def compare(seed: str, cases: int) -> int:
    chooser = random.Random(seed)
    accepted = 0
    for index in range(cases):
        body, count, delta = case(chooser)
        expected = by_reference(body, count, delta)
        assert by_kernel(body, count, delta) == expected, f"seed {seed} case {index}"
        accepted += expected is not None
    return accepted


def test_kernel_and_reference_agree_on_damaged_batches() -> None:
    accepted = compare(f"fast {SEED}", 12_000)
    assert 1000 < accepted < 11_000, "the cases must be a mixture of good and bad"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_kernel_and_reference_agree_on_many_damaged_batches(part: int) -> None:
    compare(f"slow {SEED} {part}", 100_000)


def test_random_bytes_are_never_taken_for_a_batch_that_is_not_there() -> None:
    chooser = random.Random(SEED)
    for index in range(20_000):
        data = chooser.randbytes(chooser.randrange(140))
        if index % 2 and len(data) > 16:
            data = data[:8] + struct.pack(">i", len(data) - 12) + data[12:16] + b"\2" + data[17:]
        try:
            headers = read_batches(data, verify_crc=False, whole=False, dense=False)
            decode_records(data, headers)
        except BatchError as error:
            assert error.reason in {"size", "magic", "count", "record"}, (  # noqa: PT017
                f"seed {SEED} case {index}: {error}"
            )


GREEDY = """
import resource, struct
from mainstem.kernels import BatchError, decode_records, read_batches
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 20), resource.RLIM_INFINITY))
body = bytes(1000)
header = struct.Struct(">qiiBIhiqqqhii")
for count in (2**31 - 1, 2**30, 2**24, 1000, 143):
    data = header.pack(0, 1049, 0, 2, 0, 0, count - 1, 0, 0, -1, -1, -1, count) + body
    try:
        decode_records(data, read_batches(data, verify_crc=False))
    except BatchError:
        continue
    raise SystemExit(f"count {count} was believed")
print("frugal")
"""


def test_counts_are_not_believed_when_memory_is_taken() -> None:
    """The process may take 16 MiB more; two billion records would need 50 GB."""
    done = subprocess.run(
        [sys.executable, "-c", GREEDY], capture_output=True, text=True, check=False
    )
    assert done.stdout == "frugal\n", done.stderr


def test_batch_of_the_fuzzer_is_one_the_reference_writes() -> None:
    records = (Record(b"v", b"k", 3, 0), Record(None, None, -3, 1))
    expected = [(5, 103, b"k", b"v", 0), (6, 97, None, None, 0)]
    assert by_kernel(encode_records(records), 2, 1) == expected
    assert by_reference(encode_records(records), 2, 1) == expected
