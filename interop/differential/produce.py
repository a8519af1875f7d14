"""Produce: where to, what with, and batches with everything wrong that can be."""

from __future__ import annotations

import gzip

from interop.differential.requests import (
    NO_SUCH_ID,
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
    patched,
    produce,
    topic_id,
)
from interop.differential.site import Site

HOUR, DAY = 3_600_000, 86_400_000
GZIP, SNAPPY, LZ4, ZSTD, APPEND_TIME, TRANSACTIONAL, CONTROL = 1, 2, 3, 4, 8, 16, 32


def produce_in_every_version(site: Site) -> None:
    create(site, "produce-versions")
    known = topic_id(site, "produce-versions")
    for version in range(3, site.versions[0][-1] + 1):  # what was before is refused by both
        for topic in ("produce-versions", "produce-missing", ""):
            identity = known if topic == "produce-versions" else NO_SUCH_ID
            site.ask(
                f"{topic or 'empty name'} v{version}",
                0,
                version,
                acks=-1,
                timeout_ms=1000,
                topic_data=[
                    {
                        "name": topic,
                        "topic_id": identity,
                        "partition_data": [{"index": 0, "records": batch(b"a")}],
                    }
                ],
            )


def produce_to_odd_places(site: Site) -> None:
    create(site, "places", partitions=2)
    for partition in (1, 2, -1, 2**31 - 1, -(2**31)):
        produce(site, f"partition {partition}", "places", batch(b"a"), partition=partition)
    for acks in (1, -1, 2, -2, 32767):
        produce(site, f"acks {acks}", "places", batch(b"a"), acks=acks)
    produce(site, "illegal name", "no such topic!", batch(b"a"))
    produce(site, "dots", "..", batch(b"a"))
    site.ask("no topics", 0, 9, acks=-1, timeout_ms=1000, topic_data=[])
    site.ask(
        "no partitions",
        0,
        9,
        acks=-1,
        timeout_ms=1,
        topic_data=[{"name": "places", "partition_data": []}],
    )
    site.ask(
        "negative timeout",
        0,
        9,
        acks=-1,
        timeout_ms=-1,
        topic_data=[{"name": "places", "partition_data": [{"index": 0, "records": batch(b"a")}]}],
    )


def produce_partly(site: Site) -> None:
    create(site, "partly", partitions=3)
    good, bad = batch(b"a"), bytearray(batch(b"b"))
    bad[-1] ^= 1
    site.ask(
        "good, corrupt, missing",
        0,
        9,
        acks=-1,
        timeout_ms=1000,
        topic_data=[
            {
                "name": "partly",
                "partition_data": [
                    {"index": 0, "records": good},
                    {"index": 1, "records": bytes(bad)},
                    {"index": 2, "records": good},
                    {"index": 7, "records": good},
                ],
            },
            {"name": "partly-missing", "partition_data": [{"index": 0, "records": good}]},
        ],
    )
    for partition in range(3):
        list_offsets(site, f"end of {partition}", "partly", -1, partition=partition)
    site.ask(
        "one partition twice",
        0,
        9,
        acks=-1,
        timeout_ms=1000,
        topic_data=[
            {
                "name": "partly",
                "partition_data": [{"index": 0, "records": good}, {"index": 0, "records": good}],
            }
        ],
    )
    site.ask(
        "one topic twice",
        0,
        9,
        acks=-1,
        timeout_ms=1000,
        topic_data=[
            {"name": "partly", "partition_data": [{"index": 0, "records": good}]},
            {"name": "partly", "partition_data": [{"index": 1, "records": good}]},
        ],
    )


def produce_nothing(site: Site) -> None:
    create(site, "nothing")
    for version in (3, 8, 9, 11):
        produce(site, f"empty records v{version}", "nothing", b"", version=version)
        produce(site, f"one byte v{version}", "nothing", b"x", version=version)
    produce(site, "empty batch", "nothing", encode(batch_of([])))
    list_offsets(site, "end", "nothing", -1)


def produce_wrong_headers(site: Site) -> None:
    create(site, "headers")
    good = batch(b"a", b"b", b"c")
    for count in (0, 1, 2, 4, -1, 2**31 - 1):
        produce(site, f"count {count}", "headers", patched(good, 57, ">i", count))
    for delta in (0, 1, 3, -1, 2**31 - 1):
        produce(site, f"last delta {delta}", "headers", patched(good, 23, ">i", delta))
    for epoch in (0, 7, -1, -5):
        changed = good[:12] + epoch.to_bytes(4, "big", signed=True) + good[16:]
        produce(site, f"leader epoch {epoch}", "headers", changed)
    for length in (0, -1, 48, 49, len(good) - 13, len(good) - 11, 2**31 - 1):
        changed = good[:8] + length.to_bytes(4, "big", signed=True) + good[12:]
        produce(site, f"length {length - len(good)}", "headers", changed)
    for magic in (0, 1, 3, 127):
        produce(site, f"magic {magic}", "headers", good[:16] + bytes([magic]) + good[17:])
    for wrong in (0, 20, 40, len(good) - 1):
        changed = good[:17] + b"\0\0\0\1" + good[21:]
        produce(site, f"crc {wrong}", "headers", changed[: len(good)])
    list_offsets(site, "end", "headers", -1)


def produce_what_only_one_takes(site: Site) -> None:
    """Each in a topic of its own: one broker stores it, the other does not."""
    good = batch(b"a", b"b", b"c")
    for i, (label, data) in enumerate(
        {
            "base offset 5": (5).to_bytes(8, "big") + good[8:],
            "base offset -1": b"\xff" * 8 + good[8:],
            "two batches": good + good,
            "trailing bytes": good + b"\0" * 7,
            "second batch cut short": good + good[:70],
            **_junk(),
        }.items()
    ):
        create(site, f"only-one-{i}")
        produce(site, label, f"only-one-{i}", data)


def _junk() -> dict[str, bytes]:
    """Batches whose records do not decompress."""
    named = {"gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
    return {
        f"{name} of junk": encode_around(
            batch_of([Record(b"a")], attributes=bits, base_timestamp=NOW_MS), b"not compressed"
        )
        for name, bits in named.items()
    }


def produce_attributes(site: Site) -> None:
    create(site, "attributes")
    records = [Record(b"a"), Record(b"b")]
    for attributes in range(5, 8):
        produce(site, f"codec {attributes}", "attributes", batch(b"a", attributes=attributes))
    fields = {"attributes": GZIP, "base_timestamp": NOW_MS}
    good = encode_around(
        batch_of(records, **fields), gzip.compress(encode_records(batch_of(records).records))
    )
    produce(site, "gzip", "attributes", good)
    for name, bits in (
        ("append time", APPEND_TIME),
        ("transactional", TRANSACTIONAL),
        ("control", CONTROL),
        ("control and transactional", CONTROL | TRANSACTIONAL),
        ("delete horizon", 64),
        ("unused", 0x4000),
        ("sign", -0x8000),
    ):
        produce(site, name, "attributes", batch(b"a", attributes=bits))
    fetch(site, "what was stored", "attributes", 0)


def produce_too_large(site: Site) -> None:
    create(site, "large", max_message_bytes="1000", segment_bytes="1048576")
    for size in (500, 930, 931, 932, 1100):
        produce(site, f"value of {size}", "large", batch(b"v" * size))
    produce(site, "small batches over the limit together", "large", batch(b"v" * 600) * 3)
    create(site, "small-segments", segment_bytes="1048576", max_message_bytes="4000000")
    produce(site, "over the segment", "small-segments", batch(b"v" * 2_000_000))


def produce_timestamps(site: Site) -> None:
    create(site, "times")
    for name, when in (
        ("minus one", -1),
        ("minus two", -2),
        ("zero", 0),
        ("least", -(2**63)),
        ("a day ago", NOW_MS - DAY),
        ("ten years ago", NOW_MS - 3650 * DAY),
        ("in half an hour", NOW_MS + HOUR // 2),
        ("in two hours", NOW_MS + 2 * HOUR),
        ("most", 2**63 - 1),
    ):
        produce(site, name, "times", batch(b"a", base_timestamp=when))
    create(site, "times-before", message_timestamp_before_max_ms="60000")
    create(site, "times-after", message_timestamp_after_max_ms="60000")
    for topic in ("times-before", "times-after"):
        for shift in (-HOUR, -30_000, 0, 30_000, HOUR // 2):
            produce(site, f"{topic} {shift}", topic, batch(b"a", base_timestamp=NOW_MS + shift))
    wrong_maximum = batch(b"a", b"b", max_timestamp=NOW_MS + 5000)
    produce(site, "a wrong largest timestamp", "times", wrong_maximum)
    late = [Record(b"a", timestamp_delta=0), Record(b"b", timestamp_delta=2 * HOUR)]
    produce(
        site,
        "second record in two hours",
        "times",
        encode(batch_of(late, base_timestamp=NOW_MS)),
    )


def compacted_topics(site: Site) -> None:
    create(site, "compacted", cleanup_policy="compact")
    create(site, "both", cleanup_policy="compact,delete")
    records = [Record(b"a", b"k"), Record(b"b")]
    mixed = batch_of(records, base_timestamp=NOW_MS, attributes=GZIP)
    packed = encode_around(mixed, gzip.compress(encode_records(mixed.records)))
    for topic in ("compacted", "both"):
        produce(site, f"{topic}: with a key", topic, batch(b"a", key=b"k"))
        produce(site, f"{topic}: empty key", topic, batch(b"a", key=b""))
        produce(site, f"{topic}: tombstone", topic, batch(None, key=b"k"))
        produce(site, f"{topic}: without a key", topic, batch(b"a"))
        produce(
            site, f"{topic}: one without", topic, encode(batch_of(records, base_timestamp=NOW_MS))
        )
        produce(site, f"{topic}: one without, packed", topic, packed)
        fetch(site, f"{topic}: stored", topic, 0)
