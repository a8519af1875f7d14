"""One client in a process of its own, so that its memory is its own: ``NAME ADDRESS``.

Reads one JSON task a line, answers one JSON line: rows, seconds, peak megabytes. Rows are made
outside the time that is taken. Peers are used as their guides say, with the same acks and codec:
bytes in, bytes out; JSON through msgspec, the fastest there is for rows.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

Task = dict[str, Any]
BATCH_BYTES = 1_000_000


def padded_rows(count: int, size: int) -> list[dict[str, Any]]:
    """Rows that make about ``size`` bytes of JSON each."""
    pad = "departure delayed by weather at origin; " * (size // 40 + 1)
    return [
        {"flight": i, "tail": f"N{i * 7919 % 100_000}", "delay": i % 97, "note": pad[: size - 52]}
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
        import pyarrow as pa

        few = padded_rows(10_000, task["size"])
        table = pa.Table.from_pylist(few)
        if not task["json"]:
            table = pa.table({"value": pa.array(map(msgspec.json.encode, few), pa.binary())})
        table = pa.concat_tables([table] * (task["rows"] // 10_000)).combine_chunks()
        topic = self.stem.topic(task["topic"])
        options = {"compression": task["codec"], "format": self._format(task)}
        if task["partitions"] > 1:  # as the peers: rows without a key in turn, in large runs
            step = len(table) // task["partitions"] + 1
            ids = pa.array([i // step for i in range(len(table))], pa.int32())
            table = table.append_column("_partition", ids)
        return timed(lambda: topic.append(table, **options).rows)

    def consume(self, task: Task) -> Task:
        topic = self.stem.topic(task["topic"])
        how = self._format(task, self._schema())
        return timed(lambda: sum(batch.num_rows for batch in topic.read(format=how)))

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
        # As many as fit: otherwise produce() raises BufferError, and waiting for it is slower.
        limits = {"queue.buffering.max.messages": 2_000_000, "batch.size": BATCH_BYTES}
        memory = {"queue.buffering.max.kbytes": 1_000_000, "enable.idempotence": True}
        producer = Producer(self.settings | settings | limits | memory)
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

        settings = {"group.id": "bench", "enable.auto.commit": False}
        consumer = Consumer(self.settings | settings | {"auto.offset.reset": "earliest"})
        consumer.list_topics(task["topic"], timeout=10)
        wanted = task["rows"]

        def work() -> int:
            parts = range(task["partitions"])
            consumer.assign([TopicPartition(task["topic"], index, 0) for index in parts])
            count, decode = 0, msgspec.json.decode
            while count < wanted:
                found = consumer.consume(10_000, timeout=1)
                count += len(found)
                if task["json"]:
                    for message in found:
                        decode(message.value())
            return count

        try:
            return timed(work)
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
                enable_idempotence=True,
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

        async def run() -> int:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.address, max_partition_fetch_bytes=4 << 20
            )
            await consumer.start()
            parts = [TopicPartition(task["topic"], index) for index in range(task["partitions"])]
            consumer.assign(parts)
            await consumer.seek_to_beginning()
            count = 0
            while count < task["rows"]:
                for found in (await consumer.getmany(timeout_ms=1000)).values():
                    count += len(found)
                    if task["json"]:
                        for message in found:
                            msgspec.json.decode(message.value)
            await consumer.stop()
            return count

        return timed(lambda: self._run(run))

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
            acks="all",
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

        def work() -> int:
            consumer.assign(parts)
            consumer.seek_to_beginning()
            count = 0
            while count < task["rows"]:
                for found in consumer.poll(1000, max_records=10_000).values():
                    count += len(found)
                    if task["json"]:
                        for message in found:
                            msgspec.json.decode(message.value)
            return count

        try:
            return timed(work)
        finally:
            consumer.close()

    def round_trip(self, task: Task) -> list[float]:
        raise NotImplementedError


def _rows(task: Task) -> list[Any]:
    rows = padded_rows(task["rows"], task["size"])
    return rows if task["json"] else [msgspec.json.encode(row) for row in rows]


CLIENTS = {
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
