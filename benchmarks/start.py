"""From starting the process to the first acknowledged record; then memory when idle.
GATE: <= 0.5 s and <= 80 MB (resident, summed over all processes).

An empty data directory; the clock starts before the process does. The client is a raw socket that
creates a topic and produces one record. Both kinds of memory are shown: resident counts pages
that processes share once for each, proportional (PSS) counts them once.

Peer: Apache Kafka in KRaft mode with its default heap flags, its storage already formatted (which
takes it another second that is not counted).

Traps: the first start on a machine reads the program from disk; the median of several does not.
"""

from __future__ import annotations

import time
from pathlib import Path

from interop.cluster import start_mainstem
from interop.kafka import format_kafka, spawn_kafka

from benchmarks import wire
from benchmarks.rows import Context, Row, median
from benchmarks.targets import memory


def first_record(address: str) -> None:
    """Create a topic and produce one record, trying until the broker accepts both."""
    connection = _connected(address)
    while (code := wire.create_topic(connection, "first", {})) not in (0, 36):
        assert code in (5, 7, 41), f"creating a topic: {code}"  # not ready yet: a retriable code
        time.sleep(0.002)
    request = wire.produce("first", wire.batch(1, 100), acks=1)
    while (code := wire.ProduceReply("first").error(connection.ask(request))) != 0:
        assert code in (3, 5, 6), f"producing: {code}"
        time.sleep(0.002)
    connection.close()


def _connected(address: str) -> wire.Connection:
    deadline = time.monotonic() + 60
    while True:
        try:
            return wire.Connection(address)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)


def mainstem(directory: Path) -> tuple[float, float, float]:
    """Return (seconds to the first record, resident, proportional megabytes)."""
    begin = time.perf_counter()
    running = start_mainstem(directory)
    first_record(running.address)
    seconds = time.perf_counter() - begin
    used = memory(running.process.pid)
    code, errors = running.stop()
    assert (code, errors) == (0, ""), (code, errors)
    return seconds, *used


def kafka(directory: Path) -> tuple[float, float, float]:
    """Return the same of Apache Kafka."""
    address = format_kafka(directory)
    begin = time.perf_counter()
    running = spawn_kafka(directory, address)
    first_record(address)
    seconds = time.perf_counter() - begin
    used = memory(running.process.pid)
    running.stop()
    return seconds, *used


def run(context: Context) -> list[Row]:
    ours, theirs = [], []
    for turn in range(context.pick(7, 3)):
        context.progress(f"start: mainstem {turn + 1}")
        ours.append(mainstem(context.directory / f"start-{turn}"))
    for turn in range(context.pick(3, 1)):
        context.progress(f"start: kafka {turn + 1}")
        theirs.append(kafka(context.directory / f"start-kafka-{turn}"))
    seconds, resident, proportional = (median(each) for each in zip(*ours, strict=True))
    peers = [median(each) for each in zip(*theirs, strict=True)]
    start = Row("start to first accepted produce", "s", seconds, peers[0], lower_is_better=True)
    start.bar, start.passes = "<= 0.5 s", seconds <= 0.5
    start.note = f"slowest {max(each[0] for each in ours):.2f} s"
    idle = Row("idle memory, resident", "MB", resident, peers[1], lower_is_better=True)
    idle.bar, idle.passes = "<= 80 MB", resident <= 80
    idle.note = "summed over all processes"
    shared = Row("idle memory, proportional", "MB", proportional, peers[2], lower_is_better=True)
    return [start, idle, shared]
