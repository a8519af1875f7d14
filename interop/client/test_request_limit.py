"""A record beyond ``socket.request.max.bytes`` of a real Apache Kafka: said at once, and why.

Kafka hangs up at it without a word, so it was sent again for ``retry_for`` seconds.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from interop.kafka import start_kafka

import mainstem as ms
from mainstem.client.hang_ups import HangUps

LIMIT = 3_000_000
SETTINGS = {"socket.request.max.bytes": str(LIMIT), "message.max.bytes": "10000000"}


@pytest.fixture(scope="module")
def stem(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ms.Stem]:
    kafka = start_kafka(tmp_path_factory.mktemp("limited") / "data", SETTINGS)
    try:
        with ms.connect(kafka.address, retry_for=30) as found:
            yield found
    finally:
        kafka.stop()


def test_kafka_tells_its_limit(stem: ms.Stem) -> None:
    topic = stem.create_topic("told", 1)
    with pytest.raises(ms.Invalid, match=rf"more than broker 1 reads at once .*={LIMIT:,}\)") as e:
        topic.append([b"small", b"x" * 4_000_000], batch_bytes=1024)
    assert e.value.code == 10
    assert "row 1 failed; " in str(e.value)
    assert topic.append([b"x" * 2_900_000]).rows == 1


def test_kafka_hangs_up_twice_where_it_may_not_be_asked(
    stem: ms.Stem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As to a login that may not describe the cluster's settings."""

    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(HangUps, "_ask", nothing)
    topic = stem.create_topic("untold", 1)
    with pytest.raises(ms.Invalid, match="made broker 1 hang up twice"):
        topic.append([b"x" * 4_000_000])
    assert topic.append([b"small"]).rows == 1


def test_batches_that_are_too_much_together_are_welcome_apart(stem: ms.Stem) -> None:
    topic = stem.create_topic("together", 24)
    rows = [{"value": b"x" * 900_000, "_partition": n} for n in range(24)]
    assert topic.append(rows).rows == 24
    assert sum(batch.num_rows for batch in topic.read()) == 24
