"""Reading one view: batch lookups and scans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mainstem.errors import Invalid
from mainstem.kernels import lsm
from mainstem.lsm import arrow
from mainstem.lsm.arguments import check_bound, check_bytes
from mainstem.lsm.layers import FamilyView, look_up, merger, sources_of

_FIRST_ROWS: Final = 256
_BATCH_BYTES: Final = 8 << 20
_MOST_THREADS: Final = 8


def lookup_values(
    view: FamilyView, keys: lsm.Column, *, seed: int, spec: bytes, expire_before: int
) -> lsm.ArrowBuffers:
    """Values of ``keys`` as Arrow buffers. Raises ``Invalid`` for more than 2 GiB of them."""
    try:
        lookup = look_up(view, keys, seed=seed, spec=spec, expire_before=expire_before)
    except ValueError as error:
        raise Invalid(str(error)) from error
    try:
        return lookup.values()
    except OverflowError as error:
        raise Invalid(str(error)) from error
    finally:
        lookup.close()


def set_lookup_threads(count: int) -> None:
    """Threads that one ``get_batch`` may read blocks with, its own among them: one to eight.

    One a core unless it is said here; for all stores of the process. They help only where keys
    have to be read from files and are many enough to be worth it. Raises ``Invalid``.
    """
    if type(count) is not int or not 1 <= count <= _MOST_THREADS:
        raise Invalid(f"{count!r} threads to look keys up with: ask for 1 to {_MOST_THREADS}")
    lsm.set_helpers(count - 1)


def prefix_end(prefix: bytes) -> bytes | None:
    """The least key above every key that begins with ``prefix``; ``None`` if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def bounds(
    low: bytes | None, high: bytes | None, prefix: bytes | None
) -> tuple[bytes | None, bytes | None]:
    """The range a scan was asked for. Raises ``Invalid`` for a prefix together with a bound."""
    if prefix is None:
        check_bound(low, "the low end")
        check_bound(high, "the high end")
        return low, high
    if low is not None or high is not None:
        raise Invalid("a scan has a prefix or bounds, not both")
    check_bytes(prefix, "a prefix")
    return prefix, prefix_end(prefix)


def scan_rows(
    view: FamilyView,
    low: bytes | None,
    high: bytes | None,
    *,
    reverse: bool,
    limit: int | None,
    batch_rows: int,
    spec: bytes,
    expire_before: int,
) -> Iterator[lsm.RowList]:
    """Rows in the range in lists of up to ``batch_rows``; the first ones smaller."""
    left = limit if limit is not None else 1 << 62
    if left <= 0 or (low is not None and high is not None and low >= high):
        return
    merge = merger(
        sources_of(view, low, high, reverse=reverse, fill=left <= batch_rows),
        low=low,
        high=high,
        reverse=reverse,
        drop_deletes=True,
        spec=spec,
        expire_before=expire_before,
    )
    size = min(batch_rows, max(_FIRST_ROWS, left if limit is not None else 0))
    while left > 0:
        rows = merge.next_rows(min(left, size), _BATCH_BYTES)
        if not len(rows):
            return
        left -= len(rows)
        size = min(batch_rows, size * 8)
        yield rows


def scan_batches(rows: Iterator[lsm.RowList]) -> Iterator[Any]:
    """Row lists as ``pyarrow.RecordBatch``."""
    for each in rows:
        yield arrow.record_batch(each, 0, len(each))
