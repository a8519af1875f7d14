"""Mainstem's own client: the same tests, so that it works wherever the others do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import pyarrow as pa

import mainstem as ms
from interop.clients import TIMEOUT, Client, Member, Refused
from interop.corpus import Placed, Record

HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
T = TypeVar("T")


def _refusing(work: Callable[[], T]) -> T:
    try:
        return work()
    except ms.MainstemError as error:
        raise Refused(-1 if error.code is None else error.code, str(error)) from error


def _placed(batch: Any) -> list[Placed]:
    return [
        Placed(
            Record(
                row["_key"],
                row["value"],
                tuple((header["key"], header["value"]) for header in row["_headers"]),
                int(row["_timestamp"].timestamp() * 1000),
            ),
            row["_partition"],
            row["_offset"],
        )
        for row in batch.to_pylist()
    ]


class GroupMember(Member):
    def __init__(self, consumer: ms.Consumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic

    def poll(self) -> list[Placed]:
        batch = _refusing(lambda: self._consumer.poll(0.1))
        return [] if batch is None else _placed(batch)

    def assignment(self) -> set[int]:
        return {partition for _, partition in self._consumer.assignment}

    def commit(self, offsets: Mapping[int, int] | None = None) -> None:
        wanted = None if offsets is None else {(self._topic, p): o for p, o in offsets.items()}
        _refusing(lambda: self._consumer.commit(wanted))

    def _close(self) -> None:
        self._consumer.close()


class Adapter(Client):
    name = "mainstem"
    strategies = ("range", "roundrobin", "sticky", "cooperative-sticky")

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._stem = ms.connect(address)

    def close(self) -> None:
        self._stem.close()

    def produce(
        self,
        topic: str,
        records: Iterable[Record],
        *,
        partition: int | None = 0,
        codec: str = "none",
        idempotent: bool = False,
    ) -> list[tuple[int, int]]:
        places = []
        target = self._stem.topic(topic)
        for record in records:  # one by one: the places are wanted in this order
            row = pa.table(
                {
                    "_key": pa.array([record.key], pa.binary()),
                    "value": pa.array([record.value], pa.binary()),
                    "_headers": pa.array(
                        [[{"key": key, "value": value} for key, value in record.headers]], HEADERS
                    ),
                }
            )
            if record.timestamp is not None:
                row = row.append_column("_timestamp", pa.array([record.timestamp], pa.int64()))
            acks: Any = "all" if idempotent else 1

            def write(row: Any = row, acks: Any = acks) -> ms.Appended:
                return target.append(row, partition=partition, compression=codec, acks=acks)

            ((found, written),) = _refusing(write).partitions.items()
            places.append((found, written.first_offset))
        return places

    def read(self, topic: str, count: int, *, partition: int = 0, start: int = 0) -> list[Placed]:
        found: list[Placed] = []
        options: Any = {"partitions": [partition], "follow": True, "batch_rows": count}

        def all_of_them() -> None:
            with self._stem.topic(topic).read(start, **options) as batches:
                for batch in batches:
                    found.extend(_placed(batch))
                    if len(found) >= count:
                        return

        _refusing(all_of_them)
        return found[:count]

    def offset_at(self, topic: str, partition: int, timestamp: int) -> int | None:
        moment = datetime.fromtimestamp(timestamp / 1000, UTC)
        with self._stem.topic(topic).read({partition: moment}, partitions=[partition]) as found:
            for batch in found:
                return int(batch["_offset"][0].as_py())
        return None

    def _join(self, group: str, topic: str, options: Mapping[str, str]) -> Member:
        reset = options.get("reset", "earliest")
        modern: Any = options.get("protocol")
        consumer = self._stem.consumer(
            group,
            topic,
            start=None if reset == "none" else reset,
            auto_commit=None,
            protocol=modern,
            assignor=None if modern else options.get("strategy", "range"),
            instance_id=options.get("instance"),
            heartbeat_interval=0.5,
            session_timeout=min(45.0, TIMEOUT),
        )
        return GroupMember(consumer, topic)
