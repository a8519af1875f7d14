"""The public proxy: what each of its faults does to a connection."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from mainstem.testing import FaultProxy

FRAMES = [struct.pack(">i", 96) + bytes([number % 256]) * 96 for number in range(400)]
PATIENCE = 20


class Server:
    """Takes one connection after the other, and notes what came and how each ended."""

    def __init__(self, *, echo: bool) -> None:
        self.received = b""
        self.ends: list[str] = []
        self.done = threading.Event()
        self._echo = echo
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            with connection:
                try:
                    while data := connection.recv(65_536):
                        self.received += data
                        if self._echo:
                            connection.sendall(data)
                    self.ends.append("end")
                except ConnectionError:
                    self.ends.append("reset")
                self.done.set()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(echo=False)
    yield found
    found.close()


def talk(proxy: FaultProxy, frames: list[bytes]) -> None:
    """Send all, and say that this is the end."""
    host, port = proxy.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), PATIENCE) as client:
        with contextlib.suppress(ConnectionError):
            for frame in frames:
                client.sendall(frame)
            client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while client.recv(65_536):
                pass


@pytest.mark.parametrize("fault", ["delay", "slice"])
def test_what_is_only_late_or_in_pieces_arrives_whole(server: Server, fault: str) -> None:
    with FaultProxy(server.address, seed=1, every=4000, faults=(fault,)) as proxy:  # type: ignore[arg-type]
        talk(proxy, FRAMES)
        assert server.done.wait(PATIENCE)
    assert server.received == b"".join(FRAMES)
    assert set(proxy.counts) == {fault}


def test_a_calm_proxy_does_nothing(server: Server) -> None:
    with FaultProxy(server.address, seed=1, every=100) as proxy:
        proxy.calm = True
        talk(proxy, FRAMES)
        assert server.done.wait(PATIENCE)
    assert (server.received, dict(proxy.counts)) == (b"".join(FRAMES), {})


def test_duplicates_are_whole_messages_that_come_again_in_their_place(server: Server) -> None:
    with FaultProxy(server.address, seed=1, every=4000, faults=("duplicate",)) as proxy:
        talk(proxy, FRAMES)
        assert server.done.wait(PATIENCE)
    size = len(FRAMES[0])
    found = [server.received[at : at + size] for at in range(0, len(server.received), size)]
    assert len(found) == len(FRAMES) + proxy.counts["duplicate"] > len(FRAMES)
    without = [frame for at, frame in enumerate(found) if at == 0 or frame != found[at - 1]]
    assert without == FRAMES


def test_a_cut_loses_what_was_under_way(server: Server) -> None:
    with FaultProxy(server.address, seed=1, every=4000, faults=("cut",)) as proxy:
        talk(proxy, FRAMES)
        assert server.done.wait(PATIENCE)
    assert server.ends == ["reset"]
    assert len(server.received) < len(b"".join(FRAMES))
    assert b"".join(FRAMES).startswith(server.received)
    assert proxy.counts["cut"] == 1


def test_a_half_close_ends_one_direction_only(server: Server) -> None:
    with FaultProxy(server.address, seed=1, every=4000, faults=("half-close",)) as proxy:
        talk(proxy, FRAMES)
        assert server.done.wait(PATIENCE)
    assert server.ends == ["end"], "an end as if the client had said so, no reset"
    assert b"".join(FRAMES).startswith(server.received)
    assert len(server.received) < len(b"".join(FRAMES))


@pytest.mark.parametrize("options", [{"faults": ()}, {"faults": ("cat",)}, {"every": 0}])
def test_faults_that_there_are_not_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="choose from"):
        FaultProxy("127.0.0.1:1", seed=1, **options)  # type: ignore[arg-type]


def test_a_connection_that_comes_while_the_proxy_ends_is_closed(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as client, FaultProxy(server.address, seed=1) as proxy:
        loop = proxy._loop

        def come() -> None:
            client.connect((proxy.host, proxy.port))
            loop.call_soon(proxy._stop.set)  # so that it is being accepted when the proxy ends

        loop.call_soon_threadsafe(come)
        proxy._thread.join(PATIENCE)
        client.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    gc.collect()
    assert caplog.records == []


class EndsWhileDropping(FaultProxy):
    """One that is told to stop just as a connection of it has come to its end."""

    async def _drop(
        self, pumps: list[asyncio.Task[bool]], ends: list[asyncio.StreamWriter]
    ) -> None:
        self._stop.set()
        await super()._drop(pumps, ends)


def test_a_proxy_that_ends_as_a_connection_does_leaves_no_socket_open(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with EndsWhileDropping(server.address, seed=1) as proxy:
        proxy.calm = True
        talk(proxy, FRAMES)
        assert server.done.wait(PATIENCE)
    gc.collect()  # a socket left open is a warning now, and fails this test
    assert caplog.records == []
