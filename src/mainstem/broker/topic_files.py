"""The directories of topics that are gone: removed, also when a crash came in between."""

from __future__ import annotations

import logging
import sqlite3

from mainstem.broker import topic_rows
from mainstem.broker.store import Store
from mainstem.broker.topic import Topic
from mainstem.errors import MainstemError
from mainstem.log import Log

_LOGGER = logging.getLogger("mainstem.broker")


def remove_files(log: Log, topic: Topic) -> bool:
    """Deletes a topic's directories; whether some are still there under their own name."""
    for index in range(topic.partition_count):
        _remove(log, topic.name, index)
    return any(name == topic.name for name, _index in log.existing())


def finish_deletions(store: Store, log: Log, deletions: set[str]) -> None:
    """At start: what a crash cut short. Files that still resist are tried at the next start."""
    if not deletions:
        return
    resisting = {
        name
        for name, index in log.existing()
        if name in deletions and not _remove(log, name, index)
    }

    def save(connection: sqlite3.Connection) -> None:
        for name in deletions - resisting:
            topic_rows.end_deletion(connection, name)

    store.write_now(save)


def _remove(log: Log, name: str, index: int) -> bool:
    try:
        log.delete(name, index)
    except MainstemError as error:
        _LOGGER.warning("files of deleted partition %s-%d stay for now: %s", name, index, error)
        return False
    return True
