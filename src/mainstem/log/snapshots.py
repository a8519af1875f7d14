"""Producer state on disk: ``<offset, 20 digits>.producers``, everything below that offset.

Not Kafka's ``.snapshot``, which keeps one batch per producer where a restart must still
recognise five. Big-endian::

    0  magic "MSPS"   4      14 producers: producer_id 8, epoch 2, seen_ms 8, batches 1 (1..5),
    4  version (1)    2         each batch: first_sequence 4, last_sequence 4, base_offset 8,
    6  count          4                     last_offset 8, timestamp 8
    10 crc32c of 14.. 4
"""

from __future__ import annotations

import struct

from mainstem.filesystem import FileSystem, read_file, write_all
from mainstem.kernels import crc32c
from mainstem.log.producers import REMEMBERED_BATCHES, ProducedBatch, Producer, Producers
from mainstem.log.segment import segment_name

SUFFIX = ".producers"
_HEAD = struct.Struct(">4sHII")
_PRODUCER = struct.Struct(">qhqb")
_BATCH = struct.Struct(">iiqqq")
_MAGIC, _VERSION = b"MSPS", 1


class SnapshotError(ValueError):
    """A snapshot that must not be trusted; the state can be rebuilt from the log."""


def encode_snapshot(producers: Producers) -> bytes:
    parts = []
    for producer in producers.by_id.values():
        parts.append(
            _PRODUCER.pack(
                producer.producer_id, producer.epoch, producer.seen_ms, len(producer.batches)
            )
        )
        parts.extend(_BATCH.pack(*batch) for batch in producer.batches)
    body = b"".join(parts)
    return _HEAD.pack(_MAGIC, _VERSION, len(producers.by_id), crc32c(body)) + body


def decode_snapshot(data: bytes) -> Producers:
    """Raises ``SnapshotError`` unless every byte is as written."""
    if len(data) < _HEAD.size:
        raise SnapshotError(f"{len(data)} bytes are too few for a snapshot")
    magic, version, count, checksum = _HEAD.unpack_from(data)
    if (magic, version) != (_MAGIC, _VERSION) or crc32c(data[_HEAD.size :]) != checksum:
        raise SnapshotError("wrong magic, version or CRC-32C")
    producers, position = Producers(), _HEAD.size
    try:
        for _ in range(count):
            producer_id, epoch, seen_ms, batches = _PRODUCER.unpack_from(data, position)
            position += _PRODUCER.size
            if not 1 <= batches <= REMEMBERED_BATCHES:
                raise SnapshotError(f"producer {producer_id} has {batches} batches")
            producer = producers.by_id[producer_id] = Producer(producer_id, epoch, seen_ms)
            for _ in range(batches):
                producer.batches.append(ProducedBatch(*_BATCH.unpack_from(data, position)))
                position += _BATCH.size
    except struct.error as error:
        raise SnapshotError(f"cut short at byte {position}") from error
    if position != len(data):
        raise SnapshotError(f"{len(data) - position} bytes too many")
    return producers


def write_snapshot(
    filesystem: FileSystem, directory: str, offset: int, producers: Producers, *, sync: bool
) -> None:
    """Write the state below ``offset``; its CRC makes a torn one harmless."""
    file = filesystem.open(f"{directory}/{segment_name(offset)}{SUFFIX}", create=True)
    write_all(file, encode_snapshot(producers), 0)
    if sync:
        file.fdatasync()


def snapshot_offsets(names: list[str]) -> list[int]:
    """Offsets of the snapshots among a directory's names, ascending."""
    stems = (name[: -len(SUFFIX)] for name in names if name.endswith(SUFFIX))
    return sorted(int(stem) for stem in stems if len(stem) == 20 and stem.isdecimal())


def read_snapshot(filesystem: FileSystem, directory: str, offset: int) -> Producers:
    return decode_snapshot(read_file(filesystem, f"{directory}/{segment_name(offset)}{SUFFIX}"))
