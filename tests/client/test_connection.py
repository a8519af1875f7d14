"""One connection: agreeing on versions, time-outs, peers that go away or are no brokers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest
from scripted_broker import API_VERSIONS, METADATA, scripted_broker

from mainstem.client import Connection
from mainstem.client.metadata import request
from mainstem.errors import Invalid, Unavailable
from mainstem.testing import RunningBroker
from mainstem.testing.accepting import Accepting


async def connect(address: tuple[str, int], timeout: float = 10) -> Connection:
    return await Connection.open(address, client_id="test", timeout=timeout)


def split(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host, int(port)


def test_the_highest_common_version_is_agreed_on(mainstem_session_broker: RunningBroker) -> None:
    async def run() -> None:
        connection = await connect(split(mainstem_session_broker.address))
        assert connection.version(METADATA) == 13
        assert connection.version(API_VERSIONS) == 4
        answer = await connection.call(METADATA, request([]), timeout=10)
        assert answer.cluster_id
        await connection.close()

    asyncio.run(run())


def test_a_broker_that_lacks_our_api_versions_is_asked_again_in_version_0() -> None:
    async def run() -> None:
        async with scripted_broker() as broker:
            broker.versions[API_VERSIONS] = (0, 2)
            connection = await connect(broker.address)
            assert broker.requests == [(API_VERSIONS, 4), (API_VERSIONS, 0)]
            assert connection.version(METADATA) == 12
            await connection.close()

    asyncio.run(run())


def test_an_api_the_broker_lacks_is_invalid() -> None:
    async def run() -> None:
        async with scripted_broker() as broker:
            connection = await connect(broker.address)
            with pytest.raises(Invalid, match="does not offer join_group") as caught:
                connection.version(11)
            assert caught.value.code == 35
            await connection.close()

    asyncio.run(run())


def test_nobody_listening_is_unavailable_and_says_where() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
        with pytest.raises(Unavailable, match=f"{address[1]}.*is a broker running there"):
            asyncio.run(connect(address))


def test_a_host_that_does_not_exist_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"no-such-host\.invalid"):
        asyncio.run(connect(("no-such-host.invalid", 9092)))


def test_a_peer_that_never_answers_is_unavailable_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(Unavailable, match=r"did not answer within 0\.05 s"):
            asyncio.run(connect(silent.getsockname(), timeout=0.05))


def test_a_web_server_is_not_taken_for_a_broker() -> None:
    done = asyncio.Event()

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        done.set()

    async def run() -> None:
        accepting = Accepting(web)
        with pytest.raises(Unavailable, match="is this the Kafka port"):
            await connect(accepting.address)
        await done.wait()
        await accepting.close()

    asyncio.run(run())


def test_a_late_answer_fails_its_call_and_closes_the_connection() -> None:
    async def run() -> None:
        async with scripted_broker() as broker:
            connection = await connect(broker.address)
            broker.hold = asyncio.Event()
            with pytest.raises(Unavailable, match=r"metadata was not answered within 0\.02 s"):
                await connection.call(METADATA, request([]), timeout=0.02)
            assert not connection.usable
            with pytest.raises(Unavailable):
                await connection.call(METADATA, request([]), timeout=10)

    asyncio.run(run())


@pytest.mark.parametrize("end", [lambda c: c.abort("tested"), None], ids=["ours", "theirs"])
def test_calls_under_way_fail_when_the_connection_goes(
    end: Callable[[Connection], None] | None,
) -> None:
    async def run() -> None:
        async with scripted_broker() as broker:
            connection = await connect(broker.address)
            broker.hold = asyncio.Event()
            calls = [
                asyncio.ensure_future(connection.call(METADATA, request([]), timeout=10))
                for _ in range(3)
            ]
            while connection.open_requests < 3:
                await asyncio.sleep(0)
            if end is None:
                broker.cut_all()
            else:
                end(connection)
            for result in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(result, Unavailable)
                assert result.code == 13

    asyncio.run(run())


def test_a_cancelled_call_does_not_disturb_the_next() -> None:
    async def run() -> None:
        async with scripted_broker() as broker:
            connection = await connect(broker.address)
            broker.hold = asyncio.Event()
            first = asyncio.ensure_future(connection.call(METADATA, request([]), timeout=10))
            while connection.open_requests < 1:
                await asyncio.sleep(0)
            first.cancel()
            second = asyncio.ensure_future(connection.call(METADATA, request(None), timeout=10))
            broker.hold.set()
            assert [topic.name for topic in (await second).topics] == ["t"]
            await connection.close()

    asyncio.run(run())
