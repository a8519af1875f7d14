"""What is served where: streams, sockets, publishing, tickets, statistics and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from mainstem.errors import Closed, Conflict, Denied, Invalid, MainstemError, Unavailable
from mainstem.live.access import Refusal, RequestFacts, Right
from mainstem.live.channels import parse_channel
from mainstem.live.http import Request, answer

if TYPE_CHECKING:
    from mainstem.live.connection import HttpConnection
    from mainstem.live.gateway import Gateway

LONGEST_KEY = 255
_STATUS: list[tuple[type[MainstemError], int]] = [
    (Invalid, 400),
    (Denied, 403),
    (Conflict, 409),
    (Unavailable, 503),
    (Closed, 503),
]


async def serve(gateway: Gateway, connection: HttpConnection, request: Request) -> bytes | None:
    """The answer to one request; ``None`` when the connection has become a viewer."""
    headers: dict[str, str] = {"Cache-Control": "no-store"}
    if not request.keep_alive:
        headers["Connection"] = "close"
    try:
        facts = facts_of(request, connection.address)
        origin, host = facts.headers.get("origin"), facts.headers.get("host")
        headers.update(gateway.access.cors(origin, request.method, host=host))
        return await _route(gateway, connection, request, facts, headers)
    except MainstemError as error:
        gateway.refused[type(error).__name__] += 1
        return refusal(error, headers)


def facts_of(request: Request, address: str) -> RequestFacts:
    """What access looks at. Raises ``Invalid`` for a target that is no URL."""
    try:
        return RequestFacts.parse(request.method, request.target, request.headers, address)
    except ValueError as error:
        raise Invalid(f"the request's target is no URL: {error}") from None


def refusal(error: MainstemError, headers: dict[str, str]) -> bytes:
    """An error as HTTP: a status by what the caller must do, one sentence of JSON."""
    if isinstance(error, Refusal):
        more = {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:.0f}"}
        if error.status == 401:
            more["WWW-Authenticate"] = "Bearer"
        return answer(error.status, {**headers, **more}, error.body())
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if status == 503:
        headers = {**headers, "Retry-After": "2"}
    body = msgspec.json.encode({"error": str(error), "code": error.code})
    return answer(status, headers, body)


async def _route(
    gateway: Gateway,
    connection: HttpConnection,
    request: Request,
    facts: RequestFacts,
    headers: dict[str, str],
) -> bytes | None:
    method, path = request.method, facts.path
    if method == "OPTIONS":
        return answer(204, headers)
    if path == "/live" and method == "GET":
        from mainstem.live.sse import serve_stream

        return await serve_stream(gateway, connection, facts, headers)
    if path == "/live/ws" and method == "GET":
        from mainstem.live.handshake import serve_socket

        return await serve_socket(gateway, connection, request, facts, headers)
    if path == "/live/stats" and method == "GET":
        from mainstem.live.gauges import statistics

        await gateway.access.authenticate(facts)
        return answer(200, headers, msgspec.json.encode(statistics(gateway)))
    if path == "/live/ticket" and method == "POST":
        return await _ticket(gateway, facts, headers)
    if path.startswith("/live/") and method == "POST":
        return await _publish(gateway, request, facts, headers)
    page = gateway.config.pages.get(path)
    if page is not None and method in {"GET", "HEAD"}:
        kind, content = page
        return answer(200, {**headers, "Cache-Control": "no-cache"}, content, kind=kind)
    return _unknown(path, method, headers, known=page is not None)


def _unknown(path: str, method: str, headers: dict[str, str], *, known: bool) -> bytes:
    if known or path == "/live" or path.startswith("/live/"):
        allowed = "GET, OPTIONS" if known or path in {"/live", "/live/ws"} else "POST, OPTIONS"
        sentence = f"{method} is not for {path[:100]}: use {allowed}"
        body = msgspec.json.encode({"error": sentence, "code": "method"})
        return answer(405, {**headers, "Allow": allowed}, body)
    sentence = f"nothing is at {path[:100]}: streams are at /live, sockets at /live/ws"
    return answer(404, headers, msgspec.json.encode({"error": sentence, "code": "path"}))


async def _ticket(gateway: Gateway, facts: RequestFacts, headers: dict[str, str]) -> bytes:
    identity = await gateway.access.authenticate(facts)
    ticket = gateway.access.issue_ticket(identity)
    body = {"ticket": ticket, "seconds": gateway.access.ticket_seconds}
    return answer(200, headers, msgspec.json.encode(body))


async def _publish(
    gateway: Gateway, request: Request, facts: RequestFacts, headers: dict[str, str]
) -> bytes:
    identity = await gateway.access.authenticate(facts)
    try:
        name = unquote(facts.path.removeprefix("/live/"), errors="strict")
    except UnicodeDecodeError:
        raise Invalid("the channel's name in the path is not UTF-8") from None
    name = gateway.access.expand(identity, name)
    parse_channel(name)
    gateway.access.may(identity, Right.PUBLISH, name)
    gateway.access.admit_publish(identity, gateway.access.client_address(facts))
    key = facts.headers.get("idempotency-key")
    check_message(request.body, key)
    done = await gateway.desk.publish(name, request.body, key, identity.user)
    body = {
        "channel": name,
        "partition": done.stream[2],
        "offset": done.offset,
        "time": done.time,
        "duplicate": done.duplicate,
    }
    return answer(200, headers, msgspec.json.encode(body))


def check_message(body: bytes, key: str | None) -> None:
    """Raise ``Invalid`` unless ``body`` is one JSON value and ``key`` a sensible one."""
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        raise Invalid(f"an idempotency key has 1 to {LONGEST_KEY} printable characters")
    if not body:
        raise Invalid("the message is empty: send one JSON value as the body")
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"the message is not JSON: {error}") from None
