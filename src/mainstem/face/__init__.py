"""What users hold: a ``Stem`` and its topics, blocking or for asyncio, embedded or remote."""

from __future__ import annotations

from mainstem.face.async_topic import AsyncTopic
from mainstem.face.asynchronous import AsyncStem, aconnect, aopen
from mainstem.face.blocking import Stem, connect, open  # noqa: A004 - reads as ms.open
from mainstem.face.consumers import AsyncConsumer, Consumer
from mainstem.face.topic import Topic
from mainstem.face.transactions import (
    AsyncTransaction,
    AsyncTransactions,
    Transaction,
    Transactions,
)

__all__ = [
    "AsyncConsumer",
    "AsyncStem",
    "AsyncTopic",
    "AsyncTransaction",
    "AsyncTransactions",
    "Consumer",
    "Stem",
    "Topic",
    "Transaction",
    "Transactions",
    "aconnect",
    "aopen",
    "connect",
    "open",
]
