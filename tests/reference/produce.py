"""Record batches and produce requests built in plain Python, for tests of the broker."""

from __future__ import annotations

from mainstem.testing import RawConnection
from mainstem.wire import Message
from reference.record_batch import Record, batch_of, encode

ANY = {"transactional_id": None, "timeout_ms": 10_000}


def batch(*values: bytes | None, **fields: int) -> bytes:
    """One uncompressed batch of keyless records."""
    return encode(batch_of([Record(value) for value in values], **fields))


def produce_message(topic: str, records: bytes | None, *, partition: int = 0, acks: int = -1):
    return Message(
        **ANY,
        acks=acks,
        topic_data=[
            Message(name=topic, partition_data=[Message(index=partition, records=records)])
        ],
    )


def produce(
    connection: RawConnection,
    topic: str,
    records: bytes | None,
    *,
    partition: int = 0,
    acks: int = -1,
    version: int = 9,
) -> Message:
    """Produce to one partition and return its part of the response."""
    message = produce_message(topic, records, partition=partition, acks=acks)
    answer = connection.call(0, version, message)
    return answer.responses[0].partition_responses[0]


def fetch_message(
    topic: str,
    offset: int,
    *,
    partition: int = 0,
    max_wait_ms: int = 0,
    min_bytes: int = 1,
    max_bytes: int = 1 << 20,
    partition_max_bytes: int = 1 << 20,
    leader_epoch: int = -1,
) -> Message:
    return Message(
        replica_id=-1,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=0,
        forgotten_topics_data=[],
        topics=[
            Message(
                topic=topic,
                partitions=[
                    Message(
                        partition=partition,
                        current_leader_epoch=leader_epoch,
                        fetch_offset=offset,
                        partition_max_bytes=partition_max_bytes,
                    )
                ],
            )
        ],
    )


def fetch(
    connection: RawConnection, topic: str, offset: int, *, version: int = 11, **options: int
) -> Message:
    """Fetch one partition and return its part of the response."""
    answer = connection.call(1, version, fetch_message(topic, offset, **options))
    return answer.responses[0].partitions[0]


def create(connection: RawConnection, topic: str, partitions: int = 1, **configs: str) -> None:
    """Create a topic; the configs' underscores are dots."""
    answer = connection.call(
        19,
        5,
        Message(
            topics=[
                Message(
                    name=topic,
                    num_partitions=partitions,
                    replication_factor=1,
                    assignments=[],
                    configs=[
                        Message(name=name.replace("_", "."), value=value)
                        for name, value in configs.items()
                    ],
                )
            ],
            timeout_ms=10_000,
            validate_only=False,
        ),
    )
    assert answer.topics[0].error_code == 0, answer
