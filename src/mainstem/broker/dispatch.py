"""From a frame to its handler, and from the handler's answer to a frame.

Requests of one connection are applied in order. A handler that waits holds the connection, as
Kafka does; only Produce and Fetch let later requests pass while they wait (replies still leave
in order).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from mainstem import wire
from mainstem.broker.apis import APIS, handler, server_of
from mainstem.broker.call import Call
from mainstem.errors import MainstemError

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.connection import Connection, Reply

logger = logging.getLogger("mainstem.broker")

_API_VERSIONS = 18
_UNSUPPORTED_VERSION = 35


class Dispatcher:
    """Serves frames for one broker, on its event loop."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._statistics = broker.counters

    def __call__(self, connection: Connection, data: memoryview, start: int, end: int) -> None:
        """Serve the request in ``data[start:end]``; ``data`` may be reused after the return."""
        try:
            header = wire.read_prefix(data, start, end)
            api = APIS.get(header.api_key)
            if api is None or not api.lowest <= header.api_version <= api.highest:
                self._refuse_version(connection, header)
                return
            call = Call(self._broker, header.api_version, header.client_id, f"/{connection.host}")
            serve = server_of(header.api_key)
            started = time.perf_counter()
            if serve is None:
                self._serve_message(connection, header, call, data, end, started)
                return
            # Produce and Fetch answer with parts of a frame, and read the request in place.
            answer = serve(header, call, data, end)
            if answer is None:
                pass  # acks=0: nothing is sent
            elif isinstance(answer, list):
                connection.send(answer)
            else:
                self._later(connection, api.name, answer, started)
                return
            self._statistics.served(api.name, time.perf_counter() - started)
        except MainstemError as error:
            logger.warning("closing the connection from %s: %s", connection.host, error)
            connection.close()
        except Exception:
            logger.exception("closing the connection from %s: a handler failed", connection.host)
            connection.close()

    def _refuse_version(self, connection: Connection, header: wire.RequestHeader) -> None:
        """Kafka's answer: ApiVersions v0 with error 35 (KIP-511), for the rest the door."""
        if header.api_key == _API_VERSIONS:
            body = handler(_API_VERSIONS)(None, Call(self._broker, 0))
            body.error_code = _UNSUPPORTED_VERSION
            encoded = wire.encode_response(_API_VERSIONS, 0, body)
            connection.send([wire.response_frame(_API_VERSIONS, 0, header.correlation_id, encoded)])
            return
        logger.warning(
            "closing the connection from %s: API key %d version %d is not served",
            connection.host,
            header.api_key,
            header.api_version,
        )
        connection.close()

    def _serve_message(
        self,
        connection: Connection,
        header: wire.RequestHeader,
        call: Call,
        data: memoryview,
        end: int,
        started: float,
    ) -> None:
        key, version = header.api_key, header.api_version
        offset = wire.body_start(header, data, end)
        request = wire.decode_request(key, version, data, offset, end)
        answer = handler(key)(request, call)
        if inspect.iscoroutine(answer):
            connection.hold()
            self._later(connection, APIS[key].name, answer, started, partial(_frame, header))
            return
        connection.send(_frame(header, answer))
        self._statistics.served(APIS[key].name, time.perf_counter() - started)

    def _later(
        self,
        connection: Connection,
        api: str,
        answer: Awaitable[Any],
        started: float,
        finish: Callable[[Any], list[Any]] | None = None,
    ) -> None:
        """Answer in this request's turn, once ``answer`` is there; ``finish`` makes the frame."""
        reply = connection.reserve_reply()
        done = partial(self._answered, connection, reply, api, started, finish)
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(done)
            return
        task = asyncio.ensure_future(answer)
        connection.tasks.add(task)
        task.add_done_callback(done)

    def _answered(
        self,
        connection: Connection,
        reply: Reply,
        api: str,
        started: float,
        finish: Callable[[Any], list[Any]] | None,
        done: asyncio.Future[Any],
    ) -> None:
        connection.tasks.discard(done)
        if done.cancelled():
            connection.close()
            return
        error = done.exception()  # also tells asyncio that it has been seen
        if connection.closed:
            return
        try:
            if error is not None:
                raise error
            parts = done.result() if finish is None else finish(done.result())
        except MainstemError as refused:
            logger.warning("closing the connection from %s: %s", connection.host, refused)
            connection.close()
            return
        except Exception:
            logger.exception("closing the connection from %s: %s failed", connection.host, api)
            connection.close()
            return
        self._statistics.served(api, time.perf_counter() - started)
        connection.fulfil(reply, parts)
        connection.release_if_held()


def _frame(header: wire.RequestHeader, message: wire.Message) -> list[Any]:
    key, version = header.api_key, header.api_version
    body = wire.encode_response(key, version, message)
    return [wire.response_frame(key, version, header.correlation_id, body)]
