"""The operators' port: health, metrics, and putting somebody out."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mainstem.errors import MainstemError
from mainstem.live import metrics
from mainstem.live.kicks import LONGEST_NAME

if TYPE_CHECKING:
    from mainstem.live.role import LiveRole

logger = logging.getLogger("mainstem.live")


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]


class KickRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to put out of all gateways: a user, or the holder of a token (its ``jti``)."""

    user: Name | None = None
    token_id: Name | None = None
    reason: str = "revoked"


def application(role: LiveRole) -> Starlette:
    """``/health/live``, ``/health/ready``, ``/metrics`` and ``POST /kick``."""

    async def live(_request: Request) -> Response:
        return PlainTextResponse("live\n")

    async def ready(_request: Request) -> Response:
        reason = await role.why_not_ready()
        if reason is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"not ready: {reason}\n", 503)

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
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", scrape),
            Route("/kick", kick, methods=["POST"]),
        ]
    )


class OperatorServer(uvicorn.Server):
    """uvicorn inside the dispatcher's loop: signals stay the role's."""

    def __init__(self, role: LiveRole) -> None:
        super().__init__(
            uvicorn.Config(
                application(role),
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                limit_concurrency=200,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield

    async def run_on(self, listener: socket.socket) -> None:
        """Serves until ``should_exit`` is set."""
        await self.serve(sockets=[listener])
