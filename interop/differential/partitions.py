"""Partitions and where they are; the cluster."""

from __future__ import annotations

from typing import Any

from interop.differential.requests import create
from interop.differential.site import Site


def create_partitions(site: Site) -> None:
    create(site, "grow", partitions=2)
    create(site, "grow-2", "grow-3")

    def ask(label: str, name: str, count: int, *, validate_only: bool = False, **more: Any) -> None:
        topic = {"name": name, "count": count, "assignments": None, **more}
        site.ask(label, 37, topics=[topic], validate_only=validate_only, timeout_ms=1000)

    for count in (2, 1, 0, -1, -(2**31)):
        ask(f"to {count}", "grow", count)
    ask("validated", "grow", 3, validate_only=True)
    ask("three", "grow", 3)
    ask("missing", "grow-missing", 3)
    ask("no name", "", 3)
    ask("assigned", "grow", 4, assignments=[{"broker_ids": [1]}])
    ask("assigned none", "grow", 5, assignments=[])
    ask("assigned too many", "grow", 5, assignments=[{"broker_ids": [1]}, {"broker_ids": [1]}])
    ask("assigned to another", "grow", 5, assignments=[{"broker_ids": [7]}])
    ask("assigned to nobody", "grow", 5, assignments=[{"broker_ids": []}])
    ask("assigned twice", "grow", 5, assignments=[{"broker_ids": [1, 1]}])
    site.ask(
        "twice",
        37,
        timeout_ms=1000,
        topics=[{"name": "grow", "count": n, "assignments": None} for n in (6, 7)],
    )
    site.ask(
        "one good, one bad",
        37,
        timeout_ms=1000,
        topics=[
            {"name": "grow-2", "count": 2, "assignments": None},
            {"name": "grow-3", "count": 1, "assignments": None},
        ],
    )
    site.ask("none", 37, timeout_ms=1000, topics=[])


def describe_topic_partitions(site: Site) -> None:
    create(site, "pages-a", "pages-c", partitions=3)
    create(site, "pages-b")
    names = [{"name": name} for name in ("pages-c", "pages-a", "pages-missing", "pages-b")]
    site.ask("all four", 75, topics=names, cursor=None)
    for limit in (1, 2, 3, 4, 5, 6, 0, -1):
        site.ask(f"limit {limit}", 75, topics=names, response_partition_limit=limit, cursor=None)
    for name, index in (
        ("pages-a", 0),
        ("pages-a", 2),
        ("pages-a", 3),
        ("pages-a", 99),
        ("pages-b", 0),
        ("pages-missing", 0),
        ("pages-between", 0),
        ("", 0),
        ("zzz", 0),
        ("pages-c", 1),
    ):
        site.ask(
            f"from {name} {index}",
            75,
            topics=names,
            response_partition_limit=3,
            cursor={"topic_name": name, "partition_index": index},
        )
    site.ask("twice", 75, topics=[{"name": "pages-b"}, {"name": "pages-b"}], cursor=None)
    for name in ("", "no such!", ".."):
        site.ask(f"odd {name!r}", 75, topics=[{"name": name}], cursor=None)


def elections_and_moves(site: Site) -> None:
    create(site, "moves", partitions=2)
    for kind in (0, 1, 2, -1):
        for version in site.versions[43]:
            site.ask(
                f"elect {kind} v{version}",
                43,
                version,
                election_type=kind,
                timeout_ms=1000,
                topic_partitions=[
                    {"topic": "moves", "partitions": [0, 5, -1]},
                    {"topic": "moves-missing", "partitions": [0]},
                ],
            )
    site.ask("elect none", 43, topic_partitions=[], timeout_ms=1000)
    for replicas in ([1], [2], [], [1, 1], [1, 2], [-1], None):
        site.ask(
            f"move to {replicas}",
            45,
            timeout_ms=1000,
            topics=[
                {"name": name, "partitions": [{"partition_index": index, "replicas": replicas}]}
                for name, index in (("moves", 0), ("moves-missing", 0))
            ],
        )
    site.ask(
        "move no such partition",
        45,
        timeout_ms=1000,
        topics=[{"name": "moves", "partitions": [{"partition_index": 9, "replicas": [1]}]}],
    )
    site.ask("moves under way", 46, timeout_ms=1000, topics=None)
    site.ask(
        "moves of one", 46, timeout_ms=1000, topics=[{"name": "moves", "partition_indexes": [0, 9]}]
    )


def log_directories(site: Site) -> None:
    create(site, "dirs", partitions=2)
    for version in site.versions[35]:
        site.ask(
            f"v{version}",
            35,
            version,
            topics=[
                {"topic": "dirs", "partitions": [0, 1, 7]},
                {"topic": "dirs-missing", "partitions": [0]},
            ],
        )
    site.ask("none", 35, topics=[])
    site.ask("no partitions", 35, topics=[{"topic": "dirs", "partitions": []}])
    site.ask(
        "twice",
        35,
        topics=[{"topic": "dirs", "partitions": [0, 0]}, {"topic": "dirs", "partitions": [0]}],
    )


def cluster(site: Site) -> None:
    for version in site.versions[60]:
        for kind in (1, 2, 0, 3):
            site.ask(
                f"endpoint {kind} v{version}",
                60,
                version,
                endpoint_type=kind,
                include_cluster_authorized_operations=kind == 1,
            )


def api_versions(site: Site) -> None:
    for version in (3, 4):
        for name, number in (
            ("client", "1.0"),
            ("", ""),
            ("a b", "1"),
            ("client", "1 0"),
            ("-a", "1"),
            ("a-", "1"),
            ("librdkafka", "v2.3.0"),
            ("kafka-python", "3.0.0"),
            ("a", "é"),
        ):
            answer = site.quietly(
                18, version, client_software_name=name, client_software_version=number
            )
            site.keep(f"{name!r} {number!r} v{version}", answer.error_code)


def producers_of_nothing(site: Site) -> None:
    create(site, "described")
    site.ask(
        "producers",
        61,
        topics=[
            {"name": "described", "partition_indexes": [0, 1, -1]},
            {"name": "described-missing", "partition_indexes": [0]},
            {"name": "", "partition_indexes": [0]},
            {"name": "described", "partition_indexes": []},
        ],
    )
