"""Fetch, large answers.  GATE: >= 80 % of `sendfile` of the same bytes over loopback.

One connection asks for the same 400 MB of 1 MB batches, 8 MB at a time, two requests in flight;
it checks error code and first offset of every answer and discards the rest.

Peers: Apache Kafka with its defaults (it uses sendfile too); a bare Python process that answers
the same requests with os.sendfile from the very file that Mainstem serves.

Traps: the same bytes can be twice as slow to read from other pages of memory (it depends on how
the host backs them), so the bare loop serves our segment file, not a copy; Apache Kafka has to
read its own. Everything is in the page cache: this is the cost of finding and sending, not of
disks. The receiver copies every byte, which bounds all three alike. Send buffers decide whether
those bytes are still in the processor's cache; other load on the machine empties them: run alone.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator

from benchmarks import bare, wire
from benchmarks.rows import Context, Row, compared
from benchmarks.targets import Target

RECORDS, SIZE, BATCHES, IN_FLIGHT = 8800, 100, 8, 2
Ask = Callable[[int], bytes]


def drain(connection: wire.Connection, ask: Ask, count: int, head: int, start: int) -> int:
    """Send requests 0..count and discard the answers; return the bytes received.

    The first ``head`` bytes of an answer are looked at: offset and error code must be right.
    """
    buffer = memoryview(bytearray(1 << 20))
    received = 0
    for number in range(count + IN_FLIGHT):
        if number < count:
            connection.socket.sendall(ask(number))
        if number < IN_FLIGHT:
            continue
        first = connection.receive(head + 8) if head else connection.receive(4)
        size = struct.unpack_from(">i", first)[0] - (len(first) - 4)
        if head:
            error, offset = _look(first, head)
            wanted = (start + number - IN_FLIGHT) * BATCHES * RECORDS
            assert (error, offset) == (0, wanted), (error, offset, wanted)
        received += len(first) + size
        while size:
            size -= connection.socket.recv_into(buffer, min(size, len(buffer)))
    return received


def _look(first: bytes, head: int) -> tuple[int, int]:
    """Return (error code, first base offset) from the start of a Fetch v11 answer."""
    error = struct.unpack_from(">h", first, head - 4 - 4 - 4 - 24 - 2)[0]
    return error, struct.unpack_from(">q", first, head)[0]


def run(context: Context) -> list[Row]:
    rounds, warm = context.pick(11, 3), context.pick(2, 1)
    count = context.pick(400, 160) // BATCHES
    records = wire.batch(RECORDS, SIZE)
    rates: dict[str, list[float]] = {}
    stack = [*_prepared(context, records, count * BATCHES)]
    size = BATCHES * len(records)
    ours = f"{stack[0][2]}-0/00000000000000000000.log"
    path = context.directory / "mainstem" / "topics" / ours
    assert path.stat().st_size >= count * size, "our topic must be one segment"
    with bare.running("source", str(path)) as address:
        contenders: list[tuple[str, wire.Connection, Ask, int]] = [
            ("bare", wire.Connection(address), lambda n: struct.pack(">qi", n * size, size), 0)
        ]
        for target, connection, topic, _ in stack:
            requests = [wire.fetch(topic, n * BATCHES * RECORDS, size) for n in range(count)]
            head = wire.fetch_head_size(topic)
            contenders.append((target.name, connection, requests.__getitem__, head))
        for turn in range(warm + rounds):
            context.progress(f"fetch: round {turn + 1} of {warm + rounds}")
            for name, connection, ask, head in contenders[turn % 3 :] + contenders[: turn % 3]:
                begin = time.perf_counter()
                received = sum(drain(connection, ask, count, head, 0) for _ in range(3))
                seconds = time.perf_counter() - begin
                assert received >= 3 * 0.9 * count * size, f"{name} sent only {received}"
                rates.setdefault(name, []).append(received / 1e6 / seconds)
        contenders[0][1].close()
    for *_, finish in stack:
        finish()
    counted = {name: each[warm:] for name, each in rates.items()}
    row = compared("fetch, 8 MB at a time", "MB/s", counted)
    row.bar = ">= 0.80 x sendfile"
    row.passes = (row.ratio_to_bare or 0) >= 0.8
    return [row]


def _prepared(
    context: Context, records: bytes, count: int
) -> Iterator[tuple[Target, wire.Connection, str, Callable[[], None]]]:
    """Fill a topic on every target; yield it with the call that deletes it."""
    for target in context.targets:
        context.progress(f"fetch: filling {target.name}")
        topic = target.topic()
        connection, name = topic.__enter__()
        request = wire.produce(name, records, acks=1)
        for _ in range(count):
            answer = connection.ask(request)
            assert wire.ProduceReply(name).error(answer) == 0
        yield target, connection, name, lambda topic=topic: topic.__exit__(None, None, None)
