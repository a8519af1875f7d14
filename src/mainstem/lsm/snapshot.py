"""Consistent reads while others write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.errors import Closed, Invalid
from mainstem.lsm.family import Reader
from mainstem.lsm.layers import FamilyView

if TYPE_CHECKING:
    from mainstem.lsm.store import Store


class Snapshot(Reader):
    """The default family at one moment; :meth:`family` gives the others at the same moment.

    Holds memtables and files, unlinked ones too, until it is closed or collected. Usable until
    the store is closed. Thread-safe.
    """

    def __init__(self, store: Store, views: dict[int, FamilyView], number: int = 0) -> None:
        super().__init__(store, number)
        self._views: dict[int, FamilyView] | None = views

    def view(self) -> FamilyView:
        if self._views is None:
            raise Closed("the snapshot was closed: take a new one")
        return self._views[self.id]

    def family(self, name: str) -> Snapshot:
        """The family ``name`` as of this snapshot. Raises ``Invalid`` if it was not there."""
        if self._views is None:
            raise Closed("the snapshot was closed: take a new one")
        for number, family in self.store.state.families.items():
            if family.name == name and number in self._views:
                return Snapshot(self.store, self._views, number)
        raise Invalid(f"there was no family {name!r} when the snapshot was taken")

    def close(self) -> None:
        """Let go of what it holds."""
        self._views = None

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
