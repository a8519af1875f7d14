"""A seeded life of a store beside plain dicts: the oracle of crash, fault and kill tests."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from mainstem.lsm import BlockCache, Store, WriteBatch
from mainstem.testing.clock import VirtualClock

FAMILIES = ("default", "other")
Contents = dict[str, dict[bytes, bytes]]

#: Small enough that a few hundred rows see flushes, merges and several files.
SMALL: dict[str, Any] = {
    "memtable_bytes": 6 << 10,
    "file_bytes": 3 << 10,
    "slice_bytes": 1 << 10,
    "background": "manual",
    "hash_seed": 77,
}
SMALL_FAMILY: dict[str, Any] = {"block_bytes": 256, "fan_in": 3}


def open_small(filesystem: Any, path: str = "store", **changes: Any) -> Store:
    """A store on ``filesystem`` that flushes and merges all the time."""
    from mainstem.lsm import FamilyOptions

    store = Store.open(
        path,
        filesystem=filesystem,
        cache=BlockCache(8 << 10),
        clock=VirtualClock(),
        family_options=FamilyOptions(**SMALL_FAMILY),
        **{**SMALL, **changes},
    )
    store.family("other", **SMALL_FAMILY)
    return store


def contents(store: Store) -> Contents:
    """Everything in the store, read by scans."""
    return {name: dict(store.family(name).items()) for name in FAMILIES}


@dataclass
class Step:
    """One atomic commit: what it does, and the contents after it."""

    operations: list[tuple[str, str, Any]]
    after: Contents
    number: int


@dataclass
class Script:
    """``steps`` random commits and what is there after each."""

    seed: int
    steps: int
    keys: int = 60
    made: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        now: Contents = {name: {} for name in FAMILIES}
        for number in range(1, self.steps + 1):
            operations = [self._operation(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
            for operation in operations:
                apply(now, operation)
            after = {name: dict(rows) for name, rows in now.items()}
            self.made.append(Step(operations, after, number))

    def _operation(self, rng: random.Random) -> tuple[str, str, Any]:
        family = rng.choice(FAMILIES)
        kind = rng.choices(("put", "delete", "range"), (8, 2, 1))[0]
        if kind == "put":
            rows = {
                self._key(rng): rng.randbytes(rng.randrange(60))
                for _ in range(rng.randrange(1, 12))
            }
            return kind, family, rows
        if kind == "delete":
            return kind, family, [self._key(rng) for _ in range(rng.randrange(1, 6))]
        low, high = sorted((self._key(rng), self._key(rng)))
        return kind, family, (low, rng.choice((high, high, high, None)))

    def _key(self, rng: random.Random) -> bytes:
        return b"key%03d" % rng.randrange(self.keys)

    def before(self) -> Contents:
        return {name: {} for name in FAMILIES}

    def states(self) -> list[Contents]:
        """The contents after 0, 1, 2, … commits."""
        return [self.before(), *(step.after for step in self.made)]


def apply(now: Contents, operation: tuple[str, str, Any]) -> None:
    kind, family, what = operation
    rows = now[family]
    if kind == "put":
        rows.update(what)
    elif kind == "delete":
        for key in what:
            rows.pop(key, None)
    else:
        low, high = what
        for key in [key for key in rows if key >= low and (high is None or key < high)]:
            del rows[key]


def commit(store: Store, step: Step) -> None:
    """Write ``step`` to the store, with its number as position."""
    batch = WriteBatch()
    for kind, name, what in step.operations:
        family = store.family(name)
        if kind == "put":
            batch.put(family, list(what), list(what.values()))
        elif kind == "delete":
            batch.delete(family, what)
        else:
            batch.delete_range(family, *what)
    store.write(batch, position={"step": step.number})
