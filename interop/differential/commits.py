"""Committed offsets, and what deletes them."""

from __future__ import annotations

from typing import Any

from interop.differential.groups import joined
from interop.differential.requests import NO_SUCH_ID, create, topic_id, wait_until_led
from interop.differential.site import Site

RANGE = [{"name": "range", "metadata": b"\0\0\0\0\0\0\0\0\0\0"}]
TIMES = {"session_timeout_ms": 10_000, "rebalance_timeout_ms": 10_000}


def committing(site: Site) -> None:
    create(site, "commits", partitions=3)
    known = topic_id(site, "commits")
    member = joined(site, "stable", "commit")

    def commit(label: str, group: str, who: str = "", generation: int = -1, **part: Any) -> None:
        partition = {"partition_index": 0, "committed_offset": 5, **part}
        for version in (2, 9, 10):
            topics = [{"name": "commits", "topic_id": known, "partitions": [partition]}]
            site.ask(
                f"{label} v{version}",
                8,
                version,
                group_id=group,
                member_id=who,
                generation_id_or_member_epoch=generation,
                topics=topics,
            )

    commit("as the member", "commit", member, 1)
    for generation in (0, 2, -1):
        commit(f"generation {generation}", "commit", member, generation)
    commit("as nobody", "commit", "nobody", 1)
    commit("without a member, generation 1", "commit", "", 1)
    commit("without a member, no generation", "commit")
    commit("a new group", "commit-new")
    commit("a new group with a member", "commit-new-2", "x", -1)
    commit("a new group with a generation", "commit-new-3", "", 1)
    commit("no group name", "")
    for offset in (0, -1, -2, 2**63 - 1, -(2**63)):
        commit(f"offset {offset}", f"commit-offset-{offset}", committed_offset=offset)
    for index in (3, -1, 2**31 - 1):
        commit(f"partition {index}", "commit-new", partition_index=index)
    for size in (0, 4096, 4097):
        commit(f"metadata of {size}", f"commit-meta-{size}", committed_metadata="m" * size)
    commit("null metadata", "commit-null", committed_metadata=None)
    commit("epoch", "commit-epoch", committed_leader_epoch=3)
    commit("negative epoch", "commit-epoch-2", committed_leader_epoch=-3)
    for name in ("commits-missing", ""):
        site.ask(
            f"topic {name!r}",
            8,
            9,
            group_id="commit-new",
            topics=[
                {"name": name, "partitions": [{"partition_index": 0, "committed_offset": 1}]},
                {"name": "commits", "partitions": [{"partition_index": 1, "committed_offset": 1}]},
            ],
        )
    site.ask(
        "unknown id",
        8,
        10,
        group_id="commit-new",
        topics=[
            {"topic_id": NO_SUCH_ID, "partitions": [{"partition_index": 0, "committed_offset": 1}]},
            {"topic_id": None, "partitions": [{"partition_index": 0, "committed_offset": 1}]},
            {"topic_id": known, "partitions": [{"partition_index": 2, "committed_offset": 1}]},
        ],
    )
    site.ask(
        "twice",
        8,
        9,
        group_id="commit-twice",
        topics=[
            {
                "name": "commits",
                "partitions": [{"partition_index": 0, "committed_offset": n} for n in (3, 4)],
            }
        ],
    )
    site.ask("nothing", 8, 9, group_id="commit-nothing", topics=[])
    site.ask("group of nothing", 15, groups=["commit-nothing", "commit-new-2", "commit-twice"])
    _fetch_committed(site, known)


def _fetch_committed(site: Site, known: Any) -> None:
    indexes = [0, 1, 2, 3, -1]
    topics = [
        {"name": "commits", "topic_id": known, "partition_indexes": indexes},
        {"name": "commits-missing", "topic_id": NO_SUCH_ID, "partition_indexes": [0]},
    ]
    for group in (
        "commit",
        "commit-new",
        "commit-missing",
        "",
        "commit-offset--1",
        "commit-null",
        "commit-epoch",
        "commit-epoch-2",
        "commit-meta-4096",
        "commit-twice",
    ):
        for version in site.versions[9]:
            site.ask(
                f"fetch {group!r} v{version}",
                9,
                version,
                groups=[{"group_id": group, "topics": topics}],
            )
        for version in (2, 7, 8, 10):
            site.ask(
                f"fetch all of {group!r} v{version}",
                9,
                version,
                groups=[{"group_id": group, "topics": None}],
            )
    for stable in (True, False):
        site.ask(
            f"stable {stable}",
            9,
            9,
            require_stable=stable,
            groups=[{"group_id": "commit", "topics": topics}],
        )
    site.ask(
        "several groups",
        9,
        9,
        groups=[
            {"group_id": group, "topics": topics} for group in ("commit", "commit-new", "nope")
        ],
    )
    site.ask("one group twice", 9, 9, groups=[{"group_id": "commit", "topics": topics}] * 2)
    site.ask("no groups", 9, 9, groups=[])
    site.ask("no topics", 9, 9, groups=[{"group_id": "commit", "topics": []}])
    site.ask(
        "no partitions",
        9,
        9,
        groups=[{"group_id": "commit", "topics": [{"name": "commits", "partition_indexes": []}]}],
    )
    for epoch, who in ((1, "x"), (-1, "x"), (5, None), (0, "")):
        site.ask(
            f"member {who} epoch {epoch}",
            9,
            9,
            groups=[
                {"group_id": "commit", "member_id": who, "member_epoch": epoch, "topics": topics}
            ],
        )


def deleting(site: Site) -> None:
    create(site, "deleted", "deleted-2")
    member = joined(site, "stable", "delete-stable")
    one = [{"partition_index": 0, "committed_offset": 1}]
    for group in ("delete-empty", "delete-offsets"):
        site.ask(
            f"commit {group}",
            8,
            9,
            group_id=group,
            topics=[
                {"name": "deleted", "partitions": one},
                {"name": "deleted-2", "partitions": one},
            ],
        )
    for version in site.versions[42]:
        site.ask(
            f"many v{version}",
            42,
            version,
            groups_names=["delete-stable", "delete-empty", "delete-missing", ""],
        )
    site.ask("twice", 42, groups_names=["delete-missing", "delete-missing"])
    site.ask("none", 42, groups_names=[])
    site.ask("describe", 15, groups=["delete-empty", "delete-stable"])
    site.ask("offsets gone", 9, 9, groups=[{"group_id": "delete-empty", "topics": None}])

    def forget(label: str, group: str, topic: str, *indexes: int) -> None:
        site.ask(
            label,
            47,
            group_id=group,
            topics=[{"name": topic, "partitions": [{"partition_index": i} for i in indexes]}],
        )

    forget("one", "delete-offsets", "deleted", 0)
    forget("again", "delete-offsets", "deleted", 0)
    forget("no such partition", "delete-offsets", "deleted", 1, -1)
    forget("no such topic", "delete-offsets", "deleted-missing", 0)
    forget("no topic name", "delete-offsets", "", 0)
    forget("no such group", "delete-missing", "deleted", 0)
    forget("no group name", "", "deleted", 0)
    forget("of a stable group", "delete-stable", "deleted", 0)
    forget("no partitions", "delete-offsets", "deleted")
    site.ask("no topics", 47, group_id="delete-offsets", topics=[])
    site.ask("what is left", 9, 9, groups=[{"group_id": "delete-offsets", "topics": None}])
    forget("the last", "delete-offsets", "deleted-2", 0)
    site.ask("without offsets", 15, groups=["delete-offsets"])
    site.ask("leave", 13, group_id="delete-stable", members=[{"member_id": member}])
    site.ask("now it goes", 42, groups_names=["delete-stable"])


def offsets_of_deleted_topics(site: Site) -> None:
    create(site, "vanishing", "staying")
    one = [{"partition_index": 0, "committed_offset": 1}]
    site.ask(
        "commit",
        8,
        9,
        group_id="vanish",
        topics=[{"name": "vanishing", "partitions": one}, {"name": "staying", "partitions": one}],
    )
    site.ask("delete", 20, timeout_ms=9000, topics=[{"name": "vanishing"}])
    wait_until_led(site, "vanishing", 0, code=3)
    site.ask(
        "commit after", 8, 9, group_id="vanish", topics=[{"name": "vanishing", "partitions": one}]
    )
