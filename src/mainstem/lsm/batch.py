"""A batch: puts, deletes, merges and range deletes of any families, applied as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mainstem.errors import Invalid
from mainstem.kernels import lsm
from mainstem.lsm import arrow
from mainstem.lsm.arguments import check_bound, check_bytes

if TYPE_CHECKING:
    from mainstem.lsm.family import Family
    from mainstem.lsm.store import Store


def operation_of(
    family: Family, kind: int, keys: lsm.Column, values: lsm.Column | None
) -> lsm.Operation:
    """One operation of a batch. Raises ``Invalid`` for columns that do not go together."""
    store, number = family.store, family.id
    stamp = store.clock.now_ms() if store.state.families[number].options.ttl_ms else 0
    try:
        return lsm.Operation(kind, number, keys, values, stamp)
    except ValueError as error:
        raise Invalid(f"the batch for family {family.name!r} cannot be: {error}") from error


def put_of(family: Family, keys: Any, values: Any) -> lsm.Operation:
    """The operation that sets ``keys`` to ``values``. Raises ``Invalid``."""
    column = arrow.column(values, "values")
    if spec := family.store.state.specs[family.id]:
        size = 8 * len(spec)
        if not lsm.all_of_size(column, size):
            raise Invalid(
                f"family {family.name!r} merges states of {size} bytes: values put there must be "
                "such states, or null"
            )
    return operation_of(family, lsm.PUT, arrow.column(keys, "keys"), column)


class WriteBatch:
    """Collects operations for :meth:`Store.write`; later ones win. For one thread."""

    __slots__ = ("_store", "operations")

    def __init__(self) -> None:
        self.operations: list[lsm.Operation] = []
        self._store: Store | None = None

    def __len__(self) -> int:
        """How many operations it holds."""
        return len(self.operations)

    def put(self, family: Family, keys: Any, values: Any) -> WriteBatch:
        """Set ``keys`` (binary) to ``values`` (binary); a null value deletes its key."""
        self._of(family)
        self.operations.append(put_of(family, keys, values))
        return self

    def delete(self, family: Family, keys: Any) -> WriteBatch:
        """Remove ``keys``, whether they are there or not."""
        self._add(family, lsm.DELETE, arrow.column(keys, "keys"), None)
        return self

    def delete_range(
        self, family: Family, low: bytes = b"", high: bytes | None = None
    ) -> WriteBatch:
        """Remove every key from ``low`` to below ``high`` (``None``: to the end)."""
        check_bytes(low, "the low end")
        check_bound(high, "the high end")
        if high is not None and high <= low:
            return self
        highs = lsm.Column(bytes(8), b"", b"\0", 0, 1, -1) if high is None else arrow.single(high)
        self._add(family, lsm.RANGE_DELETE, arrow.single(low), highs)
        return self

    def merge(self, family: Family, keys: Any, states: lsm.Column) -> WriteBatch:
        """Fold ``states`` into those of ``keys``; see :meth:`Family.merge_batch`."""
        self._add(family, lsm.MERGE, arrow.column(keys, "keys"), states)
        return self

    def _add(self, family: Family, kind: int, keys: lsm.Column, values: lsm.Column | None) -> None:
        self._of(family)
        self.operations.append(operation_of(family, kind, keys, values))

    def _of(self, family: Family) -> None:
        if self._store is not None and self._store is not family.store:
            raise Invalid(f"family {family.name!r} is of another store than the batch's others")
        self._store = family.store

    @property
    def store(self) -> Store | None:
        return self._store
