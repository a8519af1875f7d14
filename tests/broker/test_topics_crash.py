"""Killed at any moment, every topic is afterwards there as a whole or not at all.

A photograph of the data directory is taken before each change of a directory and around each
commit of the store: what a process killed there would leave. Each is opened and compared with
the state before and after the change that was under way.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from admin_site import Site

from mainstem.broker.store import Store
from mainstem.log import File, RealFileSystem

State = dict[str, tuple[str, dict[str, str], list[int]]]
Photograph = Callable[[str], None]

CHURN = Path(__file__).with_name("topic_churn.py")


class WatchedFileSystem(RealFileSystem):
    """Calls ``moment`` before everything that changes a directory."""

    def __init__(self, moment: Photograph) -> None:
        self.moment = moment

    def open(self, path: str, *, create: bool = False) -> File:
        if create:
            self.moment(f"create {path}")
        return super().open(path, create=create)

    def mkdir(self, path: str) -> None:
        self.moment(f"mkdir {path}")
        super().mkdir(path)

    def rmdir(self, path: str) -> None:
        self.moment(f"rmdir {path}")
        super().rmdir(path)

    def rename(self, source: str, target: str) -> None:
        self.moment(f"rename {source}")
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self.moment(f"unlink {path}")
        super().unlink(path)


def watched_store(moment: Photograph) -> type[Store]:
    class WatchedStore(Store):
        def _commit(self, batch: list[Any]) -> None:
            moment("before a commit")
            super()._commit(batch)
            moment("after a commit")

    return WatchedStore


def state_of(site: Site) -> State:
    return {
        topic.name: (
            str(topic.id),
            dict(topic.overrides),
            [topic.partition(index).high_watermark for index in range(topic.partition_count)],
        )
        for topic in site.topics.all()
    }


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: hundreds of starts need no real disk."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@dataclass
class Shoot:
    """A site under test, its states after each step, and the photographs of each step."""

    root: Path
    states: list[State] = field(default_factory=list)
    shots: list[tuple[int, str, Path]] = field(default_factory=list)
    running: bool = False

    def photograph(self, moment: str) -> None:
        if self.running:
            target = self.root / "shots" / str(len(self.shots))
            shutil.copytree(self.root / "data", target)
            self.shots.append((len(self.states), moment, target))

    def run(self, steps: list[Callable[[Site], Any]]) -> None:
        filesystem = WatchedFileSystem(self.photograph)
        store_class = watched_store(self.photograph)
        with Site(self.root / "data", filesystem=filesystem, store_class=store_class) as site:
            self.states.append(state_of(site))
            for step in steps:
                self.running = True
                step(site)
                self.running = False
                self.states.append(state_of(site))

    def check(self, hint: str = "") -> None:
        for step, moment, data in self.shots:
            where = f"{hint} killed in step {step}, {moment}"
            before, after = self.states[step - 1], self.states[step]
            with Site(data) as site:
                found = state_of(site)
                assert found in (before, after), where
                assert site.topics.strays == set(), where
                directories = {entry.name for entry in (data / "topics").iterdir()}
                expected = {
                    f"{n}-{i}" for n, (_, _, ends) in found.items() for i in range(len(ends))
                }
                assert directories == expected, where
                for name in sorted((before.keys() | after.keys()) - found.keys()):
                    site.create(name, 3)
                    assert state_of(site)[name][2] == [0, 0, 0], where
                settled = state_of(site)
            with Site(data) as site:
                assert state_of(site) == settled, where
            shutil.rmtree(data)


def create(name: str, count: int, **configs: str) -> Callable[[Site], None]:
    return lambda site: site.create(name, count, **configs)


def delete(name: str) -> Callable[[Site], None]:
    return lambda site: site.run(site.topics.delete(site.topics.require(name)))


def grow(name: str, total: int) -> Callable[[Site], None]:
    return lambda site: site.run(site.topics.add_partitions(site.topics.require(name), total))


def alter(name: str, configs: dict[str, str]) -> Callable[[Site], None]:
    return lambda site: site.run(site.topics.alter_configs(site.topics.require(name), configs))


def append(name: str, index: int, count: int) -> Callable[[Site], None]:
    return lambda site: site.append(name, index, count)


def test_every_moment_of_a_topics_life(scratch: Path) -> None:
    shoot = Shoot(scratch)
    shoot.run(
        [
            create("a", 2, retention_ms="99"),
            append("a", 1, 5),
            create("b", 1),
            delete("a"),
            create("a", 3),  # the old records must not be in it
            append("a", 0, 1),
            grow("b", 3),
            alter("b", {"segment.ms": "7"}),
            delete("b"),
        ]
    )
    moments = {moment.split()[0] for _step, moment, _data in shoot.shots}
    assert moments == {"before", "after", "mkdir", "create", "rename", "unlink", "rmdir"}
    shoot.check()


def random_steps(rng: random.Random, length: int) -> list[Callable[[Site], None]]:
    present: dict[str, int] = {}
    steps: list[Callable[[Site], None]] = []
    for _ in range(length):
        name = rng.choice("abc")
        if name not in present:
            present[name] = rng.randint(1, 3)
            steps.append(create(name, present[name]))
            continue
        match rng.randrange(5):
            case 0 | 1:
                steps.append(append(name, rng.randrange(present[name]), rng.randint(1, 5)))
            case 2:
                present[name] += rng.randint(1, 2)
                steps.append(grow(name, present[name]))
            case 3:
                steps.append(alter(name, {"retention.ms": str(rng.randint(1, 9))}))
            case _:
                del present[name]
                steps.append(delete(name))
    return steps


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_random_lives(scratch: Path, seed: int) -> None:
    shoot = Shoot(scratch)
    shoot.run(random_steps(random.Random(seed), 12))
    shoot.check(f"seed {seed}:")


@pytest.mark.slow
def test_kill_9_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    known: dict[str, list[int] | None] = {}
    for turn in range(16):
        process = subprocess.Popen(
            [sys.executable, str(CHURN), str(tmp_path), str(rng.randrange(1 << 32))],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        under_way: str | None = None
        for _ in range(rng.randint(1, 60)):
            event = json.loads(process.stdout.readline())
            if event["what"] == "begins":
                under_way = event["topic"]
            else:
                known[event["topic"]] = event["ends"]
                under_way = None
        process.kill()
        rest = process.stdout.read().splitlines()  # said before it died, unread until now
        process.wait()
        process.stdout.close()
        for line in rest:
            if not line.endswith("}"):
                break
            event = json.loads(line)
            under_way = event["topic"] if event["what"] == "begins" else None
            if event["what"] == "done":
                known[event["topic"]] = event["ends"]
        check_after_kill(tmp_path, known, under_way, f"seed {seed}, turn {turn}")


def check_after_kill(
    data: Path, known: dict[str, list[int] | None], under_way: str | None, where: str
) -> None:
    with Site(data) as site:
        found = {name: ends for name, (_id, _configs, ends) in state_of(site).items()}
        for name, ends in known.items():
            if name != under_way:
                assert found.get(name) == ends, f"{where}: {name}"
        assert found.keys() <= known.keys() | {under_way}, where
        assert site.topics.strays == set(), where
        if under_way is not None:
            known[under_way] = found.get(under_way)


def test_a_store_killed_in_a_transaction_forgets_it(tmp_path: Path) -> None:
    shots: list[Path] = []
    store = Store(tmp_path / "data" / "metadata.sqlite")
    store.schema("CREATE TABLE IF NOT EXISTS facts (name TEXT)")

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO facts VALUES ('half')")
        shots.append(shutil.copytree(tmp_path / "data", tmp_path / "shot"))

    store.write_now(half)
    store.close()
    killed = Store(shots[0] / "metadata.sqlite")
    try:
        assert killed.read(lambda c: c.execute("SELECT * FROM facts").fetchall()) == []
        assert killed.cluster_id == store.cluster_id
    finally:
        killed.close()
