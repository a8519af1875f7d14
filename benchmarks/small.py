"""Small requests: one record of 100 B each on one connection.  GATE: >= 50 k/s per core.

Requests are sent in prebuilt blocks of 250 with two blocks in flight, acks=1; every answer's size
and error code are checked, 250 at a time. "Per core" counts the processor time of the broker's
processes (user and system, from /proc), so the generator's share of the machine does not matter.

Peer: Apache Kafka with its defaults. It answers one request of a connection at a time, by design;
many connections would use more of its threads, and of ours none.

Traps: blocks leave the generator almost no work, as a pipelining client in C would; a client that
waits for each answer measures the round trip instead (see latency).
"""

from __future__ import annotations

import time

from benchmarks import wire
from benchmarks.rows import Context, Row, median
from benchmarks.targets import Target, cpu_seconds

BLOCK, BLOCKS_IN_FLIGHT = 250, 2


def once(target: Target, records: bytes, blocks: int) -> tuple[float, float]:
    """Return (requests per second, broker's processor microseconds per request)."""
    with target.topic() as (connection, topic):
        request = wire.produce(topic, records, acks=1)
        reply = wire.ProduceReply(topic)
        size = len(connection.ask(request))
        block = request * BLOCK
        used, begin = cpu_seconds(target.pid), time.perf_counter()
        for number in range(blocks + BLOCKS_IN_FLIGHT):
            if number < blocks:
                connection.socket.sendall(block)
            if number < BLOCKS_IN_FLIGHT:
                continue
            answers = connection.receive(size * BLOCK)
            for position in (reply.error_position, reply.error_position + 1):
                assert not any(answers[position::size]), f"{target.name} refused a record"
        seconds, used = time.perf_counter() - begin, cpu_seconds(target.pid) - used
        total = blocks * BLOCK
        assert wire.end_offset(connection, topic) == (0, total + 1)
    return total / seconds, used / total * 1e6


def run(context: Context) -> list[Row]:
    rounds, warm = context.pick(5, 2), context.pick(2, 1)
    blocks = context.pick(400, 160)
    records = wire.batch(1, 100)
    found: dict[str, list[tuple[float, float]]] = {each.name: [] for each in context.targets}
    for turn in range(warm + rounds):
        context.progress(f"small: round {turn + 1} of {warm + rounds}")
        for target in context.targets:
            found[target.name].append(once(target, records, blocks))
    rate = {name: median([each[0] for each in runs[warm:]]) for name, runs in found.items()}
    cost = {name: median([each[1] for each in runs[warm:]]) for name, runs in found.items()}
    per_core = {name: 1e6 / each for name, each in cost.items()}
    return [
        Row("small requests, one connection", "1/s", rate["mainstem"], rate["kafka"]),
        Row(
            "small requests, per core of the broker",
            "1/s",
            per_core["mainstem"],
            per_core["kafka"],
            bar=">= 50,000 per core",
            passes=per_core["mainstem"] >= 50_000,
            note=f"{cost['mainstem']:.1f} us each, Kafka {cost['kafka']:.1f} us",
        ),
    ]
