"""Mainstem: a Kafka-compatible event streaming platform in one Python package.

``open`` starts a log inside this process, ``connect`` reaches any Kafka cluster; both give a
``Stem``. ``aopen`` and ``aconnect`` are the same for asyncio. Everything is imported at first
use, so ``import mainstem`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainstem.client import (
        Acl,
        Appended,
        Arrow,
        Avro,
        Json,
        Protobuf,
        Raw,
        Registry,
        Sasl,
        Tls,
        Written,
    )
    from mainstem.errors import (
        Closed,
        Conflict,
        Corrupt,
        Denied,
        Invalid,
        MainstemError,
        Unavailable,
    )
    from mainstem.face import (
        AsyncConsumer,
        AsyncStem,
        AsyncTopic,
        AsyncTransaction,
        AsyncTransactions,
        Consumer,
        Stem,
        Topic,
        Transaction,
        Transactions,
        aconnect,
        aopen,
        connect,
        open,  # noqa: A004 - reads as ms.open
    )

__version__ = "0.1.0"
__all__ = [
    "Acl",
    "Appended",
    "Arrow",
    "AsyncConsumer",
    "AsyncStem",
    "AsyncTopic",
    "AsyncTransaction",
    "AsyncTransactions",
    "Avro",
    "Closed",
    "Conflict",
    "Consumer",
    "Corrupt",
    "Denied",
    "Invalid",
    "Json",
    "MainstemError",
    "Protobuf",
    "Raw",
    "Registry",
    "Sasl",
    "Stem",
    "Tls",
    "Topic",
    "Transaction",
    "Transactions",
    "Unavailable",
    "Written",
    "__version__",
    "aconnect",
    "aopen",
    "connect",
    "open",
]
_HOMES = {
    "mainstem.client": (
        "Acl", "Appended", "Arrow", "Avro", "Json", "Protobuf", "Raw", "Registry", "Sasl", "Tls",
        "Written",
    ),
    "mainstem.errors": (
        "Closed", "Conflict", "Corrupt", "Denied", "Invalid", "MainstemError", "Unavailable",
    ),
    "mainstem.face": (
        "AsyncConsumer", "AsyncStem", "AsyncTopic", "AsyncTransaction", "AsyncTransactions",
        "Consumer", "Stem", "Topic", "Transaction", "Transactions",
        "aconnect", "aopen", "connect", "open",
    ),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            value = getattr(import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'mainstem' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
