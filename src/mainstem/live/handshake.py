"""``GET /live/ws``: from an HTTP request to a WebSocket viewer (RFC 6455, section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from mainstem.errors import Unavailable
from mainstem.live.access import PROTOCOL, RequestFacts
from mainstem.live.http import Request, answer, head
from mainstem.live.websocket import SocketViewer

if TYPE_CHECKING:
    from mainstem.live.connection import HttpConnection
    from mainstem.live.gateway import Gateway


async def serve_socket(
    gateway: Gateway,
    connection: HttpConnection,
    request: Request,
    facts: RequestFacts,
    headers: dict[str, str],
) -> bytes | None:
    """Shake hands and make the connection a viewer; or the answer that says why not."""
    if not request.upgrade:
        body = b'{"error":"this is a WebSocket: send Upgrade: websocket","code":"upgrade"}'
        return answer(426, {**headers, "Upgrade": "websocket", "Connection": "Upgrade"}, body)
    if gateway.full:
        gateway.shed += 1
        raise Unavailable("this worker is full or shutting down: try again in 30 s")
    identity = await gateway.access.authenticate(facts)
    response = _accept(request, headers)
    if not response.startswith(b"HTTP/1.1 101"):
        request.keep_alive = False
        return response
    admission = gateway.access.admit(identity, gateway.access.client_address(facts))
    if gateway.sender.write(connection.id, response) < 0:
        admission.release()
        connection.closed()
        return None
    viewer = SocketViewer(gateway, connection.id, identity, facts, admission)
    viewer.readable()
    return None


def _accept(request: Request, headers: dict[str, str]) -> bytes:
    """RFC 6455, section 4.2.2, by the library; no extension: frames are shared."""
    given = Headers()
    for name, value in request.headers:
        given[name.decode("latin-1")] = value.decode("latin-1").strip()
    protocol = ServerProtocol(select_subprotocol=_subprotocol)
    response = protocol.accept(Handshake(request.target, given))
    if response.status_code != 101:
        body = msgspec.json.encode({"error": response.body.decode().strip(), "code": "handshake"})
        return answer(response.status_code, {**headers, "Connection": "close"}, body)
    ours = {k: v for k, v in headers.items() if k not in {"Connection", "Cache-Control"}}
    return head(101, {**ours, **dict(response.headers.raw_items())})


def _subprotocol(_: ServerProtocol, offered: Any) -> Subprotocol | None:
    return Subprotocol(PROTOCOL) if PROTOCOL in offered else None
