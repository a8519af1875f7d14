"""Produce with acks=all, on disk before the answer.  INFORMATION.

Ours: the default, `flush=group` (one fdatasync for all that arrived while the last one ran). Three
loads: one record at a time on one connection (the latency of a durable write), 32 connections with
one record each in flight (what grouping is for), and 1 MB requests, four in flight.

Peer: Apache Kafka on topics with flush.messages=1, so that it too answers from disk. That is not
how Kafka is usually run: it leans on replicas.

Traps: everything here is the disk's fdatasync; on a virtual disk it varies from minute to minute,
which is why targets take turns.
"""

from __future__ import annotations

import time

from benchmarks import wire
from benchmarks.produce import load
from benchmarks.rows import Context, Row, median, percentile
from benchmarks.targets import Target

CONNECTIONS = 32


def one_by_one(target: Target, count: int) -> list[float]:
    """Return the milliseconds each of ``count`` durable records took."""
    with target.topic(**_config(target)) as (connection, topic):
        request = wire.produce(topic, wire.batch(1, 100), acks=-1)
        reply = wire.ProduceReply(topic)
        times = []
        for _ in range(count):
            begin = time.perf_counter()
            answer = connection.ask(request)
            times.append((time.perf_counter() - begin) * 1e3)
            assert reply.error(answer) == 0
    return times


def together(target: Target, turns: int) -> float:
    """Return durable records per second over many connections, one in flight each."""
    with target.topic(**_config(target)) as (connection, topic):
        request = wire.produce(topic, wire.batch(1, 100), acks=-1)
        reply = wire.ProduceReply(topic)
        size = len(connection.ask(request))
        connections = [wire.Connection(target.address) for _ in range(CONNECTIONS)]
        for each in connections:
            each.socket.sendall(request)
        begin = time.perf_counter()
        for _ in range(turns):
            for each in connections:
                assert reply.error(each.receive(size)) == 0
                each.socket.sendall(request)
        seconds = time.perf_counter() - begin
        for each in connections:
            each.receive(size)
            each.close()
    return turns * CONNECTIONS / seconds


def large(target: Target, count: int) -> float:
    """Return durable MB/s with 1 MB requests."""
    records = wire.batch(8800, 100)
    with target.topic(**_config(target)) as (connection, topic):
        request = wire.produce(topic, records, acks=-1)
        reply = wire.ProduceReply(topic)
        size = len(connection.ask(request))
        begin = time.perf_counter()
        answers = load(connection, request, count, size)
        seconds = time.perf_counter() - begin
        assert not any(reply.error(each) for each in answers)
    return count * len(records) / 1e6 / seconds


def _config(target: Target) -> dict[str, str]:
    return {"flush.messages": "1"} if target.name == "kafka" else {}


def run(context: Context) -> list[Row]:
    times: dict[str, list[float]] = {each.name: [] for each in context.targets}
    rates: dict[str, list[float]] = {each.name: [] for each in context.targets}
    bulk: dict[str, list[float]] = {each.name: [] for each in context.targets}
    for turn in range(context.pick(4, 2)):
        context.progress(f"durable: round {turn + 1}")
        for target in context.targets:
            found = one_by_one(target, context.pick(1000, 300))
            together_rate = together(target, context.pick(100, 40))
            bulk_rate = large(target, context.pick(100, 40))
            if turn:  # the first warms up
                times[target.name] += found
                rates[target.name].append(together_rate)
                bulk[target.name].append(bulk_rate)
    rows = []
    for share, word in ((0.5, "p50"), (0.99, "p99")):
        ours, theirs = (percentile(times[name], share) for name in ("mainstem", "kafka"))
        what = f"acks=all on disk, one record, {word}"
        rows.append(Row(what, "ms", ours, theirs, lower_is_better=True))
    ours, theirs = median(rates["mainstem"]), median(rates["kafka"])
    rows.append(Row(f"acks=all on disk, {CONNECTIONS} connections", "1/s", ours, theirs))
    ours, theirs = median(bulk["mainstem"]), median(bulk["kafka"])
    rows.append(Row("acks=all on disk, 1 MB requests", "MB/s", ours, theirs))
    return rows
