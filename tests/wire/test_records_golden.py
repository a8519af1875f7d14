"""Batches made by other clients' own encoders (see golden/) are read record by record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mainstem.kernels import read_batches
from mainstem.wire import decode_batches, encode_batch
from reference.record_batch import decode as reference_decode

GOLDEN = Path(__file__).parent / "golden"
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
CLIENTS = ["aiokafka", "kafka_python", "java"]


def content(text: str) -> bytes | None:
    return None if text == "-" else bytes.fromhex(text)


def corpus() -> list[dict[str, Any]]:
    rows = []
    for line in (GOLDEN / "corpus.txt").read_text().splitlines():
        timestamp, key, value, headers = line.split("\t")
        pairs = [pair.split("=") for pair in headers.split(",") if pair]
        rows.append(
            {
                "timestamp": int(timestamp),
                "key": content(key),
                "value": content(value),
                "headers": [(bytes.fromhex(name).decode(), content(data)) for name, data in pairs],
            }
        )
    return rows


def read(name: str) -> list[dict[str, Any]]:
    records = decode_batches((GOLDEN / name).read_bytes()).records
    records.validate(full=True)
    times = records["_timestamp"].view("int64").to_pylist()
    headers = [[(h["key"], h["value"]) for h in row] for row in records["_headers"].to_pylist()]
    columns = (times, records["_key"].to_pylist(), records["value"].to_pylist(), headers)
    names = ("timestamp", "key", "value", "headers")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("client", CLIENTS)
def test_batch_of_another_client(client: str, codec: str) -> None:
    name = f"{client}_{codec}.bin"
    (header,) = read_batches((GOLDEN / name).read_bytes())
    assert header.codec == CODECS.index(codec)
    assert read(name) == corpus()


@pytest.mark.parametrize("name", ["idempotent_lz4", "transactional_none"])
def test_producer_fields_of_javas_batches(name: str) -> None:
    (header,) = read_batches((GOLDEN / f"java_{name}.bin").read_bytes())
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (4000, 7, 123)
    assert header.transactional == (name == "transactional_none")
    assert read(f"java_{name}.bin") == corpus()


def test_javas_log_append_time_replaces_every_timestamp() -> None:
    (header,) = read_batches((GOLDEN / "java_append_time_zstd.bin").read_bytes())
    assert header.log_append_time
    assert header.base_offset == 1000
    assert {row["timestamp"] for row in read("java_append_time_zstd.bin")} == {header.max_timestamp}


def test_javas_control_batch_has_no_records_but_an_offset() -> None:
    data = (GOLDEN / "java_control.bin").read_bytes()
    decoded = decode_batches(data)
    assert decoded.records.num_rows == 0
    assert (decoded.next_offset, decoded.end) == (1101, len(data))


def test_encoder_writes_the_bytes_java_writes() -> None:
    rows = corpus()
    import pyarrow as pa

    batch = encode_batch(
        pa.array([row["value"] for row in rows]),
        pa.array([row["key"] for row in rows]),
        pa.array([row["timestamp"] for row in rows]),
        pa.array([row["headers"] for row in rows], pa.map_(pa.string(), pa.binary())),
        now_ms=0,
    )
    assert bytes(batch) == (GOLDEN / "java_none.bin").read_bytes()


def test_reference_reads_the_same_as_java_wrote() -> None:
    batch = reference_decode((GOLDEN / "java_none.bin").read_bytes())
    rows = [
        {
            "timestamp": batch.base_timestamp + record.timestamp_delta,
            "key": record.key,
            "value": record.value,
            "headers": list(record.headers),
        }
        for record in batch.records
    ]
    assert rows == corpus()
