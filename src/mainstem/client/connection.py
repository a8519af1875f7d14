"""A connection to one broker: the protocol's thin asyncio skin, with version negotiation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from mainstem.client.kafka_errors import error_for
from mainstem.client.protocol import Answer, Protocol
from mainstem.errors import Corrupt, Invalid, MainstemError, Unavailable
from mainstem.wire import Message, api_name, api_versions, encode_request

API_VERSIONS = 18
_UNSUPPORTED_VERSION = 35


class Connection(asyncio.BufferedProtocol):
    """Pipelined requests over one socket. Belongs to the event loop that opened it.

    Made by ``Connection.open``. When the socket or the protocol fails, every open call and all
    later ones raise ``Unavailable``; a new connection is needed then.
    """

    def __init__(self, address: tuple[str, int], client_id: str | None) -> None:
        self.address = address
        self.versions: dict[int, int] = {}
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._protocol = Protocol(client_id)
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._transport: asyncio.Transport | None = None
        self._failure: MainstemError | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @classmethod
    async def open(
        cls, address: tuple[str, int], *, client_id: str | None, timeout: float
    ) -> Connection:
        """Connect and agree on versions. Raises ``Unavailable`` when nobody answers in time."""
        loop = asyncio.get_running_loop()
        connection = cls(address, client_id)
        try:
            async with asyncio.timeout(timeout):
                await loop.create_connection(lambda: connection, *address)
                await connection._negotiate(timeout)
        except TimeoutError as error:
            connection.abort("it did not answer")
            raise Unavailable(
                f"{connection.name} did not answer within {timeout:g} s: is a broker there?"
            ) from error
        except OSError as error:
            raise Unavailable(
                f"cannot connect to {connection.name} ({error.strerror or error}): "
                "is a broker running there?"
            ) from error
        except BaseException:
            connection.abort("it was not needed any more")
            raise
        return connection

    @property
    def name(self) -> str:
        """``host:port``."""
        return f"{self.address[0]}:{self.address[1]}"

    @property
    def usable(self) -> bool:
        """Whether calls may still succeed."""
        return self._failure is None

    @property
    def open_requests(self) -> int:
        """How many calls wait for their answer."""
        return len(self._waiting)

    def version(self, api_key: int) -> int:
        """The version both sides know, the highest. Raises ``Invalid`` where there is none."""
        try:
            return self.versions[api_key]
        except KeyError:
            raise Invalid(
                f"the broker at {self.name} does not offer {api_name(api_key)} in a version that "
                "Mainstem speaks: use a newer broker",
                code=_UNSUPPORTED_VERSION,
            ) from None

    async def call(self, api_key: int, message: Message, *, timeout: float) -> Message:
        """Send a request, return its answer. ``timeout`` is in seconds.

        Raises ``Unavailable`` when the connection fails or the time is over. Answers come in
        order, so a late one blocks those behind it: the connection is closed then, as Kafka's
        own clients do. The request may have taken effect nevertheless.
        """
        version = self.version(api_key)
        body = encode_request(api_key, version, message)
        return (await self._exchange(api_key, version, body, timeout)).decode()

    def start(
        self, api_key: int, version: int, parts: Sequence[Any], *, answered: bool = True
    ) -> asyncio.Future[Answer] | None:
        """Send a body that is already encoded as buffers; what ``finish`` waits for.

        It is sent before this returns, so that callers decide the order of their requests.
        """
        self._check()
        correlation_id = self._protocol.number(api_key, version, answered=answered)
        size = sum(map(len, parts))
        head = self._protocol.head(api_key, version, correlation_id, size)
        return self._write([head, *parts], answered=answered)

    async def finish(
        self, waiter: asyncio.Future[Answer] | None, api_key: int, timeout: float
    ) -> Answer | None:
        """The raw answer of a request; ``None``, once it is sent, for one without."""
        try:
            async with asyncio.timeout(timeout):
                await self._writable.wait()
                return None if waiter is None else await waiter
        except TimeoutError as error:
            text = f"{api_name(api_key)} was not answered within {timeout:g} s"
            self.abort(text)
            raise Unavailable(f"{self.name}: {text}; retry", code=7) from error

    def abort(self, reason: str) -> None:
        """Drop the connection at once; open calls raise ``Unavailable`` with the reason."""
        self._fail(Unavailable(f"the connection to {self.name} was closed: {reason}", code=13))
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Close and wait until the socket is gone."""
        self._fail(Unavailable(f"the connection to {self.name} was closed here", code=13))
        if self._transport is not None:
            self._transport.close()
            await self.closed

    # --- asyncio's side ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "writelines")
        self._transport = transport  # type: ignore[assignment]  # uvloop's own class

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._protocol.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            answers = self._protocol.received(nbytes)
        except Corrupt as error:
            self.abort(str(error))
            return
        for answer in answers:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(answer)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        detail = f" ({exc})" if exc is not None else ""
        self._fail(Unavailable(f"the connection to {self.name} was lost{detail}: retry", code=13))
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- inside ------------------------------------------------------------------------------

    async def _exchange(self, api_key: int, version: int, body: bytes, timeout: float) -> Answer:
        self._check()
        _, frame = self._protocol.request(api_key, version, body)
        answer = await self.finish(self._write([frame], answered=True), api_key, timeout)
        assert answer is not None
        return answer

    def _write(self, parts: Iterable[Any], *, answered: bool) -> asyncio.Future[Answer] | None:
        assert self._transport is not None
        waiter: asyncio.Future[Answer] | None = None
        if answered:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
        self._transport.writelines(parts)
        return waiter

    def _check(self) -> None:
        if self._failure is not None:
            raise Unavailable(str(self._failure), code=self._failure.code)

    def _fail(self, error: MainstemError) -> None:
        if self._failure is None:
            self._failure = error
        self._writable.set()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(Unavailable(str(error), code=error.code))
                waiter.exception()  # a cancelled caller may never look

    async def _negotiate(self, timeout: float) -> None:
        """KIP-511: ask with our highest version; a broker that lacks it answers in version 0."""
        lowest, highest = api_versions(API_VERSIONS)
        message = Message(client_software_name="mainstem", client_software_version="0.1")
        for version in (highest, lowest):
            body = encode_request(API_VERSIONS, version, message)
            answer = await self._exchange(API_VERSIONS, version, body, timeout)
            reply = _read_versions(answer)
            if reply.error_code != _UNSUPPORTED_VERSION:
                break
        if reply.error_code:
            raise error_for(reply.error_code, f"agree on versions with {self.name}")
        for offer in reply.api_keys:
            common = _common(offer.api_key, offer.min_version, offer.max_version)
            if common is not None:
                self.versions[offer.api_key] = common


def _read_versions(answer: Answer) -> Message:
    code = int.from_bytes(answer.frame[4:6], "big", signed=True)
    if code == _UNSUPPORTED_VERSION:  # in version 0, whatever was asked
        return Message(error_code=code, api_keys=[])
    return answer.decode()


def _common(api_key: int, lowest: int, highest: int) -> int | None:
    try:
        our_lowest, our_highest = api_versions(api_key)
    except KeyError:  # an API we do not know
        return None
    best = min(highest, our_highest)
    return best if best >= max(lowest, our_lowest) else None
