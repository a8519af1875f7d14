"""What users hold: a ``Stem`` and its topics, blocking or for asyncio, embedded or remote."""

from __future__ import annotations

from mainstem.face.asynchronous import AsyncStem, AsyncTopic, aconnect, aopen
from mainstem.face.blocking import Stem, Topic, connect, open  # noqa: A004 - reads as ms.open
from mainstem.face.consumers import AsyncConsumer, Consumer
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
