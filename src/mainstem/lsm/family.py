"""One keyspace of a store, and the reading half that it shares with snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mainstem.errors import Invalid
from mainstem.kernels import lsm
from mainstem.lsm import arrow
from mainstem.lsm.arguments import check_limit, check_operations
from mainstem.lsm.batch import WriteBatch, put_of
from mainstem.lsm.families import declare_fields
from mainstem.lsm.layers import FamilyView
from mainstem.lsm.options import FOLDS, FamilyOptions, Field
from mainstem.lsm.reading import bounds, lookup_values, scan_batches, scan_rows

if TYPE_CHECKING:
    from mainstem.lsm.store import Store

_BATCH_ROWS = 1 << 16


class Reader:
    """Reads one family, as of each call (:class:`Family`) or of one moment (a snapshot's).

    Every method may be called from any thread, never waits for a writer, and gives buffers that
    stay valid after merges and after the store was closed.
    """

    def __init__(self, store: Store, number: int) -> None:
        self.store = store
        self.id = number

    def view(self) -> FamilyView:
        """What is read."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return self.store.state.families[self.id].name

    @property
    def options(self) -> FamilyOptions:
        return self.store.state.families[self.id].options

    @property
    def fields(self) -> tuple[Field, ...]:
        """The numbers of its merged state; empty where nothing was merged."""
        return self.store.state.families[self.id].fields

    @property
    def spec(self) -> bytes:
        return self.store.state.specs[self.id]

    def get_batch(self, keys: Any) -> Any:
        """Values of ``keys`` in their order, null where there is none: ``pa.BinaryArray``.

        Raises ``Invalid`` for keys that are not binary, ``Corrupt`` for a damaged file.
        """
        return arrow.binary_array(self._values(arrow.column(keys, "keys")))

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:
        """The value of one key. For many keys ``get_batch`` is many times faster."""
        _, data, validity, _ = self._values(arrow.single(key))
        return default if validity is not None else bytes(data)

    def states(self, keys: Any) -> Any:
        """Merged states of ``keys`` as ``pa.RecordBatch``, a column per field, null for none."""
        column = arrow.column(keys, "keys")
        if not self.fields:
            raise Invalid(f"nothing was ever merged into family {self.name!r}: it has no states")
        offsets, data, validity, _ = self._values(column)
        states = lsm.Column(offsets, data, validity, 0, len(column), -1)
        return arrow.state_batch(
            states, validity, tuple((field.name, field.type) for field in self.fields)
        )

    def scan(
        self,
        low: bytes | None = None,
        high: bytes | None = None,
        *,
        prefix: bytes | None = None,
        reverse: bool = False,
        limit: int | None = None,
        batch_rows: int = _BATCH_ROWS,
    ) -> Any:
        """Keys from ``low`` to below ``high``, or with ``prefix``, in (falling) order.

        Gives a ``pa.RecordBatchReader`` of ``key`` and ``value``, consistent as of this call.
        """
        return arrow.reader(
            scan_batches(
                self._rows(low, high, prefix, reverse=reverse, limit=limit, batch_rows=batch_rows)
            )
        )

    def items(self, *, prefix: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Keys with ``prefix`` and their values, in order, as ``bytes``."""
        rows = self._rows(None, None, prefix, reverse=reverse, limit=None, batch_rows=4096)
        for each in rows:
            for key, _, value, _ in lsm.describe(each):
                yield key, value

    def keys(self, *, prefix: bytes = b"") -> Iterator[bytes]:
        return (key for key, _ in self.items(prefix=prefix))

    def values(self, *, prefix: bytes = b"") -> Iterator[bytes]:
        return (value for _, value in self.items(prefix=prefix))

    def __getitem__(self, key: bytes) -> bytes:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        return self.keys()

    def _values(self, keys: lsm.Column) -> lsm.ArrowBuffers:
        view = self.view()
        self.store.state.check_open()  # afterwards: a closed store's view is empty
        return lookup_values(
            view,
            keys,
            seed=self.store.state.manifest.seed,
            spec=self.spec,
            expire_before=self.store.background.expire_before(self.id),
        )

    def _rows(
        self,
        low: bytes | None,
        high: bytes | None,
        prefix: bytes | None,
        *,
        reverse: bool,
        limit: int | None,
        batch_rows: int,
    ) -> Iterator[lsm.RowList]:
        view = self.view()
        self.store.state.check_open()
        check_limit(limit, batch_rows)
        low, high = bounds(low, high, prefix or None)
        return scan_rows(
            view,
            low,
            high,
            reverse=reverse,
            limit=limit,
            batch_rows=batch_rows,
            spec=self.spec,
            expire_before=self.store.background.expire_before(self.id),
        )


class Family(Reader):
    """A keyspace with its own runs and options; writes are atomic per call.

    Thread-safe. Every write raises ``Invalid`` for columns it cannot take, ``Unavailable`` when
    the disk failed (then or before), ``Closed`` after ``Store.close``.
    """

    def view(self) -> FamilyView:
        return self.store.state.view[self.id]

    def put_batch(self, keys: Any, values: Any) -> None:
        """Set ``keys`` to ``values`` (binary columns); the last of equal keys wins, a null
        value deletes."""
        self.store.commit([put_of(self, keys, values)], None)

    def delete_batch(self, keys: Any) -> None:
        """Remove ``keys``."""
        self.store.write(WriteBatch().delete(self, keys))

    def delete_range(self, low: bytes = b"", high: bytes | None = None) -> None:
        """Remove every key from ``low`` to below ``high`` (``None``: to the end)."""
        self.store.write(WriteBatch().delete_range(self, low, high))

    def merge_batch(self, keys: Any, columns: Mapping[str, Any] | Any, ops: Sequence[str]) -> None:
        """Fold numbers into the states of ``keys``: ``columns`` with ``ops``, field by field.

        ``columns`` is a mapping or ``pa.RecordBatch`` of integer or floating columns, ``ops``
        says ``"sum"``, ``"min"``, ``"max"``, ``"count"`` (give a column of how many, or ``None``
        for one each) or ``"last"`` for each. The first merge fixes the family's fields, before
        which it must be empty. Integers wrap at 64 bits.
        """
        key_column = arrow.column(keys, "keys")
        rows = len(key_column)
        named = arrow.named_columns(columns)
        check_operations(ops, len(named))
        fields: list[Field] = []
        parts: list[Any] = []
        for (name, data), operation in zip(named.items(), ops, strict=True):
            given = [1] * rows if data is None and operation == "count" else data
            buffer, kind = arrow.numbers(given, rows, f"column {name!r}")
            if (operation, kind) not in FOLDS:
                raise Invalid(f"column {name!r} of {kind} cannot be merged by {operation!r}")
            fields.append(Field(name, operation, kind))
            parts.append(buffer)
        declare_fields(self.store.state, self.id, tuple(fields))
        memory = lsm.interleave(parts, rows)
        states = lsm.Column(None, memory, None, 0, rows, 8 * len(fields))
        self.store.write(WriteBatch().merge(self, key_column, states))

    def put(self, key: bytes, value: bytes) -> None:
        """Set one key. For many ``put_batch`` is many times faster."""
        self.put_batch(arrow.single(key), arrow.single(value, "a value"))

    def delete(self, key: bytes) -> None:
        """Remove one key."""
        self.delete_batch(arrow.single(key))

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.put(key, value)

    def __delitem__(self, key: bytes) -> None:
        if key not in self:
            raise KeyError(key)
        self.delete(key)

    def update(self, items: Mapping[bytes, bytes]) -> None:
        """Set all of ``items`` at once, atomically."""
        if not isinstance(items, Mapping):
            raise Invalid(f"update takes a dict of keys and values, not {items!r:.60}")
        self.put_batch(list(items), list(items.values()))

    def compact(self) -> None:
        """Merge everything into the last level, now: smallest and fastest to read."""
        self.store.flush()
        self.store.background.compact(self.id)
        self.store.state.check_writable()
