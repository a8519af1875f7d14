"""Topics as rows of the metadata store: every statement about them in one place."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from mainstem.broker.topic import Topic

TABLES = """
CREATE TABLE IF NOT EXISTS topics (
    name TEXT PRIMARY KEY, id BLOB NOT NULL UNIQUE, partitions INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS topic_configs (
    topic TEXT NOT NULL REFERENCES topics (name), name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (topic, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS topic_deletions (name TEXT PRIMARY KEY) WITHOUT ROWID
"""

Rows = tuple[list[tuple[str, bytes, int]], dict[str, dict[str, str]], set[str]]


def read_all(connection: sqlite3.Connection) -> Rows:
    """Topics as (name, id, partitions), their overrides by topic, and deletions under way."""
    rows = connection.execute("SELECT name, id, partitions FROM topics").fetchall()
    configs: dict[str, dict[str, str]] = {}
    for topic, name, value in connection.execute("SELECT topic, name, value FROM topic_configs"):
        configs.setdefault(topic, {})[name] = value
    deletions = {name for (name,) in connection.execute("SELECT name FROM topic_deletions")}
    return rows, configs, deletions


def insert(connection: sqlite3.Connection, topic: Topic, now_ms: int) -> None:
    """A new topic with its overrides."""
    # A deletion left open would take the new topic's records at the next start.
    end_deletion(connection, topic.name)
    connection.execute(
        "INSERT INTO topics (name, id, partitions, created_ms) VALUES (?, ?, ?, ?)",
        (topic.name, topic.id.bytes, topic.partition_count, now_ms),
    )
    insert_configs(connection, topic.name, topic.overrides)


def insert_configs(
    connection: sqlite3.Connection, topic: str, overrides: Mapping[str, str]
) -> None:
    """Overrides of a topic that has none."""
    connection.executemany(
        "INSERT INTO topic_configs (topic, name, value) VALUES (?, ?, ?)",
        [(topic, name, value) for name, value in overrides.items()],
    )


def replace_configs(
    connection: sqlite3.Connection, topic: str, overrides: Mapping[str, str]
) -> None:
    """All overrides of a topic at once."""
    connection.execute("DELETE FROM topic_configs WHERE topic = ?", (topic,))
    insert_configs(connection, topic, overrides)


def set_partitions(connection: sqlite3.Connection, topic: str, total: int) -> None:
    """The new number of partitions."""
    connection.execute("UPDATE topics SET partitions = ? WHERE name = ?", (total, topic))


def move_to_deletions(connection: sqlite3.Connection, name: str) -> None:
    """The topic is gone from here on; its directories are still to be removed."""
    connection.execute("DELETE FROM topic_configs WHERE topic = ?", (name,))
    connection.execute("DELETE FROM topics WHERE name = ?", (name,))
    connection.execute("INSERT OR IGNORE INTO topic_deletions (name) VALUES (?)", (name,))


def end_deletion(connection: sqlite3.Connection, name: str) -> None:
    """Nothing of a deleted topic is left on disk."""
    connection.execute("DELETE FROM topic_deletions WHERE name = ?", (name,))
