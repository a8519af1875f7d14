"""Restarts, several nodes, publishing twice, a million channels: what survives, what fits."""

from __future__ import annotations

import asyncio
import json
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_desk import DeskPort, desk, write

import mainstem as ms
from mainstem.live import bus, counters
from mainstem.live.channels import epoch_of, parse_channel, partition_of
from mainstem.live.settings import Namespace
from mainstem.live.viewers import WorkerViewers
from mainstem.testing import RunningBroker, running_broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with running_broker(tmp_path_factory.mktemp("log")) as running:
        yield running


def likes(topic: str) -> dict[str, Namespace]:
    return {"likes": Namespace(kind="counter", topic=topic, partitions=2)}


def chat(topic: str) -> dict[str, Namespace]:
    return {"chat": Namespace(kind="events", topic=topic, partitions=1)}


def total(message: bus.Opened) -> int:
    return int(json.loads(message.state or b"")["total"])


def checkpoints(broker: RunningBroker) -> dict[bytes, dict[str, int]]:
    with ms.connect(broker.address) as stem:
        found = {}
        for batch in stem.topic(counters.TOPIC).read():
            rows = zip(batch["_key"].to_pylist(), batch["value"].to_pylist(), strict=True)
            found |= {key: json.loads(value) for key, value in rows}
    return found


def test_a_total_goes_on_from_its_checkpoint(broker: RunningBroker) -> None:
    rows: list[tuple[str | None, bytes | None]] = [("1", b"{}")] * 1500

    async def first() -> None:
        async with desk(broker.address, likes("kept-likes")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("likes:1")
            await asyncio.to_thread(write, broker.address, "kept-likes", rows)
            await port.until(
                lambda: (
                    port.states("likes:1")[-1:][0:] and port.states("likes:1")[-1]["total"] == 1500
                )
            )

    async def second() -> None:
        with ms.connect(broker.address) as stem:  # what was counted is gone from the log
            stem.delete_records("kept-likes", {n: 1000 for n in (0, 1) if ends(stem)[n] > 1000})
        async with desk(broker.address, likes("kept-likes")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            assert total(await port.watch("likes:1")) == 1500
            await port.publish("likes:1", {"n": 2})
            await port.until(lambda: port.states("likes:1"))
            assert port.states("likes:1")[-1]["total"] == 1502

    def ends(stem: ms.Stem) -> dict[int, int]:
        return stem.topic("kept-likes").offsets()[1]

    asyncio.run(first())
    written = [value for key, value in checkpoints(broker).items() if b"kept-likes" in key]
    assert [value["total"] for value in written] == [1500]
    asyncio.run(second())


def test_two_nodes_agree_on_every_total(broker: RunningBroker) -> None:
    seed = random.randrange(1 << 30)
    source = random.Random(seed)
    names = [f"likes:{number}" for number in range(5)]

    async def scenario() -> None:
        async with (
            desk(broker.address, likes("two"), checkpoint_seconds=0.1) as one,
            desk(broker.address, likes("two"), checkpoint_seconds=0.1) as two,
        ):
            ports = [DeskPort(one, 1), DeskPort(two, 1)]
            sums = dict.fromkeys(names, 0)
            for _ in range(60):
                name, weight = source.choice(names), source.randrange(-3, 9)
                answer = await source.choice(ports).publish(name, {"n": weight})
                assert isinstance(answer, bus.Published), seed
                sums[name] += weight
                if source.random() < 0.2:
                    await source.choice(ports).watch(source.choice(names))
                if source.random() < 0.1:
                    source.choice(ports).says(bus.Unwatch(source.choice(names)))
            for node in (one, two):
                late = DeskPort(node, 2)
                for name in names:
                    known = [total(await late.watch(name))]

                    def settled(
                        late: DeskPort = late, name: str = name, known: list[int] = known
                    ) -> bool:
                        said = [each["total"] for each in late.states(name)]
                        return [*known, *said][-1] == sums[name]

                    # The last likes may be on their way: another node wrote them.
                    try:
                        await late.until(settled)
                    except TimeoutError:
                        pytest.fail(f"seed {seed}: {name} is not {sums[name]}: {late.states(name)}")

    asyncio.run(scenario())


def test_a_checkpoint_of_a_node_that_is_ahead_is_taken_back_to_here(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, likes("ahead")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("likes:x")
            rows: list[tuple[str | None, bytes | None]] = [("1", b'{"n":2}')] * 10
            await asyncio.to_thread(write, broker.address, "ahead", rows)
            topic = await dispatcher.topics.find("ahead")
            stream = topic.stream_of(b"1")
            entry = stream, b"1", counters.Checkpoint(20, 10)
            await dispatcher.checkpoints.write([entry])
            watched = bus.Watch("likes:1")
            # As seen by a node whose reader stands at 4 still: six records are yet to come.
            partition = await dispatcher.table._partition(stream)
            await port.until(lambda: True)
            partition.position = 4
            port.says(watched)
            opened = await port.until(
                lambda: next((m for m in port.all(bus.Opened) if m.channel == "likes:1"), None)
            )
            assert (opened.next_offset, total(opened)) == (4, 8)

    asyncio.run(scenario())


def test_a_checkpoint_behind_a_log_that_was_cut_is_not_believed(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, likes("cut-likes")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.publish("likes:1", {"n": 5})
            stream = (await dispatcher.topics.find("cut-likes")).stream_of(b"1")
            entry = stream, b"1", counters.Checkpoint(999, 1_000)
            await dispatcher.checkpoints.write([entry])
            assert total(await port.watch("likes:1")) == 5

    asyncio.run(scenario())


def test_the_same_key_is_written_once(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, chat("once")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            answers = await asyncio.gather(*(port.publish("chat:1", "a", "k") for _ in range(20)))
            assert {answer.offset for answer in answers} == {0}
            assert sum(answer.duplicate for answer in answers) == 19
            other = await port.publish("chat:2", "a", "k")  # another channel, another record
            user = await port.publish("chat:1", "a", "k", user="ann")  # another's key
            assert (other.offset, user.offset) == (1, 2)
        async with desk(broker.address, chat("once")) as dispatcher:  # a gateway that restarted
            port = DeskPort(dispatcher, 1)
            again = await port.publish("chat:1", "a", "k")
            assert (again.offset, again.duplicate) == (0, True)
            mine = await port.publish("chat:1", "a", "k", user="ann")
            assert (mine.offset, mine.duplicate) == (2, True)
            async with desk(broker.address, chat("once")) as neighbour:
                there = await DeskPort(neighbour, 1).publish("chat:1", "b", "k2")
                here = await port.publish("chat:1", "b", "k2")
                assert (there.offset, there.duplicate) == (3, False)
                assert (here.offset, here.duplicate) == (3, True)

    asyncio.run(scenario())


def test_concurrent_publishes_share_batches_and_keep_their_offsets(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, chat("many")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("chat:1")
            answers = await asyncio.gather(*(port.publish("chat:1", n) for n in range(2000)))
            assert sorted(answer.offset for answer in answers) == list(range(2000))
            await port.until(lambda: len(port.events("chat:1")) == 2000)
            said = dict(port.events("chat:1"))
            assert all(said[answer.offset] == n for n, answer in enumerate(answers))

    asyncio.run(scenario())


def test_too_many_publishes_are_refused_not_kept(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, chat("busy")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("chat:1")
            big = b'"' + b"x" * 60_000 + b'"'
            answers = await asyncio.gather(*(port.publish("chat:1", big) for _ in range(1000)))
            refused = [answer for answer in answers if isinstance(answer, bus.Failed)]
            assert 0 < len(refused) < 1000
            assert {(answer.kind, answer.code) for answer in refused} == {("Unavailable", 89)}
            assert isinstance(await port.publish("chat:1", "after"), bus.Published)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "word"), [(b"{", "JSON"), (b"", "JSON"), (b"\xff", "JSON"), (b"1" * 70_000, "bytes")]
)
def test_a_body_that_is_no_json_is_refused(broker: RunningBroker, body: bytes, word: str) -> None:
    async def scenario() -> None:
        async with desk(broker.address, chat("refusing")) as dispatcher:
            answer = await DeskPort(dispatcher, 1).publish("chat:1", body)
            assert isinstance(answer, bus.Failed)
            assert answer.kind == "Invalid"
            assert word in answer.message

    asyncio.run(scenario())


def test_viewers_are_summed_over_workers_and_nodes(broker: RunningBroker) -> None:
    async def scenario() -> None:
        quick = {"grace": 0.2}
        async with (
            desk(broker.address, name="a", viewers=quick) as one,
            desk(broker.address, name="b", viewers=quick) as two,
        ):
            ports = [DeskPort(one, 1), DeskPort(one, 2), DeskPort(two, 1)]
            for port in ports:
                await port.watch("viewers:42")
                worker = WorkerViewers()
                worker.joined(["42"], "ann", 0.0)
                worker.joined(["42"], None, 0.0)
                report = worker.changes(0.0)
                assert report is not None
                port.says(bus.ViewerReport(report))
            for port in ports:
                await port.until(
                    lambda port=port: (
                        port.states("viewers:42")[-1:]
                        and port.states("viewers:42")[-1]["connections"] == 6
                    )
                )
                assert port.states("viewers:42")[-1]["users"] == 4  # ann, and three without name
            one.detach(ports[1])
            await ports[2].until(lambda: ports[2].states("viewers:42")[-1]["connections"] == 4)

    asyncio.run(scenario())


def test_gateways_share_a_cursor_key_without_being_told(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address) as one, desk(broker.address) as two:
            keys = await asyncio.gather(one.cursor_key(), two.cursor_key())
            assert keys[0] == keys[1]
            assert len(keys[0]) == 32
        async with desk(broker.address) as later:
            assert await later.cursor_key() == keys[0]
        async with desk(broker.address, cursor_key="our own little secret") as own:
            assert await own.cursor_key() == b"our own little secret"

    asyncio.run(scenario())


def test_a_kick_reaches_all_gateways_and_those_that_start_later(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address) as one, desk(broker.address) as two:
            heard: list[list[bus.Kick]] = [[], []]
            for place, dispatcher in enumerate((one, two)):
                dispatcher.kicks.tell = heard[place].append
            await one.cursor_key()  # shares the topic
            await one.kicks.kick("ann", None, "rude")
            await two.kicks.kick(None, "token-7", "stolen")
            async with asyncio.timeout(20):
                while [len(kicks) for kicks in heard] != [2, 2]:
                    await asyncio.sleep(0.02)
            assert heard[0] == heard[1]
            assert [(k.user, k.token_id, k.reason) for k in heard[0]] == [
                ("ann", None, "rude"),
                (None, "token-7", "stolen"),
            ]
        async with desk(broker.address) as later:
            async with asyncio.timeout(20):
                while len(later.kicks.remembered()) < 2:
                    await asyncio.sleep(0.02)
            assert later.kicks.remembered() == heard[0]
            assert all(kick.at is not None for kick in heard[0])

    asyncio.run(scenario())


def test_what_nobody_watches_is_not_read(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, chat("unwatched"), linger_seconds=0.2) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("chat:1")
            rows: list[tuple[str | None, bytes | None]] = [("2", b"0")] * 5000
            await asyncio.to_thread(write, broker.address, "unwatched", rows)
            await port.publish("chat:1", 1)
            await port.until(lambda: port.events("chat:1"))
            assert (dispatcher.table.records_read, dispatcher.table.records_told) == (5001, 1)
            assert len(port.all(bus.Events)) == 1
            port.says(bus.Unwatch("chat:1"))
            async with asyncio.timeout(10):
                while ("unwatched", 0) in dispatcher.table.reader.places:
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(write, broker.address, "unwatched", rows)
            assert dispatcher.table.records_read == 5001
            # Who comes back stands where the log is now.
            assert (await port.watch("chat:1")).next_offset == 10_001

    asyncio.run(scenario())


def test_cursors_move_over_what_nobody_watches(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, chat("moving")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("chat:1")
            rows: list[tuple[str | None, bytes | None]] = [("2", b"0")] * 100
            await asyncio.to_thread(write, broker.address, "moving", rows)
            moved = await port.until(lambda: port.all(bus.Advance))
            assert moved[-1].next_offset == 100

    asyncio.run(scenario())


def test_order_across_channels_of_one_stream_is_the_log_s(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, chat("interleaved")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            for name in "abc":
                await port.watch(f"chat:{name}")
            rows: list[tuple[str | None, bytes | None]] = [
                ("abcd"[n * n % 4 if n % 3 else n % 4], b"%d" % n) for n in range(400)
            ]
            await asyncio.to_thread(write, broker.address, "interleaved", rows)
            count = sum(key in {"a", "b", "c"} for key, _ in rows)
            await port.until(lambda: sum(len(m.items) for m in port.all(bus.Events)) == count)
            seen = 0
            for message in port.all(bus.Events):
                for offset, _ in message.items:
                    assert offset >= seen
                assert message.items[-1][0] < message.next_offset
                seen = message.next_offset

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_million_channels_touched_once_leave_nothing(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, chat("touched"), linger_seconds=0.0) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("chat:warm")

            async def touch(start: int) -> None:
                for number in range(start, start + 50_000):
                    name = f"chat:{number}"
                    port.says(bus.Watch(name))
                    port.says(bus.Unwatch(name))
                    if number % 500 == 0:
                        await asyncio.sleep(0)
                port.heard.clear()
                async with asyncio.timeout(30):
                    while len(dispatcher.table.channels) > 1:
                        await asyncio.sleep(0.05)

            for start in range(0, 200_000, 50_000):
                await touch(start)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for start in range(200_000, 1_000_000, 50_000):
                await touch(start)
            assert list(dispatcher.table.channels) == ["chat:warm"]
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB

    asyncio.run(scenario())


def test_a_topic_s_epoch_is_its_identity_and_its_width() -> None:
    import uuid

    one, two = uuid.UUID(int=1), uuid.UUID(int=2)
    found = {epoch_of("t", one, 1), epoch_of("t", two, 1), epoch_of("t", one, 2)}
    assert len(found) == 3
    assert epoch_of("other", one, 1) == epoch_of("t", one, 1)
    assert epoch_of("t", None, 1) != epoch_of("u", None, 1)


def test_a_channel_is_where_kafka_s_clients_put_its_key(
    broker: RunningBroker, tmp_path: Path
) -> None:
    with ms.connect(broker.address) as stem:
        topic = stem.create_topic("placed", partitions=7)
    names = [f"kanal:{n}é" for n in range(50)]
    write(broker.address, "placed", [(parse_channel(name).id, b"0") for name in names])
    with ms.connect(broker.address) as stem:
        for batch in stem.topic("placed").read():
            for key, partition in zip(
                batch["_key"].to_pylist(), batch["_partition"].to_pylist(), strict=True
            ):
                assert partition_of(key, 7) == partition
    del topic, tmp_path
