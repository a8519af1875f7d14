"""From sending a record to holding it: produce (acks=1) to a waiting fetch.  INFORMATION.

A fetch waits on one connection (long poll), a record of 100 B is sent on another; the time is from
the send until the whole fetch answer is here. One record at a time, no other load.

Peer: Apache Kafka with its defaults.

Traps: the generator is one thread that sleeps in recv; its own wake-up is in every figure.
"""

from __future__ import annotations

import time

from benchmarks import wire
from benchmarks.rows import Context, Row, percentile
from benchmarks.targets import Target


def once(target: Target, count: int) -> list[float]:
    """Return the milliseconds from produce to consume of ``count`` records."""
    times = []
    with target.topic() as (producer, topic):
        consumer = wire.Connection(target.address)
        request = wire.produce(topic, wire.batch(1, 100), acks=1)
        reply = wire.ProduceReply(topic)
        head = wire.fetch_head_size(topic)
        for offset in range(count):
            consumer.socket.sendall(wire.fetch(topic, offset, 1 << 20, max_wait=30_000))
            begin = time.perf_counter()
            producer.socket.sendall(request)
            found = consumer.answer()
            times.append((time.perf_counter() - begin) * 1e3)
            assert int.from_bytes(found[head : head + 8]) == offset, f"{target.name} at {offset}"
            assert reply.error(producer.answer()) == 0
        consumer.close()
    return times


def run(context: Context) -> list[Row]:
    found: dict[str, list[float]] = {each.name: [] for each in context.targets}
    for turn in range(context.pick(4, 2)):
        context.progress(f"latency: round {turn + 1}")
        for target in context.targets:
            times = once(target, context.pick(2000, 1000))
            if turn:  # the first warms up
                found[target.name] += times
    return [
        Row(
            f"produce to consume, {word}",
            "ms",
            percentile(found["mainstem"], share),
            percentile(found["kafka"], share),
            lower_is_better=True,
        )
        for share, word in ((0.5, "p50"), (0.99, "p99"))
    ]
