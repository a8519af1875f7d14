"""Who was put out: over all gateways, after restarts, and without end for the topic."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import pytest
from live_gateway import gateway

import mainstem as ms
from mainstem.client import Admin, ClientConfig, Cluster, parse_addresses
from mainstem.clock import SystemClock
from mainstem.live import control, kicks
from mainstem.live.dispatcher import Dispatcher
from mainstem.live.settings import OUT_OF_THE_BOX, LiveSettings
from mainstem.testing import RunningBroker, running_broker

SECRET = "a secret of thirty-two bytes, or more"
DAY_MS = 86_400_000


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    with running_broker(tmp_path / "log") as running:
        yield running


class Later(SystemClock):
    """A clock that is days ahead, or behind: no broker takes times of tomorrow."""

    def __init__(self, days: float) -> None:
        self.days = days

    def now_ms(self) -> int:
        return super().now_ms() + int(self.days * DAY_MS)


@asynccontextmanager
async def desk(broker: RunningBroker, days: float = 0.0) -> AsyncIterator[Dispatcher]:
    config = ClientConfig(client_id="live", retry_for=10.0)
    cluster = Cluster(parse_addresses(broker.address), config)
    await cluster.start()
    dispatcher = Dispatcher(cluster, LiveSettings(), dict(OUT_OF_THE_BOX), Later(days))
    await dispatcher.start()
    try:
        yield dispatcher
    finally:
        await dispatcher.close()
        await cluster.close()


def out(dispatcher: Dispatcher) -> list[str | None]:
    return [kick.user or kick.token_id for kick in dispatcher.kicks.remembered()]


async def until_out(dispatcher: Dispatcher, names: list[str]) -> None:
    async with asyncio.timeout(20):
        while out(dispatcher) != names:
            await asyncio.sleep(0.01)


def control_records(broker: RunningBroker) -> list[tuple[bytes, bytes | None]]:
    with ms.connect(broker.address) as stem:
        return [
            row
            for batch in stem.topic(control.TOPIC).read()
            for row in zip(batch["_key"].to_pylist(), batch["value"].to_pylist(), strict=True)
        ]


def test_a_gateway_knows_who_was_put_out_before_it_serves(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker) as one, desk(broker) as two:
            await one.kicks.kick("ann", None, "rude")
            await until_out(two, ["ann"])
            await two.kicks.kick(None, "ann", "stolen")  # a token of that name is another
            await until_out(one, ["ann", "ann"])
        async with desk(broker) as later:
            assert out(later) == ["ann", "ann"]

    asyncio.run(scenario())


def test_who_is_put_out_again_is_one_record_after_compaction(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker) as one:
            for reason in "abc":
                await one.kicks.kick("ann", None, reason)
            await one.kicks.kick("bob", None, "")
            await until_out(one, ["ann", "bob"])
            assert [kick.reason for kick in one.kicks.remembered()] == ["c", ""]
            found = await Admin(one._cluster).settings(control.TOPIC)
            assert ("cleanup.policy", "compact") in [(each.name, each.value) for each in found]

    asyncio.run(scenario())
    # Twice three, where midnight passed meanwhile.
    assert len({key for key, _ in control_records(broker) if b"/user/ann" in key}) <= 2


def test_kicks_of_days_that_are_over_leave_the_topic(broker: RunningBroker) -> None:
    # Days begin at midnight, so the test lives at noon: of yesterday, as nobody's future is stored.
    noon = -0.5 - time.time() * 1000 / DAY_MS % 1

    async def scenario() -> None:
        async with desk(broker, noon - 2.2) as one:
            for number in range(20):
                await one.kicks.kick(f"user-{number}", None, "")
        async with desk(broker, noon - 1.0) as next_day:
            assert out(next_day) == []
            await next_day.kicks.sweep()  # its clock may be ahead of another's
        assert None not in dict(control_records(broker)).values()
        async with desk(broker, noon) as later:
            await later.kicks.kick("user-7", None, "again")
            await later.kicks.sweep()
        last = {key: value for key, value in control_records(broker) if key.startswith(b"kick/")}
        assert [value is None for value in last.values()] == [True] * 20 + [False]
        async with desk(broker, noon) as latest:
            assert out(latest) == ["user-7"]  # no tombstone undoes a newer kick
            await latest.kicks.sweep()
            assert latest.kicks._expired == {}

    asyncio.run(scenario())


def test_of_too_many_kicks_the_oldest_are_forgotten(
    broker: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kicks, "MOST", 3)

    async def scenario() -> None:
        async with desk(broker) as one:
            for number in range(5):
                await one.kicks.kick(str(number), None, "")
            await until_out(one, ["2", "3", "4"])

    asyncio.run(scenario())


def test_what_is_no_kick_in_the_topic_puts_nobody_out(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker) as one:
            now = one.kicks._clock.now_ms() - 3 * DAY_MS
            values: list[bytes | None] = [b"", b"[" * 60_000, b'{"user":1}', None]
            for key in (b"kick/1/user/x", b"kick/", b"kick/x/y", b"kickless"):
                await one.kicks._append([(key, now, value) for value in values])
            long = json.dumps({"user": "x" * 1001}).encode()
            await one.kicks._append([(b"kick/1/user/x", now + 3 * DAY_MS, long)])
            await one.kicks.kick("ann", None, "")
            await until_out(one, ["ann"])
            await one.kicks.sweep()

    asyncio.run(scenario())


def test_every_offer_of_a_cursor_key_outlives_compaction(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker) as one, desk(broker) as two:
            key = await one.cursor_key()
            await control.offer(one._cluster, one._producer)  # who lost the race
            assert await two.cursor_key() == key

    asyncio.run(scenario())
    records = control_records(broker)
    assert len(records) == len({key for key, _ in records}) == 2


@pytest.mark.slow
def test_a_kick_at_one_gateway_ends_streams_at_another_and_outlives_its_restart(
    broker: RunningBroker, tmp_path: Path
) -> None:
    file = tmp_path / "live.toml"
    file.write_text(
        f'workers = 1\n[access.tokens]\nsecret = "{SECRET}"\n'
        '[access.namespaces.comments]\nuser = ["subscribe", "publish"]\n'
    )
    now = int(time.time())
    token = jwt.encode({"sub": "ann", "exp": now + 600, "iat": now - 5}, SECRET, "HS256")
    bearer = {"Authorization": f"Bearer {token}"}

    def status(address: str) -> int:
        target = f"http://{address}/live/comments:1"
        asked = urllib.request.Request(target, b"1", {**bearer, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    with gateway(broker.address, "--config", str(file)) as one:
        with gateway(broker.address, "--config", str(file)) as two:
            address = two.fields["live"]
            assert status(address) == 200
            stream = urllib.request.Request(
                f"http://{address}/live?channel=comments:1", None, bearer
            )
            with urllib.request.urlopen(stream, timeout=30) as told:
                while b"event: resumed" not in told.readline():
                    pass
                body = json.dumps({"user": "ann", "reason": "rude"}).encode()
                kind = {"Content-Type": "application/json"}
                kick = urllib.request.Request(f"http://{one.fields['http']}/kick", body, kind)
                urllib.request.urlopen(kick, timeout=30).close()
                assert b"rude" in told.read()
            assert status(address) == 401
        with gateway(broker.address, "--config", str(file)) as two:
            assert status(two.fields["live"]) == 401  # the first thing it is asked
        assert status(one.fields["live"]) == 401
