"""Every operation of the store, in any order, beside plain dicts."""

from __future__ import annotations

import contextlib
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mainstem.lsm import (
    BlockCache,
    FamilyOptions,
    Snapshot,
    Store,
    WriteBatch,
    check,
    write_run,
)
from mainstem.testing.clock import VirtualClock
from mainstem.testing.filesystem import CrashFileSystem

KEYS = st.one_of(
    st.binary(max_size=3),
    st.sampled_from([b"shared-prefix-%02d" % n for n in range(30)]),
    st.integers(0, 40).map(lambda n: n.to_bytes(8, "big")),
)
VALUES = st.binary(max_size=40)
NAMES = st.sampled_from(("default", "other"))
ROWS = st.lists(st.tuples(KEYS, st.one_of(VALUES, VALUES, st.none())), min_size=1, max_size=30)
# Shrinking replays whole lives: it is for whoever looks into a failure, with Phase.shrink added.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
FAMILY = st.fixed_dictionaries(
    {
        "codec": st.sampled_from(("none", "lz4", "zstd")),
        "upper_codec": st.sampled_from(("none", "lz4")),
        "filter_bits": st.sampled_from((0.0, 4.0, 10.0)),
        "block_bytes": st.sampled_from((256, 1024)),
        "fan_in": st.integers(2, 5),
    }
)
OPTIONS = st.fixed_dictionaries(
    {
        "sync": st.sampled_from(("batch", "group", "none")),
        "memtable_bytes": st.sampled_from((1 << 10, 4 << 10, 64 << 10)),
        "file_bytes": st.sampled_from((1 << 10, 8 << 10)),
        "slice_bytes": st.sampled_from((256, 4 << 10)),
        "background": st.sampled_from(("manual", "inline")),
    }
)


class StoreMachine(RuleBasedStateMachine):
    """``model`` holds each family's rows, ``sums`` the merged family's states."""

    @initialize(options=OPTIONS, families=FAMILY, cache=st.sampled_from((0, 2000, 1 << 20)))
    def start(self, options: dict[str, Any], families: dict[str, Any], cache: int) -> None:
        self.filesystem = CrashFileSystem()
        self.clock = VirtualClock()
        self.options, self.families = options, families
        self.cache = BlockCache(cache)
        self.model: dict[str, dict[bytes, bytes]] = {"default": {}, "other": {}}
        self.sums: dict[bytes, tuple[int, float, int]] = {}
        self.copies = 0
        self.snapshots: list[tuple[Snapshot, dict[str, dict[bytes, bytes]]]] = []
        self.open()

    def open(self) -> None:
        self.store = Store.open(
            "store",
            filesystem=self.filesystem,
            clock=self.clock,
            cache=self.cache,
            family_options=FamilyOptions(**self.families),
            **self.options,
        )
        for name in ("other", "sums"):
            self.store.family(name, **self.families)

    @rule(name=NAMES, rows=ROWS)
    def put(self, name: str, rows: list[tuple[bytes, bytes | None]]) -> None:
        self.store.family(name).put_batch([key for key, _ in rows], [value for _, value in rows])
        for key, value in rows:
            if value is None:
                self.model[name].pop(key, None)
            else:
                self.model[name][key] = value

    @rule(name=NAMES, keys=st.lists(KEYS, min_size=1, max_size=10))
    def delete(self, name: str, keys: list[bytes]) -> None:
        self.store.family(name).delete_batch(keys)
        for key in keys:
            self.model[name].pop(key, None)

    @rule(name=NAMES, low=KEYS, high=st.one_of(st.none(), KEYS))
    def delete_range(self, name: str, low: bytes, high: bytes | None) -> None:
        self.store.family(name).delete_range(low, high)
        rows = self.model[name]
        for key in [key for key in rows if key >= low and (high is None or key < high)]:
            del rows[key]

    @rule(rows=ROWS, low=KEYS, high=KEYS)
    def batch(self, rows: list[tuple[bytes, bytes | None]], low: bytes, high: bytes) -> None:
        default, other = self.store, self.store.family("other")
        keys = [key for key, _ in rows]
        values = [value or b"" for _, value in rows]
        batch = WriteBatch().put(default, keys, values).delete_range(default, low, high)
        self.store.write(batch.put(other, keys, values), position={"n": len(rows)})
        for key, value in zip(keys, values, strict=True):
            self.model["default"][key] = self.model["other"][key] = value
        for key in [key for key in self.model["default"] if low <= key < high]:
            del self.model["default"][key]
        assert self.store.position == {"n": len(rows)}

    @rule(
        rows=st.lists(
            st.tuples(KEYS, st.integers(-50, 50), st.integers(-9, 9)), min_size=1, max_size=20
        )
    )
    def merge(self, rows: list[tuple[bytes, int, int]]) -> None:
        keys, wholes, reals = zip(*rows, strict=True)
        self.store.family("sums").merge_batch(
            list(keys),
            {"total": list(wholes), "most": [float(real) for real in reals], "n": None},
            ["sum", "max", "count"],
        )
        for key, whole, real in rows:
            total, most, count = self.sums.get(key, (0, float("-inf"), 0))
            self.sums[key] = (total + whole, max(most, float(real)), count + 1)

    @rule(keys=st.lists(KEYS, min_size=1, max_size=5))
    def forget_sums(self, keys: list[bytes]) -> None:
        if not self.store.family("sums").fields:
            return  # a family that holds rows, deletes too, cannot begin to merge
        self.store.family("sums").delete_batch(keys)
        for key in keys:
            self.sums.pop(key, None)

    @rule(steps=st.integers(1, 30))
    def work(self, steps: int) -> None:
        for _ in range(steps):
            if not self.store.step():
                break

    @rule()
    def flush(self) -> None:
        self.store.flush()

    @rule(name=NAMES)
    def compact(self, name: str) -> None:
        self.store.family(name).compact()
        assert len(self.store.state.disk[self.store.family(name).id]) <= 1

    @rule(name=NAMES, rows=ROWS)
    def ingest(self, name: str, rows: list[tuple[bytes, bytes | None]]) -> None:
        columns = {"key": [key for key, _ in rows], "value": [value for _, value in rows]}
        types = {"key": pa.binary(), "value": pa.binary()}
        batch = pa.record_batch(
            {key: pa.array(column, types[key]) for key, column in columns.items()}
        )
        write_run("new.run", [batch], filesystem=self.filesystem)
        self.store.ingest("new.run", family=self.store.family(name))
        for key, value in rows:
            self.model[name].pop(key, None)
            if value is not None:
                self.model[name][key] = value

    @rule()
    def checkpoint(self) -> None:
        self.copies += 1
        path = f"copy-{self.copies}"
        self.store.checkpoint(path)
        with Store.open(path, filesystem=self.filesystem, background="manual") as copy:
            for name, rows in self.model.items():
                assert dict(copy.family(name).items()) == rows

    @rule()
    def snapshot(self) -> None:
        copy = {name: dict(rows) for name, rows in self.model.items()}
        self.snapshots = [*self.snapshots[-2:], (self.store.snapshot(), copy)]

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        if clean:
            self.store.close()
            assert [each.severity for each in check("store", filesystem=self.filesystem)] == ["ok"]
        else:
            self.filesystem.restart()  # the process died, the machine did not
        self.snapshots = []
        self.open()

    @rule(name=NAMES, keys=st.lists(KEYS, max_size=20))
    def get(self, name: str, keys: list[bytes]) -> None:
        got = self.store.family(name).get_batch(keys).to_pylist()
        assert got == [self.model[name].get(key) for key in keys]

    @rule(
        name=NAMES,
        low=st.one_of(st.none(), KEYS),
        high=st.one_of(st.none(), KEYS),
        reverse=st.booleans(),
        limit=st.one_of(st.none(), st.integers(0, 10)),
        batch_rows=st.sampled_from((1, 3, 100)),
    )
    def scan(
        self,
        name: str,
        low: bytes | None,
        high: bytes | None,
        reverse: bool,
        limit: int | None,
        batch_rows: int,
    ) -> None:
        scan = self.store.family(name).scan(
            low, high, reverse=reverse, limit=limit, batch_rows=batch_rows
        )
        got = [(row["key"], row["value"]) for batch in scan for row in batch.to_pylist()]
        rows = sorted(self.model[name].items(), reverse=reverse)
        wanted = [
            (key, value)
            for key, value in rows
            if (low is None or key >= low) and (high is None or key < high)
        ]
        assert got == wanted[:limit]

    @rule(prefix=st.sampled_from((b"shared-", b"\xff", b"\x00", b"")))
    def scan_prefix(self, prefix: bytes) -> None:
        got = dict(self.store.items(prefix=prefix))
        rows = self.model["default"].items()
        assert got == {key: value for key, value in rows if key.startswith(prefix)}

    @rule()
    def read_snapshots(self) -> None:
        for snapshot, rows in self.snapshots:
            for name in ("default", "other"):
                reader = snapshot.family(name)
                assert dict(reader.items()) == rows[name]
                keys = list(rows[name])
                assert reader.get_batch(keys).to_pylist() == [rows[name][key] for key in keys]

    @rule()
    def read_sums(self) -> None:
        family = self.store.family("sums")
        if not family.fields:
            assert not self.sums
            return
        keys = [*self.sums, b"no such key"]
        rows = family.states(keys).to_pylist()
        got = [(row["total"], row["most"], row["n"]) for row in rows]
        assert got == [*self.sums.values(), (None, None, None)]
        assert list(family) == sorted(self.sums)

    @invariant()
    def all_there(self) -> None:
        if hasattr(self, "store"):
            for name, rows in self.model.items():
                assert dict(self.store.family(name).items()) == rows

    def teardown(self) -> None:
        if hasattr(self, "store"):
            with contextlib.suppress(AttributeError):
                self.store.close()


@pytest.mark.slow
def test_the_store_is_a_dict_whatever_happens() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=400,
            stateful_step_count=40,
            deadline=None,
            phases=PHASES,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_store_is_a_dict_for_a_while() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            phases=PHASES,
            suppress_health_check=list(HealthCheck),
        ),
    )
