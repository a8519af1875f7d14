"""The client beside confluent-kafka, aiokafka and kafka-python, all against the same Mainstem.

GATES: append >= 10 x confluent-kafka's ``produce()``, read to Arrow >= 10 x its ``consume()``,
one-record round trip no slower than aiokafka's. What one record takes to be acknowledged is
information.

Every client is a process of its own. Rounds of all are interleaved and the ratio is the median of
each round's; a round before them does not count, as memory that nobody has used before is slow to
come to a virtual machine, and a process begins with such. Batches of 1 MB, which ours, as Java's,
counts when they are compressed; rows without keys. zstd is at level 1, our default, for us and for
confluent-kafka (the others have no setting), and at level 3, what librdkafka takes unasked, in rows
of their own. Appends come twice: with acks=all and idempotence for all that have it, which waits
for the disk's sync, and with acks=1, which does not, so that the clients are compared and not the
disk. Idempotence needs acks=all: with acks=1 all go without.

The bare loop is no client at all: the topic's own bytes, with nothing parsed, checked or decoded.
``sendfile`` to ``recv`` into one buffer, 4 MB at a time, or with zstd its decompression, on every
core, and nothing else; for appends the rows encoded by our kernels, and compressed, a thread a
core, then ``send`` to ``recv``, ``write`` to one file and ``fdatasync`` (the last not for acks=1),
with 5 MB in flight, which is all that an idempotent producer may have to a partition. Near it
nothing is left to be had here.

Traps: figures are per second, with fewer rows for the slower clients; the broker shares the
machine's cores with the client, and syncs what is appended to its disk, so with few cores a fast
client measures broker and disk. Peers hold one object per row before the clock starts, we a
table. Two settings of confluent-kafka are not the default: with ``queued.min.messages`` and
``queued.max.messages.kbytes`` as they are, librdkafka stops fetching for a second whenever 100,000
or 64 MB are in line. What its ``consume()`` returns
is not even looked at for raw records.
"""

from __future__ import annotations

import itertools
import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from interop.cluster import start_mainstem
from interop.kafka import die_with_parent
from rich.table import Table

from benchmarks.bare import running
from benchmarks.rows import Context, median, percentile

PEERS = ["confluent-kafka", "aiokafka", "kafka-python"]
#: Rows at a time: about half a second each on two cores.
ROWS = {"mainstem": 8_000_000, "confluent-kafka": 800_000, "aiokafka": 40_000}
FEWEST = 20_000
APPENDS: dict[str, str | int] = {"append (acks=all)": "all", "append (acks=1)": 1}
CODECS = (None, "zstd", "zstd level 3")
CASES = [
    case
    for case in itertools.product((100, 1000), (1, 12), (False, True), CODECS)
    if case[0] == 100 or case[3] != "zstd level 3"
]
BAR = 10
PATIENCE = 90.0  # seconds


@dataclass
class PeerRow:
    """One figure of ours and of each peer; ``peak`` is our process's most memory, in MB."""

    what: str
    unit: str
    mainstem: float
    peers: dict[str, float]
    ratio: float
    bar: str = ""
    passes: bool | None = None
    peak: float | None = None
    peaks: dict[str, float] = field(default_factory=dict)
    bare: float | None = None
    bare_ratio: float | None = None  # to confluent-kafka


class Worker:
    """A client's process. ``ask`` gives it a task and waits."""

    def __init__(self, name: str, address: str) -> None:
        command = [sys.executable, "-m", "benchmarks.client_worker", name, address]
        self.name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 # one call, no locks
        )
        self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            raise RuntimeError(f"{self.name} gave no answer: {self._process.wait()}")
        return json.loads(line)

    def ask(self, do: str, **task: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task | {"do": do}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@dataclass
class Bench:
    """A running broker, the clients, and a way to make topics."""

    context: Context
    stem: Any
    workers: dict[str, Worker]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def topic(self, partitions: int) -> Iterator[str]:
        name = f"client-{next(self.numbers)}"
        self.stem.create_topic(name, partitions)
        try:
            yield name
        finally:
            self.stem.delete_topic(name)


def run(context: Context) -> list[PeerRow]:
    import mainstem as ms

    with ExitStack() as stack:
        broker = start_mainstem(context.directory / "client")
        stack.callback(broker.stop)
        stem = stack.enter_context(ms.connect(broker.address))
        workers = {}
        for name in ["mainstem", *PEERS]:
            workers[name] = Worker(name, broker.address)
            stack.callback(workers[name].close)
        workers["bare"] = Worker("bare", broker.address)
        stack.callback(workers["bare"].close)
        bench = Bench(context, stem, workers)
        rows: list[PeerRow] = []
        for size, partitions, as_json, codec in CASES:
            # Quick: the gates, and one of each kind.
            plain = (partitions, as_json, codec) == (1, False, None)
            shown = {(100, 12, False, None), (100, 12, True, "zstd")}
            if context.quick and not plain and (size, partitions, as_json, codec) not in shown:
                continue
            rows += _case(bench, size, partitions, as_json, codec)
        return rows + _round_trip(bench)


def _case(
    bench: Bench, size: int, partitions: int, as_json: bool, codec: str | None
) -> list[PeerRow]:
    label = f"{size} B, {partitions} part., {'JSON' if as_json else 'raw'}, {codec or 'none'}"
    bench.context.progress(f"client: {label}")
    plain = not as_json and codec is None
    level = (3 if codec == "zstd level 3" else 1) if codec else None
    found: dict[str, dict[str, list[Any]]] = {do: {} for do in (*APPENDS, "consume")}
    for turn in range(-1, bench.context.pick(5, 3)):  # the first one does not count
        for name in ["mainstem", *PEERS]:
            scale = 8 if size == 1000 else 1
            rows = max(FEWEST, ROWS.get(name, 0) // scale)
            task = {"size": size, "partitions": partitions, "json": as_json}
            task |= {"codec": codec and "zstd", "level": level}
            if name == "mainstem" and not plain:
                rows = rows // 20_000 * 10_000
            if name in PEERS[1:] and (turn or level == 3):  # the slow peers: information, once
                continue
            task |= {"rows": rows}
            for do, answer in _turn(bench, name, partitions, task):
                if turn >= 0:
                    found[do].setdefault("bare" if "bare" in answer else name, []).append(answer)
    return [_row(f"{do} {label}", found[do]) for do in found]


def _turn(
    bench: Bench, name: str, partitions: int, task: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """What a client appends and reads, once; where it is ours, also what the bare loops do."""
    worker, rows = bench.workers[name], task["rows"]
    for label, acks in APPENDS.items():
        with bench.topic(partitions) as topic:
            task |= {"topic": topic, "acks": acks}
            asked = {label: "append"} | ({"consume": "consume"} if acks == "all" else {})
            for what, do in asked.items():
                answer = worker.ask(do, **task)
                assert answer["rows"] == rows, (name, what, answer)
                yield what, answer
            if name == "mainstem" and acks == "all":
                loops = _bare(bench, topic, task)
                yield from ((what, answer | {"bare": True}) for what, answer in loops.items())


def _bare(bench: Bench, topic: str, task: dict[str, Any]) -> dict[str, Any]:
    """The same rows with no client and no broker in the way."""
    worker, path = bench.workers["bare"], str(bench.context.directory / "bare")
    packed = task["codec"] is not None
    source = worker.ask("decompress", **task) if packed else _source(bench, topic, task["rows"])
    found = {"consume": source}
    for label, acks in APPENDS.items():
        with running("durable" if acks == "all" else "sink", path, "1000000") as address:
            found[label] = worker.ask("append", address=address, **task)
    return found


def _source(bench: Bench, topic: str, rows: int) -> dict[str, Any]:
    """The topic's bytes out of its files."""
    log = bench.context.directory / "client" / "topics"
    segments = sorted(log.glob(f"{topic}-*/*.log"), key=lambda found: found.stat().st_size)
    whole = sum(found.stat().st_size for found in segments)
    size = segments[-1].stat().st_size
    with running("source", str(segments[-1])) as address:
        answer = bench.workers["bare"].ask("consume", address=address, bytes=size)
    return dict(answer | {"rows": answer["rows"] * rows / whole})


def _row(what: str, found: dict[str, list[Any]]) -> PeerRow:
    rates = {
        name: [each.get("counted", each["rows"]) / each["seconds"] for each in runs]
        for name, runs in found.items()
    }
    bare = [
        bare / theirs
        for bare, theirs in zip(rates.get("bare", []), rates["confluent-kafka"], strict=False)
    ]
    pairs = zip(rates["mainstem"], rates["confluent-kafka"], strict=True)
    ratio = median([ours / theirs for ours, theirs in pairs])
    peaks = {name: max(each["peak"] for each in runs) for name, runs in found.items()}
    return PeerRow(
        what,
        "records/s",
        median(rates["mainstem"]),
        {name: median(rates[name]) for name in PEERS if name in rates},
        ratio,
        f">= {BAR} x confluent-kafka",
        ratio >= BAR,
        peaks.pop("mainstem"),
        peaks,
        median(rates["bare"]) if bare else None,
        median(bare) if bare else None,
    )


def _round_trip(bench: Bench) -> list[PeerRow]:
    times: dict[str, list[Any]] = {"mainstem": [], "aiokafka": []}
    for turn in range(bench.context.pick(5, 3)):
        bench.context.progress(f"client: one record, round {turn}")
        for name, runs in times.items():
            with bench.topic(1) as topic:
                count = bench.context.pick(1000, 400)
                runs.append(bench.workers[name].ask("round_trip", topic=topic, rows=count))
    rows = []
    for index, what in enumerate(("one record, acknowledged", "one record, there and back")):
        for share, word in ((0.5, "p50"), (0.99, "p99")):
            figures = {
                name: [percentile([time[index] * 1e3 for time in run], share) for run in runs[1:]]
                for name, runs in times.items()
            }
            pairs = zip(figures["mainstem"], figures["aiokafka"], strict=True)
            ratio = median([theirs / ours for ours, theirs in pairs])
            gated = index == 1 and word == "p50"
            rows.append(
                PeerRow(
                    f"{what}, {word}",
                    "ms",
                    median(figures["mainstem"]),
                    {"aiokafka": median(figures["aiokafka"])},
                    ratio,
                    "no slower than aiokafka" if gated else "",
                    ratio >= 1 if gated else None,
                )
            )
    return rows


def table(rows: list[PeerRow]) -> Table:
    """For people. ``x`` and ``x bare``: how many times confluent-kafka's (aiokafka's) we and the
    bare loop are; peak memory is in MB, ours and confluent-kafka's."""
    shown = Table(title="The client beside its peers (x: how many times better we are)")
    shown.add_column("what")
    for column in ("unit", "Mainstem", *PEERS, "x", "bare", "x bare", "peak MB", "confluent's"):
        shown.add_column(column, justify="right")
    shown.add_column("bar")
    shown.add_column("")
    for row in rows:
        theirs = [row.peers.get(name) for name in PEERS]
        peaks = [row.peak, row.peaks.get(PEERS[0])]
        bare = [row.bare, row.bare_ratio]
        numbers = [_number(each) for each in (row.mainstem, *theirs, row.ratio, *bare, *peaks)]
        mark = {True: "[green]pass[/]", False: "[red]miss[/]", None: ""}[row.passes]
        shown.add_row(row.what, row.unit, *numbers, row.bar or "information", mark)
    return shown


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
