"""Fetch: from where, how much, sessions."""

from __future__ import annotations

from interop.differential.requests import (
    NO_SUCH_ID,
    batch,
    create,
    fetch,
    produce,
    topic_id,
)
from interop.differential.site import Site

HOUR, DAY = 3_600_000, 86_400_000
GZIP, SNAPPY, LZ4, ZSTD, APPEND_TIME, TRANSACTIONAL, CONTROL = 1, 2, 3, 4, 8, 16, 32


def fetch_in_every_version(site: Site) -> None:
    create(site, "fetch-versions")
    known = topic_id(site, "fetch-versions")
    produce(site, "three", "fetch-versions", batch(b"a", b"b", b"c"))
    for version in site.versions[1]:
        for topic, identity in (
            ("fetch-versions", known),
            ("fetch-missing", NO_SUCH_ID),
            ("", None),
        ):
            site.ask(
                f"{topic or 'empty name'} v{version}",
                1,
                version,
                replica_id=-1,
                topics=[
                    {
                        "topic": topic,
                        "topic_id": identity,
                        "partitions": [
                            {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1000}
                        ],
                    }
                ],
            )


def fetch_odd_places(site: Site) -> None:
    create(site, "fetch-odd", partitions=2)
    produce(site, "first", "fetch-odd", batch(b"a" * 100, b"b" * 100, b"c" * 100))
    produce(site, "second", "fetch-odd", batch(b"d" * 100, b"e" * 100))
    for offset in (0, 1, 2, 3, 4, 5, 6, 100, -1, -2, 2**62, -(2**63)):
        fetch(site, f"offset {offset}", "fetch-odd", offset)
    for partition in (1, 2, -1, 2**31 - 1):
        fetch(site, f"partition {partition}", "fetch-odd", 0, partition=partition)
    for size in (0, 1, 60, 61, 370, 800, -1, -100):
        fetch(site, f"partition_max_bytes {size}", "fetch-odd", 0, partition_max_bytes=size)
        fetch(site, f"max_bytes {size}", "fetch-odd", 0, max_bytes=size)
    for epoch in (0, 1, -2, 7):
        fetch(site, f"current epoch {epoch}", "fetch-odd", 0, current_leader_epoch=epoch)
        fetch(site, f"last epoch {epoch}", "fetch-odd", 3, last_fetched_epoch=epoch)
    for level in (0, 1, 2, -1):
        fetch(site, f"isolation {level}", "fetch-odd", 0, isolation_level=level)


def fetch_several(site: Site) -> None:
    create(site, "fetch-many", partitions=3)
    for partition in range(3):
        for i in range(2):
            produce(site, f"{partition} {i}", "fetch-many", batch(b"v" * 300), partition=partition)

    def ask(label: str, indexes: list[int], **fields: int) -> None:
        parts = [
            {"partition": i, "fetch_offset": 0, "partition_max_bytes": 10_000} for i in indexes
        ]
        site.ask(
            label,
            1,
            12,
            replica_id=-1,
            topics=[{"topic": "fetch-many", "partitions": parts}],
            **fields,
        )

    ask("all", [0, 1, 2])
    ask("one bad among them", [0, 9, 1])
    ask("twice", [0, 0])
    for limit in (0, 1, 371, 400, 800, 1200):
        ask(f"limit {limit}", [0, 1, 2], max_bytes=limit)
    ask("waits in vain", [0], min_bytes=100_000, max_wait_ms=50)
    ask("negative wait", [0], min_bytes=100_000, max_wait_ms=-5)
    ask("negative least", [0], min_bytes=-5, max_wait_ms=50)
    site.ask("nothing", 1, 12, replica_id=-1, topics=[], max_wait_ms=50)
    site.ask("nothing at all", 1, 12, replica_id=-1, topics=[])


def fetch_sessions(site: Site) -> None:
    create(site, "sessions")
    produce(site, "one", "sessions", batch(b"a"))
    part = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1000}
    for session, epoch in ((0, -1), (0, 1), (0, 5), (77, 1), (77, -1), (77, 0), (-1, 0)):
        site.ask(
            f"session {session} epoch {epoch}",
            1,
            12,
            replica_id=-1,
            session_id=session,
            session_epoch=epoch,
            topics=[{"topic": "sessions", "partitions": [part]}],
        )
