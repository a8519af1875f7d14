"""Record batches ⇄ Arrow on one core: million records a second, beside peers in the same run.

``python -m benchmarks.bench_records [--rounds N]``. Decode includes the CRC check and building
the RecordBatch; encode includes the CRC. Peers: aiokafka's compiled reader and builder (one
Python object per record) and a bare copy of the same bytes. Times are CPU time, so that a busy
machine blurs them less; rounds of all are interleaved and the median is shown. Traps: a fetched
megabyte of 16 KiB batches is decoded in one call, as Fetch delivers it; zstd measures zstd; the
copy of compressed bytes is of few bytes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pyarrow as pa
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from mainstem.wire import decode_batches, encode_batches

FETCH_BYTES = 1 << 20
NOW = 1_700_000_000_000
PEER_ROWS = 20_000


def column(size: int) -> pa.Array:
    """About a fetch of JSON-like values that zstd can halve a few times."""
    rows = FETCH_BYTES // size
    text = [f'{{"flight":{i},"tail":"N{i * 7919 % 100000}","delay":{i % 97}}}' for i in range(rows)]
    return pa.array([(line * (size // len(line) + 1))[:size].encode() for line in text])


def peer_decode(data: bytes) -> int:
    records, count = MemoryRecords(data), 0
    while (batch := records.next_batch()) is not None:
        if not batch.validate_crc():
            raise SystemExit("CRC")
        for _ in batch:
            count += 1
    return count


def peer_encode(values: list[bytes], codec: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 30)
    for i, value in enumerate(values):
        builder.append(i, NOW, None, value, [])
    return bytes(builder.build())


def contenders(size: int, batch_bytes: int, codec: int) -> dict[str, tuple[int, Callable[[], Any]]]:
    values = column(size)
    times = pa.array([NOW + i for i in range(len(values))], pa.timestamp("ms"))

    def encode() -> list[bytearray]:
        options = {"codec": codec, "batch_bytes": batch_bytes, "now_ms": NOW}
        return list(encode_batches(values, None, times, **options))

    data = b"".join(encode())
    plain = values.to_pylist()[:PEER_ROWS]
    if decode_batches(data).records["value"] != values or peer_decode(data) != len(values):
        raise SystemExit("the decoders disagree")
    return {
        "decode": (len(values), lambda: decode_batches(data)),
        "aiokafka decode": (len(values), lambda: peer_decode(data)),
        "encode": (len(values), encode),
        "aiokafka encode": (len(plain), lambda: peer_encode(plain, codec)),
        "copy": (len(values), lambda: bytearray(data)),
    }


def rates(size: int, batch_bytes: int, codec: int, rounds: int) -> dict[str, float]:
    """Median million records a second of each contender, rounds interleaved."""
    entries = contenders(size, batch_bytes, codec)
    seconds: dict[str, list[float]] = {name: [] for name in entries}
    for _ in range(rounds):
        for name, (rows, run) in entries.items():
            start = time.thread_time()
            run()
            seconds[name].append((time.thread_time() - start) / rows)
    return {name: 1e-6 / median(times) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    names = ["decode", "aiokafka decode", "encode", "aiokafka encode", "copy"]
    print("million records/s".ljust(24) + "".join(name.rjust(17) for name in names))
    for size in (100, 1000):
        for batch_bytes in (1 << 20, 1 << 14):
            for codec, codec_name in ((0, "none"), (4, "zstd")):
                found = rates(size, batch_bytes, codec, rounds)
                label = f"{size} B, {batch_bytes >> 10} KiB, {codec_name}"
                print(label.ljust(24) + "".join(f"{found[name]:17.2f}" for name in names))


if __name__ == "__main__":
    main()
