"""A connection to one broker: the protocol's thin asyncio skin, with version negotiation."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from mainstem.client import handshake
from mainstem.client.kafka_errors import error_for
from mainstem.client.protocol import Answer, Protocol
from mainstem.client.quick_answers import throttle_time
from mainstem.client.security import Sasl, tls_error
from mainstem.client.versions import UNSUPPORTED_VERSION, common_version, read_versions
from mainstem.errors import Corrupt, Invalid, MainstemError, Unavailable
from mainstem.wire import Message, api_name, api_versions, encode_request

API_VERSIONS = 18
#: Of a large answer, wake up only for this much at a time.
_LOW_WATER = 1 << 20
_LONGEST_QUIET = 60.0  # seconds; Kafka's quotas look back over eleven
_RENEW_AT = 0.85  # of a session's lifetime, as Apache Kafka's clients do

#: A request that waits to be numbered and sent, and who waits for its answer.
_Held = tuple[Callable[[], Sequence[Any]], asyncio.Future[Answer] | None]


class Connection(asyncio.BufferedProtocol):
    """Pipelined requests over one socket. Belongs to the event loop that opened it.

    Made by ``Connection.open``. When the socket or the protocol fails, every open call and all
    later ones raise ``Unavailable``; a new connection is needed then.
    """

    def __init__(
        self, address: tuple[str, int], client_id: str | None, sasl: Sasl | None = None
    ) -> None:
        self.address = address
        self._sasl = sasl
        self._answers = 0
        self.throttled = 0.0  # seconds the broker has asked for so far
        self._held: list[_Held] | None = None  # what waits while nothing may be sent
        self._flowing = asyncio.Event()  # set while something may
        self._flowing.set()
        self._renewing = False
        self._muted: asyncio.TimerHandle | None = None
        self._renewal: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self.versions: dict[int, int] = {}
        self.features: dict[str, int] = {}  # finalized in the cluster (KIP-584)
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._protocol = Protocol(client_id)
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._transport: asyncio.Transport | None = None
        self._socket: Any = None  # where its low-water mark may be moved
        self._low_water = 1
        self._failure: MainstemError | None = None
        self.hung_up = False  # the broker closed it, or the line broke; nobody here did
        self._writable = asyncio.Event()
        self._writable.set()

    @classmethod
    async def open(
        cls,
        address: tuple[str, int],
        *,
        client_id: str | None,
        timeout: float,
        tls: ssl.SSLContext | None = None,
        sasl: Sasl | None = None,
    ) -> Connection:
        """Connect, agree on versions and log in.

        Raises ``Unavailable`` when nobody answers in time, ``Denied`` for a certificate or a
        login that is not accepted, ``Invalid`` where the broker does not speak TLS or SASL.
        """
        loop = asyncio.get_running_loop()
        connection = cls(address, client_id, sasl)
        name = None if tls is None else address[0]
        try:
            async with asyncio.timeout(timeout):
                await loop.create_connection(
                    lambda: connection, *address, ssl=tls, server_hostname=name
                )
                await connection._negotiate(timeout)
                await connection._log_in(timeout)
        except TimeoutError as error:
            connection.abort("it did not answer")
            raise Unavailable(
                f"{connection.name} did not answer within {timeout:g} s: is a broker there?"
            ) from error
        except ssl.SSLError as error:
            raise tls_error(connection.name, error) from error
        except OSError as error:
            hung_up = tls is not None and not isinstance(error, ConnectionRefusedError)
            hint = "does it speak TLS there?" if hung_up else "is a broker running there?"
            reason = error.strerror or str(error) or "it hung up"
            raise Unavailable(f"cannot connect to {connection.name} ({reason}): {hint}") from error
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
                code=UNSUPPORTED_VERSION,
            ) from None

    async def call(
        self, api_key: int, message: Message, *, timeout: float, highest: int | None = None
    ) -> Message:
        """Send a request, return its answer. ``timeout`` is in seconds, ``highest`` a version.

        Raises ``Unavailable`` when the connection fails or the time is over. Answers come in
        order, so a late one blocks those behind it: the connection is closed then, as Kafka's
        own clients do. The request may have taken effect nevertheless.
        """
        version = self.version(api_key)
        if highest is not None:
            version = min(version, highest)
        body = _encoded(api_key, version, message)
        answer = (await self._exchange(api_key, version, body, timeout)).decode()
        self.throttle(getattr(answer, "throttle_time_ms", 0))
        return answer

    def start(
        self, api_key: int, version: int, parts: Sequence[Any], *, answered: bool = True
    ) -> asyncio.Future[Answer] | None:
        """Send a body that is already encoded as buffers; what ``finish`` waits for.

        It is sent before this returns, so that callers decide the order of their requests.
        """
        self._check()

        def frame() -> Sequence[Any]:
            correlation_id = self._protocol.number(api_key, version, answered=answered)
            size = sum(map(len, parts))
            return [self._protocol.head(api_key, version, correlation_id, size), *parts]

        return self._write(frame, answered=answered)

    async def finish(
        self, waiter: asyncio.Future[Answer] | None, api_key: int, timeout: float
    ) -> Answer | None:
        """The raw answer of a request; ``None``, once it is sent, for one without."""
        text = ""

        def late() -> None:
            nonlocal text
            text = f"{api_name(api_key)} was not answered within {timeout:g} s"
            self.abort(text)

        loop = asyncio.get_running_loop()
        wait = 0.0 if self._muted is None else max(0.0, self._muted.when() - loop.time())
        timer = loop.call_later(timeout + wait, late)
        try:
            if waiter is not None:
                answer = await waiter
                self.throttle(throttle_time(answer))
                return answer
            await self._flowing.wait()
            await self._writable.wait()
            self._check()
            return None
        except Unavailable as error:
            if text:
                raise Unavailable(f"{self.name}: {text}; retry", code=7) from error
            raise
        finally:
            timer.cancel()

    def abort(self, reason: str) -> None:
        """Drop the connection at once; open calls raise ``Unavailable`` with the reason."""
        self._fail(Unavailable(f"the connection to {self.name} was closed: {reason}", code=13))
        if self._transport is not None:
            self._transport.abort()

    def hang_up(self) -> None:
        """Close once what was written is sent; open calls raise ``Unavailable`` now."""
        self._fail(Unavailable(f"the connection to {self.name} was closed here", code=13))
        if self._transport is not None:
            self._transport.close()

    async def close(self) -> None:
        """``hang_up``, and wait until the socket is gone."""
        self.hang_up()
        if self._transport is not None:
            await asyncio.shield(self.closed)  # others may wait for it, too

    # --- asyncio's side ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "writelines")
        self._transport = transport  # type: ignore[assignment]  # uvloop's own class
        if transport.get_extra_info("sslcontext") is None:
            self._socket = transport.get_extra_info("socket")

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._protocol.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            answers = self._protocol.received(nbytes)
        except Corrupt as error:
            self.abort(str(error))
            return
        missing = self._protocol.missing
        if missing or self._low_water > 1:
            self._wake_at(min(max(1, missing), _LOW_WATER))
        self._answers += len(answers)
        for answer in answers:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(answer)

    def _wake_at(self, size: int) -> None:
        """Wake up only once so much is there, of a large answer: every time costs as much as
        receiving many kilobytes. The system's own buffer grows with it."""
        if self._socket is not None and size != self._low_water:
            self._low_water = size
            with suppress(OSError):  # closed meanwhile
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        detail = f" ({exc})" if exc is not None else ""
        advice = "retry"
        if self._answers <= 1 and self._sasl is None:
            advice += "; a broker that hangs up at once may want a login (security=) or TLS (tls=)"
        self.hung_up = self._failure is None
        self._fail(
            Unavailable(f"the connection to {self.name} was lost{detail}: {advice}", code=13)
        )
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- inside ------------------------------------------------------------------------------

    async def _exchange(
        self, api_key: int, version: int, body: bytes, timeout: float, *, first: bool = False
    ) -> Answer:
        self._check()

        def frame() -> Sequence[Any]:
            return self._protocol.request(api_key, version, body)[1:]

        waiter = self._write(frame, answered=True, first=first)
        answer = await self.finish(waiter, api_key, timeout)
        assert answer is not None
        return answer

    def _write(
        self, frame: Callable[[], Sequence[Any]], *, answered: bool, first: bool = False
    ) -> asyncio.Future[Answer] | None:
        """Number and send; later where nothing may be sent now, unless it is the login itself."""
        waiter = asyncio.get_running_loop().create_future() if answered else None
        if self._held is None or first:
            self._depart(frame, waiter)
        else:
            self._held.append((frame, waiter))
        return waiter

    def _depart(
        self, frame: Callable[[], Sequence[Any]], waiter: asyncio.Future[Answer] | None
    ) -> None:
        assert self._transport is not None
        parts = frame()
        if waiter is not None:
            self._waiting.append(waiter)
        self._transport.writelines(parts)

    def _check(self) -> None:
        if self._failure is not None:
            raise Unavailable(str(self._failure), code=self._failure.code)

    def _fail(self, error: MainstemError) -> None:
        if self._failure is None:
            self._failure = error
        self._writable.set()
        if self._renewal is not None:
            self._renewal.cancel()
        if self._muted is not None:
            self._muted.cancel()
        held, self._held = self._held or [], None
        self._flowing.set()
        waiters = [*self._waiting, *(waiter for _, waiter in held)]
        self._waiting.clear()
        for waiter in waiters:
            if waiter is not None and not waiter.done():
                waiter.set_exception(Unavailable(str(error), code=error.code))
                waiter.exception()  # a cancelled caller may never look

    async def _negotiate(self, timeout: float) -> None:
        """KIP-511: ask with our highest version; a broker that lacks it answers in version 0."""
        lowest, highest = api_versions(API_VERSIONS)
        message = Message(client_software_name="mainstem", client_software_version="0.1")
        for version in (highest, lowest):
            body = encode_request(API_VERSIONS, version, message)
            answer = await self._exchange(API_VERSIONS, version, body, timeout)
            reply = read_versions(answer)
            if reply.error_code != UNSUPPORTED_VERSION:
                break
        if reply.error_code:
            raise error_for(reply.error_code, f"agree on versions with {self.name}")
        for offer in reply.api_keys:
            common = common_version(offer.api_key, offer.min_version, offer.max_version)
            if common is not None:
                self.versions[offer.api_key] = common
        self.features = {found.name: found.max_version_level for found in reply.finalized_features}

    # --- logging in --------------------------------------------------------------------------

    async def _log_in(self, timeout: float) -> None:
        if self._sasl is None:
            return
        if handshake.SASL_HANDSHAKE not in self.versions:
            raise Invalid(
                f"the broker at {self.name} takes no logins: connect without security=",
                code=UNSUPPORTED_VERSION,
            )

        async def call(api_key: int, message: Message) -> Message:
            version = self.version(api_key)
            body = encode_request(api_key, version, message)
            return (await self._exchange(api_key, version, body, timeout, first=True)).decode()

        lifetime = await handshake.authenticate(call, self._sasl, self.name)
        if lifetime > 0:
            loop = asyncio.get_running_loop()
            self._renewal = loop.call_later(lifetime * _RENEW_AT, self._start_renewal, timeout)

    def _start_renewal(self, timeout: float) -> None:
        if self._failure is None:
            self._renewal = asyncio.get_running_loop().create_task(self._renew(timeout))

    async def _renew(self, timeout: float) -> None:
        """KIP-368: log in again before the session ends; only the login may be sent meanwhile."""
        self._renewing = True
        self._hold()
        try:
            await self._log_in(timeout)
        except MainstemError as error:
            self.abort(f"its session could not be renewed: {error}")
        else:
            self._renewing = False
            self._let_go()

    # --- when nothing may be sent ------------------------------------------------------------

    def _hold(self) -> None:
        if self._held is None and self._failure is None:
            self._held = []
            self._flowing.clear()

    def _let_go(self) -> None:
        if self._renewing or self._muted is not None or self._held is None:
            return
        held, self._held = self._held, None
        for frame, waiter in held:
            if waiter is None or not waiter.done():
                self._depart(frame, waiter)
        self._flowing.set()

    def throttle(self, milliseconds: int) -> None:
        """KIP-219: a broker over its quota says how long it will not listen; be quiet as long."""
        if milliseconds <= 0 or self._failure is not None:
            return
        seconds = min(_LONGEST_QUIET, milliseconds / 1000)
        self.throttled += seconds
        loop = asyncio.get_running_loop()
        if self._muted is not None:
            if self._muted.when() >= loop.time() + seconds:
                return
            self._muted.cancel()
        self._muted = loop.call_later(seconds, self._unmute)
        self._hold()

    def _unmute(self) -> None:
        self._muted = None
        self._let_go()


def _encoded(api_key: int, version: int, message: Message) -> bytes:
    """A request's body. Raises ``Invalid`` for a value that the protocol has no room for."""
    try:
        return encode_request(api_key, version, message)
    except (struct.error, OverflowError, UnicodeEncodeError) as error:
        raise Invalid(
            f"{api_name(api_key)} cannot be asked with these arguments: {error}: see that names "
            "are plain text, and numbers no larger than Kafka's"
        ) from error
