"""ListOffsets, DeleteRecords, OffsetForLeaderEpoch."""

from __future__ import annotations

import gzip

from interop.differential.requests import (
    NOW_MS,
    Record,
    batch,
    batch_of,
    create,
    encode,
    encode_around,
    encode_records,
    fetch,
    list_offsets,
    produce,
)
from interop.differential.site import Site

HOUR, DAY = 3_600_000, 86_400_000
GZIP, SNAPPY, LZ4, ZSTD, APPEND_TIME, TRANSACTIONAL, CONTROL = 1, 2, 3, 4, 8, 16, 32


def look_up_times(site: Site) -> None:
    create(site, "lookup-empty")
    create(site, "lookup-create")
    create(site, "lookup-append", message_timestamp_type="LogAppendTime")
    base = NOW_MS - DAY
    records = [Record(b"a", timestamp_delta=d) for d in (0, 10, 5, 30, 20)]
    plain = encode(batch_of(records, base_timestamp=base))
    fields = {"base_timestamp": base + 100, "attributes": GZIP}
    numbered = batch_of(records, **fields)
    packed = encode_around(numbered, gzip.compress(encode_records(numbered.records)))
    for topic in ("lookup-create", "lookup-append"):
        produce(site, f"plain to {topic}", topic, plain)
        produce(site, f"packed to {topic}", topic, packed)
        produce(site, f"none to {topic}", topic, batch(b"x", base_timestamp=-1))
    asked = [
        -1,
        -2,
        -3,
        -4,
        -5,
        -6,
        -7,
        -100,
        -(2**63),
        0,
        base - 1,
        base,
        base + 1,
        base + 5,
        base + 6,
        base + 11,
        base + 30,
        base + 31,
        base + 100,
        base + 106,
        base + 130,
        base + 131,
        NOW_MS + DAY,
        2**63 - 1,
    ]
    for topic in ("lookup-empty", "lookup-create", "lookup-append"):
        for timestamp in asked:
            shown = timestamp if timestamp < base - 1 else f"base{timestamp - base:+d}"
            if topic == "lookup-append" and base <= timestamp <= NOW_MS:
                continue
            if topic == "lookup-append" and timestamp == -3:
                continue  # its timestamp is the moment
            list_offsets(site, f"{topic} at {shown}", topic, timestamp)
    for special in (-3, -4, -5, -6):
        for version in site.versions[2]:
            list_offsets(
                site, f"special {special} v{version}", "lookup-create", special, version=version
            )


def list_odd_offsets(site: Site) -> None:
    create(site, "odd-offsets", partitions=2)
    produce(site, "one", "odd-offsets", batch(b"a"))
    for version in site.versions[2]:
        for timestamp in (-1, -2):
            label = f"{timestamp} v{version}"
            list_offsets(site, label, "odd-offsets", timestamp, version=version)
    for partition in (2, -1, 2**31 - 1):
        list_offsets(site, f"partition {partition}", "odd-offsets", -1, partition=partition)
    for topic in ("odd-missing", "", "!", "x" * 300):
        list_offsets(site, f"topic {topic[:20]!r} {len(topic)}", topic, -1)
    for epoch in (0, 1, 5, -2):
        list_offsets(site, f"epoch {epoch}", "odd-offsets", -1, current_leader_epoch=epoch)
    for level in (0, 1, 2, -1):
        list_offsets(site, f"isolation {level}", "odd-offsets", -1, isolation_level=level)
    site.ask("no topics", 2, replica_id=-1, topics=[])
    one = {"partition_index": 0, "timestamp": -1}
    site.ask(
        "one partition twice",
        2,
        replica_id=-1,
        topics=[{"name": "odd-offsets", "partitions": [one, {**one, "timestamp": -2}]}],
    )
    for replica in (-2, 0, 1, 5, -3):
        site.ask(
            f"replica {replica}",
            2,
            replica_id=replica,
            topics=[{"name": "odd-offsets", "partitions": [one]}],
        )


def delete_records(site: Site) -> None:
    create(site, "shrink", partitions=2)
    for i in range(4):
        produce(site, f"batch {i}", "shrink", batch(b"a", b"b", b"c", base_timestamp=NOW_MS + i))

    def ask(label: str, offset: int, partition: int = 0, topic: str = "shrink") -> None:
        site.ask(
            label,
            21,
            timeout_ms=1000,
            topics=[
                {"name": topic, "partitions": [{"partition_index": partition, "offset": offset}]}
            ],
        )

    for offset in (0, 4, 2, -2, -(2**63), 13, 2**62):
        ask(f"before {offset}", offset)
        list_offsets(site, f"earliest after {offset}", "shrink", -2)
    for offset in (0, 3, 4, 5):
        fetch(site, f"fetch at {offset}", "shrink", offset)
    for timestamp in (0, NOW_MS, NOW_MS + 1, NOW_MS + 2):
        list_offsets(site, f"time {timestamp - NOW_MS}", "shrink", timestamp)
    site.ask(
        "epoch 0 ends",
        23,
        replica_id=-1,
        topics=[{"topic": "shrink", "partitions": [{"partition": 0, "leader_epoch": 0}]}],
    )
    ask("all", -1)
    list_offsets(site, "earliest at last", "shrink", -2)
    list_offsets(site, "time at last", "shrink", NOW_MS)
    list_offsets(site, "largest time at last", "shrink", -3)
    fetch(site, "fetch at the end", "shrink", 12)
    fetch(site, "fetch before the start", "shrink", 11)
    produce(site, "goes on", "shrink", batch(b"z"))
    fetch(site, "fetch what came", "shrink", 12)
    ask("empty partition", -1, 1)
    ask("empty partition at 1", 1, 1)
    ask("no such partition", 0, 2)
    ask("negative partition", 0, -1)
    ask("no such topic", 0, 0, "shrink-missing")
    ask("no name", 0, 0, "")
    create(site, "compacted-shrink", cleanup_policy="compact")
    ask("compacted", 0, 0, "compacted-shrink")
    ask("compacted all", -1, 0, "compacted-shrink")
    site.each_version(
        "versions",
        21,
        timeout_ms=1000,
        topics=[{"name": "shrink", "partitions": [{"partition_index": 0, "offset": 12}]}],
    )
    site.ask(
        "twice",
        21,
        timeout_ms=1000,
        topics=[
            {
                "name": "shrink",
                "partitions": [
                    {"partition_index": 0, "offset": 12},
                    {"partition_index": 0, "offset": 13},
                ],
            }
        ],
    )


def leader_epochs(site: Site) -> None:
    create(site, "epochs")
    produce(site, "one", "epochs", batch(b"a"))
    create(site, "epochs-empty")
    for topic in ("epochs", "epochs-empty", "epochs-missing"):
        for epoch in (0, 1, -1, -2, 2**31 - 1):
            for current in (-1, 0, 1, -2):
                site.ask(
                    f"{topic} {epoch} current {current}",
                    23,
                    replica_id=-1,
                    topics=[
                        {
                            "topic": topic,
                            "partitions": [
                                {
                                    "partition": 0,
                                    "leader_epoch": epoch,
                                    "current_leader_epoch": current,
                                }
                            ],
                        }
                    ],
                )
    site.each_version(
        "version",
        23,
        replica_id=-1,
        topics=[
            {
                "topic": "epochs",
                "partitions": [
                    {"partition": 0, "leader_epoch": 0},
                    {"partition": 3, "leader_epoch": 0},
                ],
            }
        ],
    )
    site.ask(
        "from a replica",
        23,
        replica_id=1,
        topics=[{"topic": "epochs", "partitions": [{"partition": 0, "leader_epoch": 0}]}],
    )
