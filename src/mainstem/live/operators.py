"""The operators' port: health, metrics, and putting somebody out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mainstem.errors import MainstemError
from mainstem.http_server import health_routes
from mainstem.live import metrics
from mainstem.live.kicks import LONGEST_NAME

if TYPE_CHECKING:
    from mainstem.live.role import LiveRole


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]


class KickRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to put out of all gateways: a user, or the holder of a token (its ``jti``)."""

    user: Name | None = None
    token_id: Name | None = None
    reason: str = "revoked"


def application(role: LiveRole) -> Starlette:
    """``/health/live``, ``/health/ready``, ``/metrics`` and ``POST /kick``."""

    async def scrape(_request: Request) -> Response:
        return Response(role.metrics(), media_type=metrics.CONTENT_TYPE_LATEST)

    async def kick(request: Request) -> Response:
        # What a page of another origin can send without being asked is not of this type.
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return JSONResponse({"error": "send Content-Type: application/json"}, 415)
        try:
            wanted = msgspec.json.decode(await request.body(), type=KickRequest)
        except msgspec.DecodeError as error:
            return JSONResponse({"error": f"the body is no kick: {error}"}, 400)
        if (wanted.user is None) == (wanted.token_id is None):
            return JSONResponse({"error": "name a user or a token_id, one of them"}, 400)
        try:
            await role.kick(wanted.user, wanted.token_id, wanted.reason)
        except MainstemError as error:
            return JSONResponse({"error": str(error)}, 503)
        return JSONResponse({"ok": True})

    return Starlette(
        routes=[
            *health_routes(role.why_not_ready),
            Route("/metrics", scrape),
            Route("/kick", kick, methods=["POST"]),
        ]
    )
