"""The measurements: each a short stretch of one engine, repeated beside the others."""

from __future__ import annotations

import os
import random
import statistics
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.lsm import bare, native
from benchmarks.lsm.data import Rows, missing, sequential, shuffled
from benchmarks.lsm.engines import fresh

NATIVE = "RocksDB native"
Figures = dict[str, dict[str, list[float]]]
Say = Callable[[str], None]


@dataclass
class Plan:
    """What is measured: sizes, how often, and for how many seconds each time."""

    rows: int
    rounds: int
    seconds: float
    batches: tuple[int, ...]
    cold_batches: tuple[int, ...]


@dataclass
class Bench:
    """Measures ``kinds`` (and ``db_bench``) by ``plan`` in directory ``place``."""

    plan: Plan
    kinds: list[type[Any]]
    place: Path
    say: Say
    with_native: bool
    deadline: float  # of the monotonic clock: from then on each figure is measured once
    figures: Figures = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def __post_init__(self) -> None:
        rows = self.plan.rows
        self.say(f"making {rows:,} rows")
        self.sequential, self.random = sequential(rows), shuffled(rows)
        self.missing = missing(min(rows, 200_000), rows)
        for each in (self.sequential, self.random, self.missing):
            _ = each.key_list, each.value_list
        self.bytes = rows * 116

    def rounds(self) -> Iterator[int]:
        """As planned, but one only when time runs out."""
        for number in range(self.plan.rounds):
            if number and time.monotonic() > self.deadline:
                return
            yield number

    def note(self, what: str, name: str, value: float) -> None:
        self.figures[what][name].append(value)

    def medians(self) -> dict[str, dict[str, float]]:
        return {
            what: {name: statistics.median(values) for name, values in by_engine.items()}
            for what, by_engine in self.figures.items()
        }

    # -- writes ------------------------------------------------------------------------------

    def fills(self, sync: str = "none", batches: tuple[int, ...] = ()) -> None:
        """fillseq and fillrandom of new stores; with ``sync`` only the latter."""
        fillings = {"fillseq": self.sequential, "fillrandom": self.random}
        if sync == "none":
            self.warm()
        for what, rows in fillings.items():
            if sync != "none" and what == "fillseq":
                continue
            for batch in batches or self.plan.batches:
                self.say(f"{what}, batch {batch}, sync {sync}")
                label = f"{what}/{batch}" if sync == "none" else f"fillrandom, synced/{batch}"
                for _ in self.rounds():
                    for kind in self.kinds:
                        self.fill(kind, rows, batch, sync)  # as warm(), after another's turn
                        self.note(label, kind.name, self.fill(kind, rows, batch, sync))
                    if self.with_native and sync == "none":
                        self.note(label, NATIVE, self.native_fill(what, batch))

    def fill(self, kind: type[Any], rows: Rows, batch: int, sync: str) -> float:
        engine = fresh(kind, self.place, self.bytes, sync)
        os.sync()  # nobody waits for what another left to be written
        found = self.stretch(engine.put, rows, batch)
        engine.close()
        return found

    def warm(self) -> None:
        """A store each that is not measured, four times: memory that nobody on this machine has
        used before comes from the hypervisor a page at a time, at a tenth of the speed."""
        self.say("warming up")
        for _ in range(4):
            for kind in self.kinds:
                engine = fresh(kind, self.place, self.bytes, "none")
                self.stretch(engine.put, self.sequential, 65536)
                engine.close()

    def native_fill(self, what: str, batch: int) -> float:
        rows = min(self.plan.rows, 300_000 if batch < 16 else self.plan.rows)
        return self.db_bench([what], "native-fill", batch, self.bytes, rows=rows)[what]

    # -- a store that is full and at rest ------------------------------------------------------

    @contextmanager
    def loaded(self, cache: int) -> Iterator[list[Any]]:
        """All engines with all rows in random order, merged, and read once."""
        engines: list[Any] = []
        for kind in self.kinds:
            self.say(f"loading {kind.name}, cache {cache >> 20} MiB")
            engine = fresh(kind, self.place, cache)
            each_batch(engine.put, self.random, 4096, len(self.random))
            engine.settle()
            each_batch(engine.get, self.random, 4096, len(self.random))
            engines.append(engine)
        if self.with_native:
            self.db_bench(["fillrandom", "compact"], "native", 4096, cache, fill=True)
        try:
            yield engines
        finally:
            for engine in engines:
                engine.close()

    def reads(self, engines: list[Any], batches: tuple[int, ...], cache: int) -> None:
        """readrandom, readmissing, readseq and seekrandom."""
        if cache < self.bytes:
            self.bare_reads(batches)
        for what, rows in {"readrandom": self.random, "readmissing": self.missing}.items():
            for batch in batches:
                self.say(f"{what}, batch {batch}")
                for _ in self.rounds():
                    for engine in engines:
                        found = self.stretch(engine.get, rows, batch)
                        self.note(f"{what}/{batch}", engine.name, found)
                    if self.with_native:
                        # There is no batched readmissing: it asks for one key at a time.
                        name = "multireadrandom" if what == "readrandom" else what
                        got = self.db_bench([name], "native", batch, cache)
                        self.note(f"{what}/{batch}", NATIVE, got[name])
        self.say("readseq, seekrandom")
        for _ in self.rounds():
            for engine in engines:
                began = time.perf_counter()
                count = engine.scan(None, min(self.plan.rows, 1_000_000))
                spent = time.perf_counter() - began
                self.note("readseq/", engine.name, count / spent)
                self.note("seekrandom, 50 rows/", engine.name, self.seeks(engine))
            if self.with_native:
                got = self.db_bench(["readseq"], "native", 1, cache, timed=False)
                self.note("readseq/", NATIVE, got["readseq"])

    def bare_reads(self, batches: tuple[int, ...]) -> None:
        """readrandom with no store around it: what the blocks cost that are not cached."""
        with closing(bare.Reads(self.place, self.bytes)) as reads:
            for batch in batches:
                for _ in self.rounds():
                    found = reads.keys(batch, self.plan.seconds)
                    self.note(f"readrandom/{batch}", bare.NAME, found)

    def seeks(self, engine: Any) -> float:
        rng = random.Random(5)
        began = now = time.perf_counter()
        count = 0
        while now - began < self.plan.seconds:
            engine.scan(struct.pack(">Q", rng.randrange(self.plan.rows)), 50)
            count += 1
            now = time.perf_counter()
        return count / (now - began)

    def beside_writers(self, engines: list[Any]) -> None:
        """readwhilewriting: one thread reads, another writes all the time."""
        self.say("readwhilewriting")
        for _ in self.rounds():
            for engine in engines:
                self.note("readwhilewriting/256", engine.name, self.beside_writer(engine))

    def beside_writer(self, engine: Any, batch: int = 256) -> float:
        stop = threading.Event()
        rows = self.random

        def write() -> None:
            at = 0
            while not stop.is_set():
                engine.put(rows, at, at + batch)
                at = (at + batch) % (len(rows) - batch)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            return self.stretch(engine.get, rows, batch)
        finally:
            stop.set()
            writer.join()

    def overwrites(self, engines: list[Any], batches: tuple[int, ...], cache: int) -> None:
        """Rows that are there are written again, in the same random order."""
        for batch in batches:
            self.say(f"overwrite, batch {batch}")
            label = f"overwrite/{batch}"
            for _ in self.rounds():
                for engine in engines:
                    os.sync()
                    self.note(label, engine.name, self.stretch(engine.put, self.random, batch))
                if self.with_native:
                    got = self.db_bench(["overwrite"], "native", batch, cache)
                    self.note(label, NATIVE, got["overwrite"])

    # -- the clock -----------------------------------------------------------------------------

    def stretch(self, call: Callable[[Rows, int, int], Any], rows: Rows, batch: int) -> float:
        """Rows per second of ``call``, once through the rows or until the time is up."""
        count, at = len(rows), 0
        began = now = time.perf_counter()
        until = began + self.plan.seconds
        while at < count and now < until:
            end = min(at + batch, count)
            call(rows, at, end)
            at = end
            now = time.perf_counter()
        return at / (now - began)

    def db_bench(
        self,
        names: list[str],
        directory: str,
        batch: int,
        cache: int,
        *,
        rows: int | None = None,
        fill: bool = False,
        timed: bool = True,
    ) -> dict[str, float]:
        filling = fill or directory == "native-fill"
        return native.run(
            self.place / directory,
            names,
            rows=rows or self.plan.rows,
            batch=batch,
            cache=cache,
            existing=not filling,
            seconds=max(1, round(self.plan.seconds)) if timed and not filling else 0,
        )


def each_batch(call: Callable[[Rows, int, int], Any], rows: Rows, batch: int, count: int) -> None:
    for at in range(0, count, batch):
        call(rows, at, min(at + batch, count))


def everything(bench: Bench) -> dict[str, dict[str, dict[str, float]]]:
    """All tables, each (row to engine to figure)."""
    tables = {}
    bench.fills()
    for table, cache, batches in (
        ("in cache", 4 * bench.bytes, bench.plan.batches),
        ("four times the cache", bench.bytes // 4, bench.plan.cold_batches),
    ):
        with bench.loaded(cache) as engines:
            bench.reads(engines, batches, cache)
            bench.beside_writers(engines)
            bench.overwrites(engines, batches, cache)
        if table == "in cache":
            bench.fills("batch", (256, 4096))
        tables[table] = bench.medians()
        bench.figures.clear()
    return tables
