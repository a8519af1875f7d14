"""Groups and committed offsets in the broker's SQLite file: tables, load, save, delete.

Every function that writes runs in the store's thread, in a transaction that others share.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable
from typing import NamedTuple

from mainstem.broker.groups.effects import Snapshot, StoredMember

TABLES = """
CREATE TABLE IF NOT EXISTS consumer_groups (
    group_id TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    protocol_type TEXT,
    protocol_name TEXT,
    leader TEXT,
    state_since_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consumer_group_members (
    group_id TEXT NOT NULL,
    member_id TEXT NOT NULL,
    instance_id TEXT,
    client_id TEXT NOT NULL,
    client_host TEXT NOT NULL,
    session_timeout_ms INTEGER NOT NULL,
    rebalance_timeout_ms INTEGER NOT NULL,
    subscription BLOB NOT NULL,
    assignment BLOB NOT NULL,
    PRIMARY KEY (group_id, member_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consumer_offsets (
    group_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    topic_id BLOB NOT NULL,
    partition_index INTEGER NOT NULL,
    committed_offset INTEGER NOT NULL,
    leader_epoch INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    committed_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    PRIMARY KEY (group_id, topic, partition_index)
) WITHOUT ROWID;
"""


class CommittedOffset(NamedTuple):
    """Where a group is in one partition. ``expires_ms``: set by clients before Kafka 2.1."""

    offset: int
    leader_epoch: int
    metadata: str
    committed_ms: int
    expires_ms: int | None = None


class OffsetKey(NamedTuple):
    topic: str
    partition: int


class OffsetRow(NamedTuple):
    group_id: str
    key: OffsetKey
    topic_id: uuid.UUID
    committed: CommittedOffset


def load_groups(connection: sqlite3.Connection) -> list[Snapshot]:
    members: dict[str, list[StoredMember]] = {}
    for group_id, *fields in connection.execute(
        "SELECT group_id, member_id, instance_id, client_id, client_host, session_timeout_ms,"
        " rebalance_timeout_ms, subscription, assignment FROM consumer_group_members"
    ):
        members.setdefault(group_id, []).append(StoredMember(*fields))
    groups = connection.execute(
        "SELECT group_id, generation, protocol_type, protocol_name, leader, state_since_ms"
        " FROM consumer_groups"
    )
    return [
        Snapshot(
            group_id=group_id,
            generation=generation,
            protocol_type=protocol_type,
            protocol_name=protocol_name,
            leader=leader,
            state_since_ms=state_since_ms,
            members=tuple(members.get(group_id, ())),
        )
        for group_id, generation, protocol_type, protocol_name, leader, state_since_ms in groups
    ]


def load_offsets(connection: sqlite3.Connection) -> list[OffsetRow]:
    rows = connection.execute(
        "SELECT group_id, topic, partition_index, topic_id, committed_offset, leader_epoch,"
        " metadata, committed_ms, expires_ms FROM consumer_offsets"
    )
    return [
        OffsetRow(
            group_id, OffsetKey(topic, index), uuid.UUID(bytes=topic_id), CommittedOffset(*rest)
        )
        for group_id, topic, index, topic_id, *rest in rows
    ]


def save_group(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO consumer_groups VALUES (?, ?, ?, ?, ?, ?)",
        (
            snapshot.group_id, snapshot.generation, snapshot.protocol_type,
            snapshot.protocol_name, snapshot.leader, snapshot.state_since_ms,
        ),
    )  # fmt: skip
    connection.execute(
        "DELETE FROM consumer_group_members WHERE group_id = ?", (snapshot.group_id,)
    )
    connection.executemany(
        "INSERT INTO consumer_group_members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(snapshot.group_id, *member) for member in snapshot.members],
    )


def save_offsets(connection: sqlite3.Connection, rows: Iterable[OffsetRow]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO consumer_offsets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                row.group_id, row.key.topic, row.topic_id.bytes, row.key.partition,
                row.committed.offset, row.committed.leader_epoch, row.committed.metadata,
                row.committed.committed_ms, row.committed.expires_ms,
            )
            for row in rows
        ],
    )  # fmt: skip


def delete_offsets(
    connection: sqlite3.Connection, keys: Iterable[tuple[str, OffsetKey, int | None]]
) -> None:
    """Deletes offsets; a time given with one spares a commit made at another time."""
    connection.executemany(
        "DELETE FROM consumer_offsets WHERE group_id = ?1 AND topic = ?2"
        " AND partition_index = ?3 AND (?4 IS NULL OR committed_ms = ?4)",
        [(group_id, *key, committed_ms) for group_id, key, committed_ms in keys],
    )


def delete_topic_offsets(connection: sqlite3.Connection, topic: str, topic_id: uuid.UUID) -> None:
    connection.execute(
        "DELETE FROM consumer_offsets WHERE topic = ? AND topic_id = ?", (topic, topic_id.bytes)
    )


def delete_group(connection: sqlite3.Connection, group_id: str) -> None:
    for table in ("consumer_groups", "consumer_group_members", "consumer_offsets"):
        connection.execute(f"DELETE FROM {table} WHERE group_id = ?", (group_id,))
