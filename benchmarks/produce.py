"""Produce, pre-encoded batches, acks=1.  GATE: >= 80 % of the bare loop, >= 1.5 x Apache Kafka.

Requests of about 1 MB (one batch of 100-byte records), five in flight on one connection; the
generator sends the same prebuilt bytes and patches only the correlation id.

Peers: Apache Kafka with its defaults; a bare Python process that receives the same bytes and
writes them to a file on the same disk.

Traps: writing to memory the kernel has not touched yet is ten times slower than to page cache
that was just freed. So everyone finds the same: before each round as many bytes are written to a
file and freed; a round starts with a new topic and ends with its deletion; targets take turns in
changing order. The first rounds (which also warm the JVM) are not counted. Volumes stay below the
kernel's dirty limits: this measures the broker, not the disk.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from functools import partial

from benchmarks import bare, wire
from benchmarks.rows import Context, Row, compared
from benchmarks.targets import Target

RECORDS, SIZE, IN_FLIGHT = 8800, 100, 5


def load(connection: wire.Connection, request: bytes, count: int, answer_size: int) -> list[bytes]:
    """Send ``request`` ``count`` times with at most IN_FLIGHT unanswered; return the answers."""
    buffer = bytearray(request)
    view = memoryview(buffer)
    answers = []
    for number in range(count):
        struct.pack_into(">i", buffer, 8, number)
        connection.socket.sendall(view)
        if number >= IN_FLIGHT:
            answers.append(connection.receive(answer_size))
    answers += [connection.receive(answer_size) for _ in range(min(IN_FLIGHT, count))]
    return answers


def run(context: Context) -> list[Row]:
    rounds, warm = context.pick(21, 4), context.pick(4, 1)
    count = context.pick(400, 200)
    records = wire.batch(RECORDS, SIZE)
    sample = wire.produce("bench-0000", records, acks=1)
    volume = count * len(records)
    scratch = context.directory / "scratch"
    rates: dict[str, list[float]] = {}
    with bare.running("sink", str(context.directory / "sink"), str(len(sample))) as address:
        contenders: list[tuple[str, Callable[[], float]]] = [
            (each.name, partial(once, each, records, count)) for each in context.targets
        ]
        contenders.append(("bare", partial(bare_once, address, sample, count)))
        for turn in range(warm + rounds):
            context.progress(f"produce: round {turn + 1} of {warm + rounds}")
            for name, contender in contenders[turn % 3 :] + contenders[: turn % 3]:
                bare.prime(scratch, volume)
                rates.setdefault(name, []).append(volume / 1e6 / contender())
    counted = {name: each[warm:] for name, each in rates.items()}
    row = compared("produce, 1 MB requests of 100 B records, acks=1", "MB/s", counted)
    row.bar = ">= 0.80 x bare, >= 1.5 x Kafka"
    row.passes = (row.ratio_to_bare or 0) >= 0.8 and (row.ratio_to_kafka or 0) >= 1.5
    row.note = f"{row.mainstem / len(records) * RECORDS:.1f} M records/s"
    return [row]


def bare_once(address: str, request: bytes, count: int) -> float:
    """Return the seconds the same bytes take to a bare loop."""
    connection = wire.Connection(address)
    begin = time.perf_counter()
    load(connection, request, count, len(bare.REPLY))
    seconds = time.perf_counter() - begin
    connection.socket.shutdown(socket.SHUT_WR)
    connection.socket.recv(1)  # it hangs up when its file is gone
    connection.close()
    return seconds


def once(target: Target, records: bytes, count: int) -> float:
    """Return the seconds one round takes on a new topic; every answer is checked."""
    with target.topic() as (connection, topic):
        request = wire.produce(topic, records, acks=1)
        reply = wire.ProduceReply(topic)
        first = connection.ask(request)
        begin = time.perf_counter()
        answers = load(connection, request, count, len(first))
        seconds = time.perf_counter() - begin
        wrong = {code for each in (first, *answers) if (code := reply.error(each))}
        assert not wrong, f"{target.name} answered produce with {wrong}"
        assert wire.end_offset(connection, topic) == (0, (count + 1) * RECORDS)
    return seconds
