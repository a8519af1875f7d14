"""What one client writes, every other reads, byte for byte, whatever the codec."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interop.clients import CODECS, Administrator, Client
from interop.corpus import large, tricky

NAMES = ["confluent", "aio", "kafka_python", "kcat", "java"]


@pytest.mark.parametrize("client", NAMES, indirect=True)
@pytest.mark.parametrize("codec", CODECS)
def test_everyone_reads_what_one_wrote(
    client: Client,
    codec: str,
    admin: Administrator,
    connect: Callable[[str], Client],
    name: str,
) -> None:
    readers = [connect(each) for each in NAMES]
    records = [each for each in (*tricky(), large(seed=3)) if client.can_write(each)]
    # Partition 0 holds what all can show, partition 1 what some cannot.
    parts = [
        [each for each in records if all(reader.can_read(each) for reader in readers)],
        [each for each in records if not all(reader.can_read(each) for reader in readers)],
    ]
    admin.create_topic(name, 2)
    for partition, part in enumerate(parts):
        client.produce(name, part, codec=codec, partition=partition)
    for reader in readers:
        for partition, part in enumerate(parts):
            if not part or not all(reader.can_read(each) for each in part):
                continue
            found = reader.read(name, len(part), partition=partition)
            assert [each.record.content for each in found] == [each.content for each in part], (
                f"{client.name} wrote with {codec}, {reader.name} read"
            )
