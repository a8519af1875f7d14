"""Viewers through real sockets while everything behind them is killed: the cursor audit."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from live_gateway import Process, Viewer, gateway, get, kill_pid, node, post, wait_for

import mainstem as ms
from mainstem.testing.ports import lasting_port

CHANNELS = [f"comments:{number}" for number in range(6)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Process]]:
    data = tmp_path_factory.mktemp("log")
    with node(data) as serving, gateway(serving.fields["kafka"]) as live:
        yield serving, live


def lasting_gateway(serving: Process) -> Any:
    """One that can be killed and started where it was."""
    return gateway(serving.fields["kafka"], listen=f"127.0.0.1:{lasting_port()}")


Place = tuple[int, int]
"""(partition, offset)."""


def audit(viewer: Viewer, truth: dict[str, list[Place]], before: dict[str, list[Place]]) -> str:
    """Empty if the viewer was told every event exactly once and in order, but for what lies
    around resets it was told; ``before`` was in the log when it came."""
    for channel in viewer.channels:
        expected = truth[channel][len(before[channel]) :]
        stretches: list[list[Place]] = [[]]
        for told in viewer.told:
            if told.event == "reset":
                stretches.append([])
            elif told.event == "message" and told.data["channel"] == channel:
                stretches[-1].append((told.data["partition"], told.data["offset"]))
        if len(stretches) == 1 and stretches[0] != expected:
            return f"{channel}: {stretches[0]} is not what the log has: {expected}"
        for stretch in filter(None, stretches):
            start = expected.index(stretch[0])
            if stretch != expected[start : start + len(stretch)]:
                return f"{channel}: {stretch} is no part of what the log has: {expected}"
    return ""


def log_of(kafka: str) -> dict[str, list[Place]]:
    truth: dict[str, list[Place]] = {name: [] for name in CHANNELS}
    with ms.connect(kafka) as stem:
        for batch in stem.topic("live.comments").read():
            rows = zip(
                batch["_key"].to_pylist(),
                batch["_partition"].to_pylist(),
                batch["_offset"].to_pylist(),
                strict=True,
            )
            for key, partition, offset in rows:
                truth.setdefault(f"comments:{key.decode()}", []).append((partition, offset))
    return truth


async def produce(topic: ms.AsyncTopic, stop: asyncio.Event, source: random.Random) -> int:
    """An ordinary producer, a few records at a time, until ``stop``; how many it wrote."""
    count = 0
    while not stop.is_set():
        keys = [str(source.randrange(len(CHANNELS))) for _ in range(source.randrange(1, 8))]
        values = [b'{"n":%d}' % (count + n) for n in range(len(keys))]
        await topic.append(pa.table({"_key": keys, "value": pa.array(values, pa.binary())}))
        count += len(keys)
        await asyncio.sleep(0.02)
    return count


async def watch_through(
    live: str,
    kafka: str,
    trouble: Callable[[random.Random], Any],
    *,
    seed: int,
    viewers: int = 24,
    seconds: float = 4.0,
) -> list[Viewer]:
    """Viewers watch and hang up at random while ``trouble`` happens; all are audited."""
    source = random.Random(seed)
    before = await asyncio.to_thread(log_of, kafka)
    everybody = [
        Viewer(live, source.sample(CHANNELS, source.randrange(1, 4))) for _ in range(viewers)
    ]
    tasks = [asyncio.create_task(viewer.run()) for viewer in everybody]
    for viewer in everybody:
        await viewer.until(lambda viewer=viewer: viewer.told)
    stop = asyncio.Event()
    stem = await ms.aconnect(kafka)  # before there is trouble: a first connection may fail
    topic = await stem.topic("live.comments")
    producing = asyncio.create_task(produce(topic, stop, source))
    try:
        async with asyncio.timeout(120):
            troubling = asyncio.create_task(asyncio.to_thread(trouble, source))
            end = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < end or not troubling.done():
                await asyncio.sleep(source.uniform(0, 0.1))
                source.choice(everybody).hang_up()
            await troubling
        stop.set()
        assert await producing > 0
        truth = await asyncio.to_thread(log_of, kafka)
        for viewer in everybody:
            for channel in viewer.channels:
                await viewer.until(lambda v=viewer, c=channel: _has(v, c, truth[c][-1]))
    finally:
        stop.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, producing, return_exceptions=True)
        await stem.close()
    for viewer in everybody:
        assert audit(viewer, truth, before) == "", f"seed {seed}: {audit(viewer, truth, before)}"
    return everybody


def _has(viewer: Viewer, channel: str, last: tuple[int, int]) -> bool:
    events = viewer.events(channel)
    return bool(events) and (events[-1]["partition"], events[-1]["offset"]) == last


def prepare(live: str) -> None:
    for channel in CHANNELS:
        post(live, channel, "first")


def resets(viewers: list[Viewer]) -> int:
    return sum(told.event == "reset" for viewer in viewers for told in viewer.told)


def test_viewers_who_come_and_go_miss_nothing(site: tuple[Process, Process]) -> None:
    serving, live = site
    prepare(live.fields["live"])
    seed = random.randrange(1 << 30)
    found = asyncio.run(
        watch_through(
            live.fields["live"], serving.fields["kafka"], lambda _: None, seed=seed, seconds=2.0
        )
    )
    assert resets(found) == 0, seed
    assert sum(viewer.connections for viewer in found) > len(found), seed


def test_a_publish_is_told_and_a_repeated_one_is_not(site: tuple[Process, Process]) -> None:
    live = site[1].fields["live"]

    async def scenario() -> None:
        viewer = Viewer(live, ["comments:twice", "likes:twice"], "earliest")
        task = asyncio.create_task(viewer.run())
        first = await asyncio.to_thread(post, live, "comments:twice", {"text": "hi"}, "k")
        again = await asyncio.to_thread(post, live, "comments:twice", {"text": "hi"}, "k")
        assert (first["duplicate"], again["duplicate"]) == (False, True)
        assert first["offset"] == again["offset"]
        for _ in range(3):
            await asyncio.to_thread(post, live, "likes:twice", {})
        await viewer.until(lambda: any(e["total"] == 3 for e in viewer.events("likes:twice")))
        assert [e["data"] for e in viewer.events("comments:twice")] == [{"text": "hi"}]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())


def test_health_and_metrics_are_told(site: tuple[Process, Process]) -> None:
    http = site[1].fields["http"]
    assert get(http, "/health/live") == "live\n"
    assert get(http, "/health/ready") == "ready\n"
    post(site[1].fields["live"], "comments:metrics", 1)
    text = get(http, "/metrics")
    assert "mainstem_live_workers 2.0" in text
    assert "mainstem_live_published_total" in text


@pytest.mark.slow
def test_killed_workers_cost_nobody_an_event(site: tuple[Process, Process]) -> None:
    serving, live = site
    prepare(live.fields["live"])
    seed = random.randrange(1 << 30)

    def kill_workers(source: random.Random) -> None:
        for _ in range(3):
            wait_for(lambda: len(live.children()) == 2, "two workers")
            kill_pid(source.choice(live.children()))
            wait_for(lambda: get(live.fields["http"], "/health/ready") == "ready\n", "ready")

    found = asyncio.run(
        watch_through(live.fields["live"], serving.fields["kafka"], kill_workers, seed=seed)
    )
    assert resets(found) == 0, seed


@pytest.mark.slow
def test_a_killed_gateway_costs_nobody_an_event(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    with node(tmp_path) as serving, lasting_gateway(serving) as live:
        prepare(live.fields["live"])

        def kill_gateway(_source: random.Random) -> None:
            for _ in range(2):
                live.kill()
                live.start()

        found = asyncio.run(
            watch_through(live.fields["live"], serving.fields["kafka"], kill_gateway, seed=seed)
        )
        assert resets(found) == 0, seed


@pytest.mark.slow
def test_a_killed_broker_costs_nobody_an_event(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    with node(tmp_path) as serving, gateway(serving.fields["kafka"]) as live:
        prepare(live.fields["live"])

        def kill_broker(_source: random.Random) -> None:
            for _ in range(2):
                old = serving.children()
                kill_pid(old[0])
                wait_for(lambda old=old: serving.children() not in ([], old), "a new broker")

        found = asyncio.run(
            watch_through(live.fields["live"], serving.fields["kafka"], kill_broker, seed=seed)
        )
        assert resets(found) == 0, seed


@pytest.mark.slow
def test_hundreds_of_viewers_while_one_thing_after_the_other_is_killed(tmp_path: Path) -> None:
    """LIVE_AUDIT_VIEWERS=2000 makes it thousands."""
    seed = random.randrange(1 << 30)
    count = int(os.environ.get("LIVE_AUDIT_VIEWERS", "200"))
    with node(tmp_path) as serving, lasting_gateway(serving) as live:
        prepare(live.fields["live"])

        def kill_in_turn(source: random.Random) -> None:
            wait_for(lambda: len(live.children()) == 2, "two workers")
            kill_pid(source.choice(live.children()))
            old = serving.children()
            kill_pid(old[0])
            wait_for(lambda: serving.children() not in ([], old), "a new broker")
            live.kill()
            live.start()
            wait_for(lambda: len(live.children()) == 2, "two workers again")
            kill_pid(source.choice(live.children()))

        found = asyncio.run(
            watch_through(
                live.fields["live"],
                serving.fields["kafka"],
                kill_in_turn,
                seed=seed,
                viewers=count,
            )
        )
        assert resets(found) == 0, seed
        assert sum(viewer.connections for viewer in found) > 2 * count, seed


@pytest.mark.slow
def test_a_node_with_live_serves_and_drains(tmp_path: Path) -> None:
    with node(tmp_path, "--live", "127.0.0.1:0", "--set", "live.drain_seconds=0.3") as serving:
        live = serving.fields["live"]

        async def scenario() -> list[str]:
            viewer = Viewer(live, ["comments:1"])
            task = asyncio.create_task(viewer.run())
            await viewer.until(lambda: viewer.told)
            await asyncio.to_thread(post, live, "comments:1", 1)
            await viewer.until(lambda: viewer.events("comments:1"))
            stopping = asyncio.create_task(asyncio.to_thread(serving.stop))
            await viewer.until(lambda: viewer.told[-1].event == "drain")
            assert await stopping == 0
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return [told.event for told in viewer.told]

        assert asyncio.run(scenario()) == ["resumed", "message", "drain"]
