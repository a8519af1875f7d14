"""``/health/live``, ``/health/ready`` and ``/metrics``, served by the supervisor."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mainstem.node import metrics, statistics

if TYPE_CHECKING:
    from mainstem.node.supervisor import Supervisor

logger = logging.getLogger("mainstem.node")


def application(supervisor: Supervisor) -> Starlette:
    """The endpoints over one supervisor; other paths get a plain 404, other methods a 405."""

    async def live(_request: Request) -> Response:
        return PlainTextResponse("live\n")

    async def ready(_request: Request) -> Response:
        reason = await supervisor.why_not_ready()
        if reason is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"not ready: {reason}\n", 503)

    async def scrape(_request: Request) -> Response:
        broker = await supervisor.statistics()
        processes = {"supervisor": statistics.process()}
        if broker is not None:
            processes["broker"] = broker["process"]
        text = metrics.render(broker, processes, supervisor.restarts)
        for role in supervisor.roles:
            text += await role.metrics()
        return Response(text, media_type=metrics.CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", scrape),
        ]
    )


class HttpServer(uvicorn.Server):
    """uvicorn inside the supervisor's loop: signals stay the supervisor's."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__(
            uvicorn.Config(
                application(supervisor),
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
