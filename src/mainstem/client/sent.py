"""What became of an append: where its rows went, or which of them failed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from mainstem.client.gathering import Piece
from mainstem.client.lanes import Batch
from mainstem.errors import Invalid, MainstemError


@dataclass(frozen=True, slots=True)
class Written:
    """Rows written to one partition; offsets are -1 with ``acks=0`` or for a late duplicate.

    Another producer's records may lie between ``first_offset`` and ``last_offset``.
    """

    first_offset: int
    last_offset: int
    rows: int


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append wrote: all its rows, and where, by partition."""

    rows: int
    partitions: dict[int, Written] = field(default_factory=dict)


class Sent:
    """The batches of one append, in order, and the first failure among them.

    ``total`` is how many rows it has, ``None`` while only the source knows.
    """

    def __init__(self, total: int | None = 0) -> None:
        self.failure: BaseException | None = None
        self.total = total
        self.begun = 0  # rows of the slices before the one under way
        self.touched = 0  # with those of the one under way: later ones were surely not sent
        self._batches: list[tuple[int, Batch | Piece]] = []
        self._rows: list[tuple[int, int] | None] = []  # first and last of each batch

    def add(self, partition: int, batch: Batch | Piece, rows: tuple[int, int], known: bool) -> None:
        self._batches.append((partition, batch))
        first, last = rows
        self._rows.append((self.begun + first, self.begun + last) if known else None)
        batch.done.add_done_callback(self._note)

    def _note(self, done: asyncio.Future[int]) -> None:
        if not done.cancelled() and done.exception() is not None and self.failure is None:
            self.failure = done.exception()

    async def settle(self, *, cancel: bool) -> None:
        """Wait for all; with ``cancel``, first take back those that were never sent."""
        for _, batch in self._batches:
            batch.unwanted = cancel
            if cancel and not batch.departed:
                batch.done.cancel()
        waiting = [batch.done for _, batch in self._batches]
        if cancel and waiting:  # one that was cancelled here must not end whoever waits
            await asyncio.wait(waiting)
        elif len(waiting) == 1:  # the usual one, without the machinery for many
            with suppress(Exception):
                await waiting[0]
        elif waiting:
            await asyncio.gather(*waiting, return_exceptions=True)
        for done in waiting:  # the callback of one that was done before it was awaited comes later
            self._note(done)

    def partial(self, error: BaseException) -> BaseException:
        """``error``, with the rows that failed or were not sent, and how many were acknowledged."""
        unsent = self._unsent()
        if not self._batches:
            if not unsent or not isinstance(error, MainstemError) or _is_of_the_call(error):
                return error
            return type(error)(f"{error} [{unsent}]", code=error.code)
        written = sum(batch.rows for _, batch in self._batches if _acknowledged(batch))
        if not isinstance(error, MainstemError):  # the source's own, or a format's
            error.add_note(f"{written} rows were acknowledged")
            return error
        which = self._where(error) + (f"{unsent}; " if unsent else "")
        return type(error)(f"{error} [{which}{written} rows were acknowledged]", code=error.code)

    def _unsent(self) -> str:
        """The rows that no request held, numbered from 0 as appended."""
        first = self.touched
        if self.total is None:
            return f"row {first} and all after it were not sent"
        last = self.total - 1
        if first >= last:
            return f"row {first} was not sent" if first == last else ""
        return f"rows {first} to {last} were not sent"

    def _where(self, error: BaseException) -> str:
        """The rows of the batch that failed with ``error``, numbered from 0 as appended."""
        for rows, (partition, batch) in zip(self._rows, self._batches, strict=True):
            done = batch.done
            if rows and done.done() and not done.cancelled() and done.exception() is error:
                first, last = rows
                if first == last:
                    return f"row {first} failed; "
                if last - first < batch.rows:
                    return f"rows {first} to {last} failed; "
                return f"of rows {first} to {last} those of partition {partition} failed; "
        return ""

    def summary(self) -> Appended:
        """Where the rows went; all batches are acknowledged."""
        found: dict[int, Written] = {}
        for partition, batch in self._batches:
            base, rows = batch.done.result(), batch.rows
            last = base + rows - 1 if base >= 0 else -1
            before = found.get(partition)
            if before is None:
                found[partition] = Written(base, last, rows)
            else:
                found[partition] = Written(before.first_offset, last, before.rows + rows)
        return Appended(sum(batch.rows for _, batch in self._batches), dict(sorted(found.items())))


def _is_of_the_call(error: MainstemError) -> bool:
    """Whether the arguments or the data are wrong, which the message says, whichever the rows."""
    return isinstance(error, Invalid) and error.code is None


def _acknowledged(batch: Batch | Piece) -> bool:
    done = batch.done
    return done.done() and not done.cancelled() and done.exception() is None
