"""The power is cut at any moment: unsynced names and bytes are lost as the disk likes.

The log is on the crash file system, the store on a real one: SQLite's own durability is taken
at its word (a commit that returned is there, ``synchronous=FULL``). What is tested is the order
between the two: no row without its directory for long, no directory of a topic that is gone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from admin_site import Site

from mainstem.broker.store import Store
from mainstem.testing import CrashFileSystem

ROOT = "/site"
State = dict[str, tuple[str, list[int]]]
Step = Callable[[Site], Any]


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def state_of(site: Site) -> State:
    return {
        topic.name: (
            str(topic.id),
            [topic.partition(index).high_watermark for index in range(topic.partition_count)],
        )
        for topic in site.topics.all()
    }


def append(name: str, index: int, count: int) -> Step:
    def step(site: Site) -> None:
        site.append(name, index, count)
        site.partition(name, index).sync()

    return step


def create(name: str, partitions: int) -> Step:
    return lambda site: site.create(name, partitions)


def delete(name: str) -> Step:
    return lambda site: site.run(site.topics.delete(site.topics.require(name)))


def grow(name: str, total: int) -> Step:
    return lambda site: site.run(site.topics.add_partitions(site.topics.require(name), total))


STEPS = [
    create("a", 2),
    append("a", 1, 5),
    create("b", 1),
    append("b", 0, 2),
    delete("a"),
    create("a", 3),
    append("a", 1, 1),
    grow("b", 3),
    delete("b"),
    create("b", 1),
]


class Outage:
    """Runs steps; at every moment keeps what each of ``seeds`` cuts would leave."""

    def __init__(self, scratch: Path, seeds: range) -> None:
        self.scratch, self.seeds = scratch, seeds
        self.disk = CrashFileSystem(fault=self._before_call)
        self.states: list[State] = []
        self.left: list[tuple[str, Path, CrashFileSystem]] = []
        self.watching = False

    def _before_call(self, _number: int, operation: str, path: str) -> None:
        if operation in {"mkdir", "rename", "unlink", "rmdir", "fsync_directory", "open"}:
            self.moment(f"before {operation} {path}")

    def moment(self, what: str) -> None:
        if not self.watching:
            return
        self.watching = False
        copy = self.scratch / f"store-{len(self.left)}"
        shutil.copytree(self.scratch / "data", copy)
        for seed in self.seeds:
            where = f"seed {seed}, step {len(self.states)}, {what}"
            self.left.append((where, copy, self.disk.crash(seed)))
            self.disk.restart()
        self.watching = True

    def run(self) -> None:
        moment = self.moment

        class WatchedStore(Store):
            def _commit(self, batch: list[Any]) -> None:
                moment("before a commit")
                super()._commit(batch)
                moment("after a commit")

        data = self.scratch / "data"
        with Site(data, filesystem=self.disk, store_class=WatchedStore, log_root=ROOT) as site:
            self.states.append(state_of(site))
            for step in STEPS:
                self.watching = True
                step(site)
                self.watching = False
                self.states.append(state_of(site))

    def check(self) -> None:
        for where, store, disk in self.left:
            step = int(where.split("step ")[1].split(",")[0])
            data = self.scratch / "reopened"
            shutil.copytree(store, data)
            with Site(data, filesystem=disk, log_root=ROOT) as site:
                found = state_of(site)
                assert found in self.states[step - 1 : step + 1], where
                assert site.topics.strays == set(), where
                for name in {"a", "b"} - found.keys():
                    site.create(name, 3)
                    assert state_of(site)[name][1] == [0, 0, 0], where
                settled = state_of(site)
            with Site(data, filesystem=disk.crash(1), log_root=ROOT) as site:
                assert state_of(site) == settled, where
            shutil.rmtree(data)


def test_a_power_cut_leaves_topics_whole(scratch: Path) -> None:
    outage = Outage(scratch, range(1))
    outage.run()
    assert len(outage.left) > 50
    outage.check()


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", [1, 11])
def test_many_power_cuts_leave_topics_whole(scratch: Path, first_seed: int) -> None:
    outage = Outage(scratch, range(first_seed, first_seed + 10))
    outage.run()
    outage.check()
