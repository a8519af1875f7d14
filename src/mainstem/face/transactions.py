"""Transactions as users hold them, for asyncio and for plain Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from mainstem.client import (
    Appended,
    AppendOptions,
    Format,
    Raw,
    TopicPartition,
    TransactionalClient,
)
from mainstem.errors import Closed, Invalid
from mainstem.face.consumers import AsyncConsumer, Consumer
from mainstem.face.loop import later, run

if TYPE_CHECKING:
    from mainstem.face.blocking import Stem

C = TypeVar("C")


def _checked(consumer: C, kind: type[C]) -> C:
    if not isinstance(consumer, kind):
        raise Invalid(f"consumer={consumer!r} is not valid: give a {kind.__name__}")
    return consumer


class AsyncTransaction:
    """One transaction, see ``AsyncTransactions.begin``."""

    def __init__(self, client: TransactionalClient) -> None:
        self._client = client
        self._ended = False

    async def append(
        self,
        topic: str,
        table: Any,
        *,
        key: str | None = None,
        timestamp: str | None = None,
        partition: int | None = None,
        format: Format | None = None,  # noqa: A002 - the word users expect
        compression: str | None = None,
        compression_level: int | None = None,
        batch_bytes: int = 1_000_000,
    ) -> Appended:
        """Write rows as part of the transaction. See ``Transaction.append``."""
        self._check()
        options = AppendOptions(
            key=key,
            timestamp=timestamp,
            partition=partition,
            format=Raw() if format is None else format,
            compression=compression,
            compression_level=compression_level,
            batch_bytes=batch_bytes,
        )
        return await self._client.append(topic, table, options)

    async def send_offsets(
        self, consumer: AsyncConsumer, offsets: Mapping[TopicPartition, int] | None = None
    ) -> None:
        """Commit a consumer's offsets with the transaction. See ``Transaction.send_offsets``."""
        self._check()
        await self._client.send_offsets(_checked(consumer, AsyncConsumer).core, offsets)

    async def commit(self) -> None:
        """Make it count. See ``Transaction.commit``."""
        self._check()
        await self._client.commit()
        self._ended = True

    async def abort(self) -> None:
        """Make it never have been. See ``Transaction.abort``."""
        self._check()
        await self._client.abort()
        self._ended = True

    def _check(self) -> None:
        if self._ended:
            raise Closed("this transaction is over: begin another")

    async def __aenter__(self) -> AsyncTransaction:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ended:
            return
        if kind is None:
            try:
                await self.commit()
            except BaseException:
                if self._client.state in ("open", "failed"):
                    await self.abort()
                raise
        elif self._client.state in ("open", "failed"):
            await self.abort()


class AsyncTransactions:
    """A transactional id in use, see ``AsyncStem.transactions``. For one task at a time."""

    def __init__(self, client: TransactionalClient) -> None:
        self.client = client
        self._started = False

    def __repr__(self) -> str:
        return f"AsyncTransactions({self.client.id!r})"

    async def start(self) -> None:
        """Take the transactional id; done by ``async with`` and ``begin``."""
        if not self._started:
            await self.client.start()
            self._started = True

    async def begin(self, consumer: AsyncConsumer | None = None) -> AsyncTransaction:
        """Open a transaction. See ``Transactions.begin``."""
        await self.start()
        self.client.begin(None if consumer is None else _checked(consumer, AsyncConsumer).core)
        return AsyncTransaction(self.client)

    async def close(self) -> None:
        """Abort what is open. May be called twice."""
        await self.client.close()

    async def __aenter__(self) -> AsyncTransactions:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class Transaction:
    """One transaction, see ``Transactions.begin``: the end of a ``with`` block commits it, an
    exception aborts it."""

    def __init__(self, transactions: Transactions, client: TransactionalClient) -> None:
        self._transactions = transactions
        self._transaction = AsyncTransaction(client)

    def append(
        self,
        topic: str,
        table: Any,
        *,
        key: str | None = None,
        timestamp: str | None = None,
        partition: int | None = None,
        format: Format | None = None,  # noqa: A002 - the word users expect
        compression: str | None = None,
        compression_level: int | None = None,
        batch_bytes: int = 1_000_000,
    ) -> Appended:
        """Write rows as part of the transaction; arguments are those of ``Topic.append``.

        After an error the transaction can only be aborted.
        """
        self._transactions.check()
        return run(
            self._transaction.append,
            topic,
            table,
            key=key,
            timestamp=timestamp,
            partition=partition,
            format=format,
            compression=compression,
            compression_level=compression_level,
            batch_bytes=batch_bytes,
        )

    def send_offsets(
        self, consumer: Consumer, offsets: Mapping[TopicPartition, int] | None = None
    ) -> None:
        """Commit what ``consumer`` handed out, or ``offsets``, together with the transaction.

        The consumer must have been opened with ``auto_commit=None``. Raises ``Conflict`` when
        its group went on without it.
        """
        self._transactions.check()
        run(self._transaction.send_offsets, _checked(consumer, Consumer).inner, offsets)

    def commit(self) -> None:
        """Make all of it count.

        Raises ``Conflict`` when it can only be aborted or another producer took over, and
        ``Unavailable`` when no answer came: it may count or not; call ``commit`` again to know.
        """
        self._transactions.check()
        run(self._transaction.commit)

    def abort(self) -> None:
        """Make it never have been; its consumers hand out the same records again."""
        self._transactions.check()
        run(self._transaction.abort)

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transactions.check()
        run(self._transaction.__aexit__, kind, error, trace)


class Transactions:
    """A transactional id in use, see ``Stem.transactions``: one transaction at a time."""

    def __init__(self, stem: Stem, transactions: AsyncTransactions) -> None:
        self._stem = stem
        self._transactions: AsyncTransactions | None = transactions
        self._pid = os.getpid()
        self._id = transactions.client.id

    def __repr__(self) -> str:
        return f"Transactions({self._id!r})"

    def check(self) -> AsyncTransactions:
        """What is underneath. Raises ``Closed`` after ``close`` and after a fork."""
        self._stem.check()
        if self._transactions is None:
            raise Closed(f"the transactions of {self._id!r} are closed: open them again")
        return self._transactions

    def begin(self, consumer: Consumer | None = None) -> Transaction:
        """Open a transaction, a context manager.

        With ``consumer`` (opened with ``auto_commit=None``) its offsets are committed with it,
        and after an abort it hands out the same records again: exactly-once in one ``with``.
        """
        client = self.check().client
        inner = None if consumer is None else _checked(consumer, Consumer).inner.core

        async def begin() -> None:
            client.begin(inner)

        run(begin)
        return Transaction(self, client)

    def close(self) -> None:
        """Abort what is open. May be called twice."""
        transactions, self._transactions = self._transactions, None
        if transactions is not None and self._pid == os.getpid():
            run(transactions.close)

    def __del__(self) -> None:
        if getattr(self, "_transactions", None) is not None and self._pid == os.getpid():
            assert self._transactions is not None
            later(self._transactions.close())

    def __enter__(self) -> Transactions:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
