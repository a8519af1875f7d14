"""One client in a process of its own, so that its memory is its own: ``NAME ADDRESS``.

Reads one JSON task a line, answers one JSON line: rows, seconds, peak megabytes. Rows are made
outside the time that is taken, and reading counts from the first records on: what a client needs
to get there is another matter (librdkafka may take a second). Peers are used as their guides say,
with the same acks and codec: bytes in, bytes out; JSON through msgspec, the fastest for rows.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import msgspec

Task = dict[str, Any]
BATCH_BYTES = 1_000_000
PEERS_ROWS = 800_000  # of the fastest of them; further ones of ours are these again
ZSTD = 4  # Kafka's number for it
IN_FLIGHT = 5  # requests, of an idempotent producer, to a partition


def padded_rows(count: int, size: int) -> list[dict[str, Any]]:
    """Rows that make about ``size`` bytes of JSON each."""
    note = ("departure delayed by weather at origin; " * (size // 40 + 1))[: size - 52]
    return [
        {"flight": i, "tail": f"N{i * 7919 % 100_000}", "delay": i % 97, "note": note}
        for i in range(count)
    ]


def memory(what: str) -> float:
    """Megabytes: ``VmRSS`` is now, ``VmHWM`` the most since it was reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    return 0.0


def timed(work: Callable[[], int]) -> Task:
    """Rows, seconds and peak memory of one piece of work, on top of what was held before it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here: proc(5)
    before = memory("VmRSS")
    begin = time.perf_counter()
    rows = work()
    return {"rows": rows, "seconds": time.perf_counter() - begin, "peak": memory("VmHWM") - before}


class Clock:
    """Counts rows and the time they take, from behind the first ones on, or from ``start``."""

    def __init__(self) -> None:
        self.total = self.first = 0
        self.begin = 0.0

    def start(self) -> None:
        self.begin = time.perf_counter()

    def add(self, rows: int) -> None:
        self.total += rows
        if not self.begin and rows:
            self.first, self.begin = rows, time.perf_counter()

    def settle(self, answer: Task) -> Task:
        """An answer of ``timed`` that ended just now."""
        answer |= {"seconds": time.perf_counter() - self.begin, "counted": self.total - self.first}
        return answer


class Mainstem:
    """Arrow in, Arrow out."""

    def __init__(self, address: str) -> None:
        import mainstem as ms

        self.ms, self.address = ms, address
        self.stem = ms.connect(address)

    def _format(self, task: Task, schema: Any = None) -> Any:
        return self.ms.Json(schema) if task["json"] else self.ms.Raw()

    def _schema(self) -> Any:
        import pyarrow as pa

        whole = [("flight", pa.int64()), ("tail", pa.string()), ("delay", pa.int64())]
        return pa.schema([*whole, ("note", pa.string())])

    def append(self, task: Task) -> Task:
        table = _table(task["rows"], task["size"], task["json"])
        topic = self.stem.topic(task["topic"])
        options = {"compression": task["codec"], "format": self._format(task)}
        options["compression_level"] = task["level"]
        return timed(lambda: topic.append(table, acks=task["acks"], **options).rows)

    def consume(self, task: Task) -> Task:
        topic = self.stem.topic(task["topic"])
        how, clock = self._format(task, self._schema()), Clock()

        def work() -> int:
            for batch in topic.read(format=how):
                clock.add(batch.num_rows)
            return clock.total

        return clock.settle(timed(work))

    def round_trip(self, task: Task) -> list[float]:
        async def run() -> list[float]:
            async with await self.ms.aconnect(self.address) as stem:
                topic = await stem.topic(task["topic"])
                batches = topic.read(follow=True)  # of a fresh topic, so from its first record
                await topic.append([b"first"])
                await anext(batches)
                times = []
                for _ in range(task["rows"]):
                    begin = time.perf_counter()
                    await topic.append([b"x" * 100])
                    acknowledged = time.perf_counter()
                    await anext(batches)
                    times.append((acknowledged - begin, time.perf_counter() - begin))
                await batches.aclose()
                return times

        return asyncio.run(run())


class Confluent:
    """librdkafka."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.settings = {"bootstrap.servers": address}

    def append(self, task: Task) -> Task:
        from confluent_kafka import Producer

        settings = {"compression.type": task["codec"] or "none", "linger.ms": 5}
        if task["level"]:
            settings["compression.level"] = task["level"]
        # As many as fit: otherwise produce() raises BufferError, and waiting for it is slower.
        limits = {"queue.buffering.max.messages": 2_000_000, "batch.size": BATCH_BYTES}
        memory = {"queue.buffering.max.kbytes": 1_000_000}
        safety = {"acks": task["acks"], "enable.idempotence": task["acks"] == "all"}
        producer = Producer(self.settings | settings | limits | memory | safety)
        producer.list_topics(task["topic"], timeout=10)
        rows = _rows(task)

        def work() -> int:
            topic, produce = task["topic"], producer.produce
            if task["json"]:
                for row in rows:
                    produce(topic, msgspec.json.encode(row))
            else:
                for row in rows:
                    produce(topic, row)
            left = producer.flush(60)
            return len(rows) - left

        return timed(work)

    def consume(self, task: Task) -> Task:
        from confluent_kafka import Consumer, TopicPartition

        # Its queue of 100,000 records or 64 MB would fill up and then be left alone for a second.
        settings = {"group.id": "bench", "enable.auto.commit": False, "queued.min.messages": 10**7}
        settings["queued.max.messages.kbytes"] = 2_000_000
        consumer = Consumer(self.settings | settings | {"auto.offset.reset": "earliest"})
        consumer.list_topics(task["topic"], timeout=10)
        wanted, clock = task["rows"], Clock()

        def work() -> int:
            parts = range(task["partitions"])
            consumer.assign([TopicPartition(task["topic"], index, 0) for index in parts])
            decode = msgspec.json.decode
            while clock.total < wanted:
                # Never more than are left, or it waits out its time at the end.
                most = min(10_000, wanted - clock.total) if clock.first else 1
                found = consumer.consume(most, timeout=1)
                clock.add(len(found))
                if task["json"]:
                    for message in found:
                        decode(message.value())
            return clock.total

        try:
            return clock.settle(timed(work))
        finally:
            consumer.close()

    def round_trip(self, task: Task) -> list[float]:
        raise NotImplementedError


class AioKafka:
    """asyncio, pure Python with compiled records."""

    def __init__(self, address: str) -> None:
        self.address = address

    def _run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run(work())

    def append(self, task: Task) -> Task:
        from aiokafka import AIOKafkaProducer

        rows, encode = _rows(task), msgspec.json.encode

        async def run() -> int:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.address,
                acks=task["acks"],
                enable_idempotence=task["acks"] == "all",
                compression_type=task["codec"],
                max_batch_size=BATCH_BYTES,
                linger_ms=5,
            )
            await producer.start()
            for row in rows:
                sent = await producer.send(task["topic"], encode(row) if task["json"] else row)
            await producer.flush()
            await sent
            await producer.stop()
            return len(rows)

        return timed(lambda: self._run(run))

    def consume(self, task: Task) -> Task:
        from aiokafka import AIOKafkaConsumer, TopicPartition

        clock = Clock()

        async def run() -> int:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.address, max_partition_fetch_bytes=4 << 20
            )
            await consumer.start()
            parts = [TopicPartition(task["topic"], index) for index in range(task["partitions"])]
            consumer.assign(parts)
            await consumer.seek_to_beginning()
            clock.start()  # its first answer may hold all there is
            while clock.total < task["rows"]:
                for found in (await consumer.getmany(timeout_ms=1000)).values():
                    clock.add(len(found))
                    if task["json"]:
                        for message in found:
                            msgspec.json.decode(message.value)
            end = time.perf_counter() - clock.begin
            await consumer.stop()
            clock.begin = time.perf_counter() - end  # closing does not count
            return clock.total

        return clock.settle(timed(lambda: self._run(run)))

    def round_trip(self, task: Task) -> list[float]:
        from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

        async def run() -> list[float]:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.address, acks="all", enable_idempotence=True
            )
            consumer = AIOKafkaConsumer(bootstrap_servers=self.address)
            await producer.start()
            await consumer.start()
            consumer.assign([TopicPartition(task["topic"], 0)])
            await consumer.seek_to_end()
            await producer.send_and_wait(task["topic"], b"first")
            await consumer.getone()
            times = []
            for _ in range(task["rows"]):
                begin = time.perf_counter()
                await producer.send_and_wait(task["topic"], b"x" * 100)
                acknowledged = time.perf_counter()
                await consumer.getone()
                times.append((acknowledged - begin, time.perf_counter() - begin))
            await consumer.stop()
            await producer.stop()
            return times

        return self._run(run)


class KafkaPython:
    """Plain Python."""

    def __init__(self, address: str) -> None:
        self.address = address

    def append(self, task: Task) -> Task:
        from kafka import KafkaProducer

        producer = KafkaProducer(
            bootstrap_servers=self.address,
            acks=task["acks"],
            compression_type=task["codec"],
            batch_size=BATCH_BYTES,
            linger_ms=5,
        )
        rows, encode = _rows(task), msgspec.json.encode

        def work() -> int:
            for row in rows:
                producer.send(task["topic"], encode(row) if task["json"] else row)
            producer.flush()
            return len(rows)

        try:
            return timed(work)
        finally:
            producer.close()

    def consume(self, task: Task) -> Task:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(bootstrap_servers=self.address, max_partition_fetch_bytes=4 << 20)
        parts = [TopicPartition(task["topic"], index) for index in range(task["partitions"])]

        clock = Clock()

        def work() -> int:
            consumer.assign(parts)
            consumer.seek_to_beginning()
            clock.start()
            while clock.total < task["rows"]:
                for found in consumer.poll(1000, max_records=10_000).values():
                    clock.add(len(found))
                    if task["json"]:
                        for message in found:
                            msgspec.json.decode(message.value)
            return clock.total

        try:
            return clock.settle(timed(work))
        finally:
            consumer.close()

    def round_trip(self, task: Task) -> list[float]:
        raise NotImplementedError


class Bare:
    """No client at all: the same bytes over a socket, to or from a file. Asked with addresses."""

    def __init__(self, address: str) -> None:
        del address

    def append(self, task: Task) -> Task:
        """The rows, encoded on every core; as much in flight as an idempotent producer may have.

        What is there is answered a ``BATCH_BYTES`` at a time.
        """
        sent = answered = 0
        batches = _encoded(task, _table(task["rows"], task["size"], task["json"]))

        def work() -> int:
            nonlocal sent, answered
            with _dial(task["address"]) as server:
                for batch in batches:
                    while sent + len(batch) - answered > IN_FLIGHT * BATCH_BYTES:
                        answered += len(server.recv(8 * IN_FLIGHT)) // 8 * BATCH_BYTES
                    server.sendall(batch)
                    sent += len(batch)
                while answered + BATCH_BYTES <= sent:
                    answered += len(server.recv(8 * IN_FLIGHT)) // 8 * BATCH_BYTES
            return int(task["rows"])

        return timed(work)

    def consume(self, task: Task) -> Task:
        """4 MB at a time, each asked for once the one before is there."""
        buffer = memoryview(bytearray((4 << 20) + 4))

        def work() -> int:
            with _dial(task["address"]) as server:
                for offset in range(0, task["bytes"], 4 << 20):
                    size = min(4 << 20, task["bytes"] - offset)
                    server.sendall(struct.pack(">qi", offset, size))
                    filled = 0
                    while filled < size + 4:
                        filled += server.recv_into(buffer[filled : size + 4])
            return int(task["bytes"])

        return timed(work)

    def decompress(self, task: Task) -> Task:
        """zstd alone, on every core: batches of the same rows."""
        from mainstem.wire.compression import decompress

        rows = min(task["rows"], 100_000_000 // task["size"])
        table = _table(task["rows"], task["size"], task["json"]).slice(0, rows)
        packed = [memoryview(batch)[61:] for batch in _encoded(task, table)]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return timed(lambda: rows * all(pool.map(partial(decompress, ZSTD), packed)))


def _encoded(task: Task, table: Any) -> Iterator[Any]:
    """Record batches of a task's rows, encoded ahead in a thread a core."""
    import mainstem as ms
    from mainstem.client.columns import record_columns
    from mainstem.wire import Squeeze, encode_batches

    how = ms.Json() if task["json"] else ms.Raw()
    options: Task = {"batch_bytes": BATCH_BYTES, "now_ms": 0, "squeeze": Squeeze()}
    options |= {"codec": ZSTD if task["codec"] else 0, "level": task["level"]}
    step = (8 if task["codec"] else 1) * BATCH_BYTES // (task["size"] + 12)

    def encode(start: int) -> list[Any]:
        (rows,) = table.slice(start, step).to_batches()
        values = record_columns(rows, how, key=None, timestamp=None, partition=None).value
        return list(encode_batches(values, **options))

    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as pool:
        ahead: deque[Future[list[Any]]] = deque()
        for start in range(0, len(table), step):
            ahead.append(pool.submit(encode, start))
            if len(ahead) > cores:
                yield from ahead.popleft().result()
        for found in ahead:
            yield from found.result()


def _dial(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    server = socket.create_connection((host, int(port)))
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


@lru_cache(maxsize=1)
def _table(count: int, size: int, as_json: bool) -> Any:
    """``padded_rows`` in columns, or as JSON in one; after ``PEERS_ROWS`` from the first one on."""
    import pyarrow as pa

    few = padded_rows(min(count, PEERS_ROWS), size)
    if as_json:
        table = pa.Table.from_pylist(few)
    else:
        table = pa.table({"value": pa.array(map(msgspec.json.encode, few), pa.binary())})
    return pa.concat_tables([table] * -(-count // len(table))).slice(0, count).combine_chunks()


def _rows(task: Task) -> list[Any]:
    return _rows_of(task["rows"], task["size"], task["json"])


@lru_cache(maxsize=1)
def _rows_of(count: int, size: int, as_json: bool) -> list[Any]:
    rows = padded_rows(count, size)
    return rows if as_json else [msgspec.json.encode(row) for row in rows]


CLIENTS = {
    "bare": Bare,
    "mainstem": Mainstem,
    "confluent-kafka": Confluent,
    "aiokafka": AioKafka,
    "kafka-python": KafkaPython,
}


def main() -> None:
    client: Any = CLIENTS[sys.argv[1]](sys.argv[2])
    print(json.dumps({"ready": memory("VmRSS")}), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        print(json.dumps(getattr(client, task["do"])(task)), flush=True)


if __name__ == "__main__":
    main()
