"""Transactions: appends to many partitions and a group's offsets, all or nothing."""

from __future__ import annotations

from mainstem.client.transactions.core import TransactionalClient

__all__ = ["TransactionalClient"]
