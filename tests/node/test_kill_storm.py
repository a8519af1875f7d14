"""Many clients at once, and kill -9 of broker and supervisor at any moment.

What must hold: an idempotent producer that repeats each batch until it is acknowledged finds
every record stored once and in order; what a reader has seen never changes; committed offsets
and log start offsets never go back; topics come and go without a trace.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from node_client import Client, Node, serve

from mainstem.testing.ports import lasting_port
from mainstem.wire import Message, decode_batches
from reference.produce import batch, fetch_message, produce_message

PARTITIONS = 3
#: Not there yet or not any more, being made, closing: ask again.
RETRY = {3, 5, 6, 7, 14, 15, 16, 36, 56}


class Storm:
    """Clients as threads; ``address`` stays the same over all restarts."""

    def __init__(self, address: str, seed: int) -> None:
        self.address = address
        self.seed = seed
        self.stopping = threading.Event()
        self.failures: list[str] = []
        self.written: dict[int, list[bytes]] = {}
        self.seen: dict[int, list[bytes]] = {index: [] for index in range(PARTITIONS)}
        self.commits: dict[str, tuple[int, int]] = {}
        self.trimmed = 0
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[..., None], *arguments: Any) -> None:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                self.failures.append(f"{work.__name__}{arguments}: {error!r}")

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def finish(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)
        assert not self.failures, (f"seed {self.seed}", self.failures)

    def insist(self, ask: Callable[[Client], Any]) -> Any:
        """What ``ask`` gives, however often the broker goes away; ``None`` means again."""
        deadline = time.monotonic() + 60
        client: Client | None = None
        try:
            while True:
                assert time.monotonic() < deadline, "no answer within 60 s"
                with suppress(OSError):
                    client = client or Client(self.address)
                    answer = ask(client)
                    if answer is not None:
                        return answer
                    continue
                if client is not None:
                    client.__exit__()
                client = None
        finally:
            if client is not None:
                client.__exit__()

    # --- the clients ---------------------------------------------------------------------------

    def produce(self, number: int) -> None:
        chance = random.Random(f"{self.seed} {number}")
        partition, acks = number % PARTITIONS, chance.choice([-1, 1])
        request = Message(
            transactional_id=None, transaction_timeout_ms=0, producer_id=-1, producer_epoch=-1
        )
        producer_id = self.insist(lambda client: client.ask(22, 4, request)).producer_id
        written = self.written[number] = []
        while not self.stopping.is_set():
            values = [
                b"%d:%d:" % (number, len(written) + i) + b"x" * chance.randrange(500)
                for i in range(chance.randrange(1, 30))
            ]
            records = batch(
                *values,
                producer_id=producer_id,
                producer_epoch=0,
                base_sequence=len(written),
            )
            message = produce_message("storm", records, partition=partition, acks=acks)

            def send(client: Client, message: Message = message) -> bool | None:
                part = client.ask(0, 9, message).responses[0].partition_responses[0]
                assert part.error_code == 0 or part.error_code in RETRY, part
                return True if part.error_code == 0 else None

            self.insist(send)
            written += values

    def read(self, partition: int) -> None:
        seen = self.seen[partition]

        def look(client: Client) -> bool | None:
            message = fetch_message("storm", len(seen), partition=partition, max_wait_ms=50)
            part = client.ask(1, 11, message).responses[0].partitions[0]
            assert part.error_code == 0 or part.error_code in RETRY, part
            if part.records:
                rows = decode_batches(part.records, from_offset=len(seen)).records
                wanted = list(range(len(seen), len(seen) + rows.num_rows))
                assert rows.column("_offset").to_pylist() == wanted
                seen.extend(rows.column("value").to_pylist())
            return True

        while not self.stopping.is_set():
            self.insist(look)

    def commit(self, group: str) -> None:
        acknowledged = 0
        for offset in range(1, 1 << 30):
            if self.stopping.is_set():
                return
            partition = Message(
                partition_index=0,
                committed_offset=offset,
                committed_leader_epoch=-1,
                committed_metadata=None,
            )
            message = Message(
                group_id=group,
                generation_id_or_member_epoch=-1,
                member_id="",
                group_instance_id=None,
                topics=[Message(name="storm", partitions=[partition])],
            )

            def send(client: Client, message: Message = message) -> bool | None:
                code = client.ask(8, 8, message).topics[0].partitions[0].error_code
                assert code == 0 or code in RETRY, code
                return True if code == 0 else None

            self.commits[group] = (acknowledged, offset)
            self.insist(send)
            acknowledged = offset
            self.commits[group] = (acknowledged, offset)
            found = self.insist(lambda client: committed(client, group))
            assert found == offset, (found, offset)

    def churn(self, name: str) -> None:
        """Make a topic, write to it, delete it, again and again."""
        gone = Message(topics=[Message(name=name, topic_id=None)], timeout_ms=9_000)
        while not self.stopping.is_set():
            self.insist(lambda client: client.create(name) or True)

            def write(client: Client) -> bool:
                message = produce_message(name, batch(b"short-lived" * 50))
                code = client.ask(0, 9, message).responses[0].partition_responses[0].error_code
                assert code == 0 or code in RETRY, code
                return True

            self.insist(write)
            code = self.insist(lambda client: client.ask(20, 6, gone)).responses[0].error_code
            assert code in {0, 3}, code

    def trim(self) -> None:
        """Write, and delete from the front: the start of the log only moves up."""
        chance = random.Random(f"{self.seed} trim")
        while not self.stopping.is_set():
            message = produce_message("trim", batch(*[b"t" * 200] * chance.randrange(1, 20)))

            def send(client: Client, message: Message = message) -> int | None:
                part = client.ask(0, 9, message).responses[0].partition_responses[0]
                assert part.error_code == 0 or part.error_code in RETRY, part
                return part.base_offset if part.error_code == 0 else None

            end = self.insist(send)
            before = chance.randrange(self.trimmed, end + 1)
            place = Message(partition_index=0, offset=before)
            request = Message(topics=[Message(name="trim", partitions=[place])], timeout_ms=9_000)

            def delete(client: Client, request: Message = request) -> int | None:
                part = client.ask(21, 1, request).topics[0].partitions[0]
                assert part.error_code == 0 or part.error_code in RETRY, part
                return part.low_watermark if part.error_code == 0 else None

            self.trimmed = self.insist(delete)
            assert self.trimmed == before


def committed(client: Client, group: str) -> int | None:
    asked = Message(name="storm", partition_indexes=[0])
    group_message = Message(group_id=group, member_id=None, member_epoch=-1, topics=[asked])
    answer = client.ask(9, 7, Message(groups=[group_message], require_stable=False)).groups[0]
    if answer.error_code in RETRY:
        return None
    assert answer.error_code == 0, answer
    return int(answer.topics[0].partitions[0].committed_offset)


def everything(client: Client, partition: int) -> list[bytes]:
    found: list[bytes] = []
    while True:
        message = fetch_message("storm", len(found), partition=partition, max_bytes=1 << 24)
        part = client.ask(1, 11, message).responses[0].partitions[0]
        assert part.error_code == 0, part
        if not part.records:
            return found
        rows = decode_batches(part.records, from_offset=len(found)).records
        found += rows.column("value").to_pylist()


def make_topics(node: Node) -> None:
    wanted = [
        Message(name=name, num_partitions=count, replication_factor=1, assignments=[], configs=[
            Message(name="segment.bytes", value="300000"),
        ])
        for name, count in (("storm", PARTITIONS), ("trim", 1))
    ]  # fmt: skip
    with Client(node.kafka) as client:
        request = Message(topics=wanted, timeout_ms=9_000, validate_only=False)
        assert [topic.error_code for topic in client.ask(19, 5, request).topics] == [0, 0]


def kill_again_and_again(tmp_path: Path, seed: int, *, nodes: int, kills: int) -> Storm:
    """Each node's broker is killed ``kills`` times, then its supervisor."""
    chance = random.Random(seed)
    address, storm = f"127.0.0.1:{lasting_port()}", None
    for turn in range(nodes):
        with serve(tmp_path, kafka=address) as node:
            if storm is None:
                make_topics(node)
                storm = begin(address, seed)
            for _ in range(kills):
                time.sleep(chance.uniform(0.05, 1.0))
                with suppress(ValueError, ProcessLookupError):  # it is just being replaced
                    os.kill(node.broker_pid(), signal.SIGKILL)
            time.sleep(chance.uniform(0.05, 1.0))
            if turn == nodes - 1:
                storm.finish()  # with the broker there
            node.process.kill()
    assert storm is not None
    return storm


def begin(address: str, seed: int) -> Storm:
    storm = Storm(address, seed)
    for number in range(6):
        storm.start(storm.produce, number)
    for partition in range(PARTITIONS):
        storm.start(storm.read, partition)
    for group in ("g-1", "g-2"):
        storm.start(storm.commit, group)
    storm.start(storm.churn, "churn")
    storm.start(storm.trim)
    return storm


def check(storm: Storm, node: Node) -> None:
    where = f"seed {storm.seed}"
    with Client(node.kafka) as client:
        for partition in range(PARTITIONS):
            found = everything(client, partition)
            assert found[: len(storm.seen[partition])] == storm.seen[partition], where
            for number, written in storm.written.items():
                if number % PARTITIONS == partition:
                    own = [value for value in found if value.startswith(b"%d:" % number)]
                    assert own == written, (where, number, len(own), len(written))
                    assert written, where
        for group, (acknowledged, attempted) in storm.commits.items():
            assert acknowledged <= (committed(client, group) or 0) <= attempted, where
            assert acknowledged, where
        asked = Message(partition_index=0, current_leader_epoch=-1, timestamp=-2)
        request = Message(
            replica_id=-1, isolation_level=0, topics=[Message(name="trim", partitions=[asked])]
        )
        found = client.ask(2, 5, request).topics[0].partitions[0]
        assert (found.error_code, found.offset) == (0, storm.trimmed), where
        assert storm.trimmed, where


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12])
def test_a_storm_of_kills_loses_nothing_repeats_nothing_and_never_goes_back(
    tmp_path: Path, seed: int
) -> None:
    storm = kill_again_and_again(tmp_path, seed, nodes=2, kills=3)
    with serve(tmp_path, kafka=storm.address) as node:
        check(storm, node)
        code, said = node.stop()
    assert code == 0
    assert "Traceback" not in said
