"""A worker and who may be there: kicks that come at a bad moment, sign-ins by message."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack

import jwt
import websockets
from worker_kit import Site, Stream, asynchronous, site, until, viewer

from mainstem.live import bus
from mainstem.live.access import AccessSettings, read_settings

SECRET = "a secret of more than thirty-two bytes, for tests only"


def settings(**limits: int) -> AccessSettings:
    comments = {"user": ["subscribe", "publish"]}
    tables = {"tokens": {"secret": SECRET}, "limits": limits, "namespaces": {"comments": comments}}
    return read_settings(tables, loopback=True)


def token(user: str) -> str:
    now = time.time()
    return jwt.encode({"sub": user, "exp": now + 60, "iat": now - 5}, SECRET, "HS256")


def held(here: Site) -> tuple[int, int]:
    return here.gateway.access._limits.held()


@asynchronous
async def test_a_kick_while_channels_are_opened_lets_nobody_in() -> None:
    async with site(access=settings()) as here:
        here.dispatcher.mute.add("comments:1")
        header = f"Authorization: Bearer {token('ann')}\r\n"
        reader, writer = await _connect(here, header)
        await until(lambda: bus.Watch("comments:1") in here.dispatcher.said)
        assert held(here) == (1, 1)
        here.dispatcher.pipe.send(bus.Kick("ann", None, "rude"))
        here.dispatcher.open("comments:1")
        stream = Stream(reader, writer)
        await stream.begin()
        assert stream.status == 401
        assert here.gateway.viewers == {}
        assert held(here) == (0, 0)
        stream.close()
        async with viewer(
            here, "channel=comments:1", headers=f"Authorization: Bearer {token('bob')}\r\n"
        ) as other:
            assert (await other.event()).name == "resumed"


async def _connect(here: Site, header: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", here.worker.port)
    request = f"GET /live?channel=comments:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n"
    writer.write(request.encode())
    return reader, writer


@asynchronous
async def test_signing_in_by_message_counts_among_the_users_connections() -> None:
    async with site(access=settings(connections_per_user=2)) as here, AsyncExitStack() as stack:
        url = f"ws://127.0.0.1:{here.worker.port}/live/ws"

        async def sign_in(socket: websockets.ClientConnection, user: str) -> dict[str, object]:
            await socket.send(json.dumps({"token": token(user), "ref": 1}))
            return json.loads(await socket.recv())

        sockets = [await stack.enter_async_context(websockets.connect(url)) for _ in range(4)]
        for socket in sockets[:2]:
            assert "ok" in await sign_in(socket, "ann")
        assert (await sign_in(sockets[2], "ann"))["code"] == "connections_per_user"
        assert "ok" in await sign_in(sockets[3], "bob")
        assert "ok" in await sign_in(sockets[0], "ann")  # a renewed token is no connection more
        await sockets[1].close()
        await until(lambda: len(here.gateway.viewers) == 3)
        assert "ok" in await sign_in(sockets[2], "ann")
        for socket in sockets:
            await socket.close()
        await until(lambda: not here.gateway.viewers)
        assert held(here) == (0, 0)
