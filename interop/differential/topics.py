"""Metadata, and creating and deleting topics."""

from __future__ import annotations

from typing import Any

from interop.differential.requests import NO_SUCH_ID, create, topic_id
from interop.differential.site import Site


def metadata(site: Site) -> None:
    create(site, "meta", partitions=2)
    known = topic_id(site, "meta")
    for version in site.versions[3]:
        for name in ("meta", "", "no such!", "..", "x" * 250):
            site.ask(
                f"{name[:10]!r} {len(name)} v{version}",
                3,
                version,
                topics=[{"name": name}],
                allow_auto_topic_creation=False,
            )
        site.ask(
            f"twice v{version}",
            3,
            version,
            topics=[{"name": "meta"}, {"name": "meta"}],
            allow_auto_topic_creation=False,
        )
        if version >= 1:
            site.ask(f"none v{version}", 3, version, topics=[])
    for version in (10, 11, 12, 13):
        for label, topic in (
            ("id", {"topic_id": known, "name": None}),
            ("unknown id", {"topic_id": NO_SUCH_ID, "name": None}),
            ("id and name", {"topic_id": known, "name": "meta"}),
            ("id and wrong name", {"topic_id": known, "name": "other"}),
            ("unknown id and name", {"topic_id": NO_SUCH_ID, "name": "meta"}),
            ("neither", {"topic_id": None, "name": None}),
        ):
            if version == 10 and label == "neither":
                continue
            site.ask(
                f"{label} v{version}", 3, version, topics=[topic], allow_auto_topic_creation=False
            )
    for version in (8, 10, 13):
        site.ask(
            f"operations v{version}",
            3,
            version,
            topics=[{"name": "meta"}],
            include_cluster_authorized_operations=True,
            include_topic_authorized_operations=True,
        )


def automatic_creation(site: Site) -> None:
    for version in (1, 3, 4, 9, 12):
        name = f"automatic-{version}"
        site.quietly(3, version, topics=[{"name": name}], allow_auto_topic_creation=True)
        site.ask(
            f"{name} not created twice",
            19,
            topics=[{"name": name, "num_partitions": 1, "replication_factor": 1}],
        )
    for name in ("illegal name", "", "..", "x" * 250):
        site.ask(
            f"{name[:10]!r} {len(name)}",
            3,
            9,
            topics=[{"name": name}],
            allow_auto_topic_creation=True,
        )


def create_topics(site: Site) -> None:
    number = 0

    def ask(label: str, version: int = 7, validate_only: bool = False, **fields: Any) -> None:
        nonlocal number
        number += 1
        topic = {"name": f"made-{number}", "num_partitions": 1, "replication_factor": 1, **fields}
        answer = site.quietly(19, version, topics=[topic], validate_only=validate_only)
        for found in answer.topics:
            found.configs = []  # compared by DescribeConfigs
        site.keep(label, answer)

    for version in site.versions[19]:
        ask(f"v{version}", version)
        ask(f"validated v{version}", version, validate_only=True)
        ask(f"defaults v{version}", version, num_partitions=-1, replication_factor=-1)
    for count in (0, -2, 2, 2**31 - 1, 10_001):
        ask(f"{count} partitions", num_partitions=count)
        ask(f"{count} partitions validated", num_partitions=count, validate_only=True)
    for factor in (0, -2, 2, 32_767):
        ask(f"factor {factor}", replication_factor=factor)
    for name in (
        "",
        ".",
        "..",
        "a b",
        "a/b",
        "é",
        "x" * 200,
        "x" * 250,
        "a\0b",
    ):
        ask(f"name {name[:20]!r} {len(name)}", name=name)
    ask("exists", name="made-1")
    ask("exists, validated", name="made-1", validate_only=True)
    ask("dot", name="twin.name")
    ask("underscore", name="twin_name")
    site.ask(
        "twice",
        19,
        topics=[
            {"name": "made-twice", "num_partitions": n, "replication_factor": 1} for n in (1, 2)
        ],
    )
    site.ask("none", 19, topics=[])
    given: dict[str, Any] = {"num_partitions": -1, "replication_factor": -1}

    def assigned(label: str, *replicas: list[int], first: int = 0, **fields: Any) -> None:
        assignments = [
            {"partition_index": first + i, "broker_ids": ids} for i, ids in enumerate(replicas)
        ]
        ask(label, assignments=assignments, **{**given, **fields})

    assigned("assigned", [1], [1])
    assigned("assigned to another", [2])
    assigned("assigned to nobody", [])
    assigned("assigned twice", [1, 1])
    assigned("assigned unevenly", [1], [1, 2])
    assigned("assigned from 1", [1], first=1)
    assigned("assigned from -1", [1], first=-1)
    assigned("assigned with a count", [1], num_partitions=1)
    assigned("assigned with a factor", [1], replication_factor=1)
    assigned("assigned and validated", [1], validate_only=True)
    for name, value in (
        ("retention.ms", "1000"),
        ("retention.ms", "-1"),
        ("retention.ms", "-2"),
        ("retention.ms", ""),
        ("retention.ms", " 5 "),
        ("retention.ms", "1e3"),
        ("retention.ms", None),
        ("retention.ms", str(2**63)),
        ("retention.bytes", "-5"),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "delete,compact"),
        ("cleanup.policy", "compact, delete"),
        ("cleanup.policy", ""),
        ("cleanup.policy", "none"),
        ("cleanup.policy", "DELETE"),
        ("cleanup.policy", "delete,delete"),
        ("segment.bytes", "13"),
        ("segment.bytes", "1048575"),
        ("segment.bytes", "1048576"),
        ("segment.bytes", "3000000000"),
        ("segment.ms", "0"),
        ("segment.ms", "1"),
        ("max.message.bytes", "-1"),
        ("max.message.bytes", "0"),
        ("compression.type", "zstd"),
        ("compression.type", "brotli"),
        ("compression.type", "Gzip"),
        ("message.timestamp.type", "LogAppendTime"),
        ("message.timestamp.type", "logappendtime"),
        ("min.insync.replicas", "0"),
        ("min.insync.replicas", "2"),
        ("unclean.leader.election.enable", "maybe"),
        ("unclean.leader.election.enable", "TRUE"),
        ("no.such.config", "1"),
        ("", "1"),
        ("min.cleanable.dirty.ratio", "1.1"),
        ("min.cleanable.dirty.ratio", "0.7"),
        ("message.timestamp.after.max.ms", "-1"),
        ("index.interval.bytes", "-1"),
        ("segment.index.bytes", "3"),
        ("flush.messages", "0"),
        ("flush.ms", "-1"),
        ("preallocate", "true"),
        ("delete.retention.ms", "-1"),
        ("file.delete.delay.ms", "-1"),
        ("min.compaction.lag.ms", "-1"),
        ("max.compaction.lag.ms", "0"),
        ("remote.storage.enable", "true"),
        ("local.retention.ms", "5"),
        ("message.format.version", "3.0"),
        ("message.downconversion.enable", "false"),
    ):
        ask(f"config {name}={value!r}", configs=[{"name": name, "value": value}])
    ask("config twice", configs=[{"name": "retention.ms", "value": v} for v in ("1", "2")])


def delete_topics(site: Site) -> None:
    create(site, "gone-1", "gone-2", "gone-3", "gone-4", "gone-5", "gone-6")
    identity = topic_id(site, "gone-3")
    site.ask("one v1", 20, 1, timeout_ms=9000, topics=[{"name": "gone-1"}])
    site.ask("again v1", 20, 1, timeout_ms=9000, topics=[{"name": "gone-1"}])
    site.ask(
        "two, one missing v5",
        20,
        5,
        timeout_ms=9000,
        topics=[{"name": "gone-2"}, {"name": "gone-1"}],
    )
    site.ask("by id", 20, 6, timeout_ms=9000, topics=[{"name": None, "topic_id": identity}])
    site.ask("by id again", 20, 6, timeout_ms=9000, topics=[{"name": None, "topic_id": identity}])
    site.ask("twice", 20, 6, timeout_ms=9000, topics=[{"name": "gone-4"}, {"name": "gone-4"}])
    both = {"name": "gone-5", "topic_id": topic_id(site, "gone-5")}
    site.ask("name and id", 20, 6, timeout_ms=9000, topics=[both])
    site.ask("neither", 20, 6, timeout_ms=9000, topics=[{"name": None, "topic_id": None}])
    site.ask(
        "one by name and by id",
        20,
        6,
        timeout_ms=9000,
        topics=[{"name": "gone-6"}, {"name": None, "topic_id": topic_id(site, "gone-6")}],
    )
    for name in ("", "..", "no such!", "x" * 300):
        site.ask(f"{name[:10]!r} {len(name)}", 20, 6, timeout_ms=9000, topics=[{"name": name}])
    site.ask("none", 20, 6, timeout_ms=9000, topics=[])
    site.ask("twice v5", 20, 5, timeout_ms=9000, topics=[{"name": "gone-5"}, {"name": "gone-5"}])
