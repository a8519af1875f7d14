"""Requests that scenarios of every kind need, and record batches with any field wrong."""

from __future__ import annotations

import struct
import time
import uuid
from typing import Any

from interop.differential.site import Site
from reference.record_batch import Batch, Record, batch_of, encode, encode_around, encode_records

__all__ = ["Batch", "Record", "batch_of", "encode", "encode_around", "encode_records"]

NOW_MS = int(time.time() * 1000)
NO_SUCH_ID = uuid.UUID(int=0x0123456789ABCDEF)


def batch(*values: bytes | None, key: bytes | None = None, **fields: int) -> bytes:
    """One uncompressed batch, a millisecond between records, from now on."""
    fields.setdefault("base_timestamp", NOW_MS)
    records = [Record(value, key, timestamp_delta=i) for i, value in enumerate(values)]
    return encode(batch_of(records, **fields))


def create(site: Site, *names: str, partitions: int = 1, **configs: str) -> None:
    """Topics that the scenario needs."""
    answer = site.quietly(
        19,
        5,
        topics=[
            {
                "name": name,
                "num_partitions": partitions,
                "replication_factor": 1,
                "configs": [{"name": k.replace("_", "."), "value": v} for k, v in configs.items()],
            }
            for name in names
        ],
    )
    assert all(topic.error_code == 0 for topic in answer.topics), answer
    for name in names:
        for partition in range(partitions):
            wait_until_led(site, name, partition)


def wait_until_led(site: Site, topic: str, partition: int, *, code: int = 0) -> None:
    """Until it has a leader, or is gone (``code`` 3): Kafka's broker hears of it a bit later."""
    deadline = time.monotonic() + 10
    asked = {"partition_index": partition, "timestamp": -2}
    while True:
        topics = [{"name": topic, "partitions": [asked]}]
        answer = site.quietly(2, 5, replica_id=-1, topics=topics)
        if answer.topics[0].partitions[0].error_code == code:
            return
        assert time.monotonic() < deadline, answer


def wait_for_coordinator(site: Site) -> None:
    """Kafka makes its offsets topic at the first question for it."""
    deadline = time.monotonic() + 30
    while True:
        found = site.quietly(10, 3, key_type=0, coordinator_keys=["any"]).coordinators[0]
        offsets = site.quietly(9, 7, groups=[{"group_id": "any", "topics": []}])
        if not found.error_code and not offsets.groups[0].error_code:
            return
        assert time.monotonic() < deadline, (found, offsets)
        time.sleep(0.05)


def topic_id(site: Site, name: str) -> uuid.UUID:
    answer = site.quietly(3, 12, topics=[{"name": name}], allow_auto_topic_creation=False)
    found = answer.topics[0].topic_id
    assert isinstance(found, uuid.UUID), answer
    return found


def produce(
    site: Site,
    label: str,
    topic: str,
    records: bytes | None,
    *,
    partition: int = 0,
    acks: int = -1,
    version: int = 11,
    transactional_id: str | None = None,
) -> Any:
    return site.ask(
        label,
        0,
        version,
        transactional_id=transactional_id,
        acks=acks,
        timeout_ms=10_000,
        topic_data=[{"name": topic, "partition_data": [{"index": partition, "records": records}]}],
    )


def fetch(
    site: Site,
    label: str,
    topic: str,
    offset: int,
    *,
    partition: int = 0,
    version: int = 12,
    max_bytes: int = 1 << 20,
    partition_max_bytes: int = 1 << 20,
    isolation_level: int = 0,
    **fields: int,
) -> Any:
    return site.ask(
        label,
        1,
        version,
        replica_id=-1,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        topics=[
            {
                "topic": topic,
                "partitions": [
                    {
                        "partition": partition,
                        "fetch_offset": offset,
                        "partition_max_bytes": partition_max_bytes,
                        **fields,
                    }
                ],
            }
        ],
    )


def list_offsets(
    site: Site,
    label: str,
    topic: str,
    timestamp: int,
    *,
    partition: int = 0,
    version: int | None = None,
    isolation_level: int = 0,
    current_leader_epoch: int = -1,
) -> Any:
    return site.ask(
        label,
        2,
        version,
        replica_id=-1,
        isolation_level=isolation_level,
        topics=[
            {
                "name": topic,
                "partitions": [
                    {
                        "partition_index": partition,
                        "timestamp": timestamp,
                        "current_leader_epoch": current_leader_epoch,
                    }
                ],
            }
        ],
    )


def patched(data: bytes, position: int, layout: str, value: int) -> bytes:
    """A batch with one header field changed and its CRC right again."""
    from reference.record_batch import crc32c

    changed = bytearray(data)
    struct.pack_into(layout, changed, position, value)
    struct.pack_into(">I", changed, 17, crc32c(bytes(changed[21:])))
    return bytes(changed)
