"""Writes aiokafka_*.bin and kafka_python_*.bin with those clients' own batch builders.

Run by hand when a client's format changes; the outputs are committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aiokafka.record.default_records import DefaultRecordBatchBuilder as AiokafkaBuilder
from kafka.record.default_records import DefaultRecordBatchBuilder as KafkaPythonBuilder

HERE = Path(__file__).parent
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def rows() -> Iterator[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    for line in (HERE / "corpus.txt").read_text().splitlines():
        timestamp, key, value, headers = line.split("\t")
        pairs = [pair.split("=") for pair in headers.split(",") if pair]
        yield (
            int(timestamp),
            _bytes(key),
            _bytes(value),
            [(bytes.fromhex(name).decode(), _bytes(content)) for name, content in pairs],
        )


def _bytes(text: str) -> bytes | None:
    return None if text == "-" else bytes.fromhex(text)


def main() -> None:
    for client, builder_class in (
        ("aiokafka", AiokafkaBuilder),
        ("kafka_python", KafkaPythonBuilder),
    ):
        for name, codec in CODECS.items():
            builder = builder_class(2, codec, False, 4000, 7, 123, 1 << 24)
            for i, (timestamp, key, value, headers) in enumerate(rows()):
                builder.append(i, timestamp, key, value, headers)
            (HERE / f"{client}_{name}.bin").write_bytes(bytes(builder.build()))


if __name__ == "__main__":
    main()
