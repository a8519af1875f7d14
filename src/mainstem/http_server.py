"""The operators' HTTP port, as the rooms that serve one have it: health endpoints and a server.

Ground that every room stands on, like ``errors`` and ``clock``: it imports nothing of ours, and
uvicorn and starlette only where they are used, for most processes serve no HTTP.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route


def health_routes(why_not_ready: Callable[[], Awaitable[str | None]]) -> list[Route]:
    """``/health/live`` and ``/health/ready``; the latter answers 503 with what is missing."""
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def live(_request: Request) -> Response:
        return PlainTextResponse("live\n")

    async def ready(_request: Request) -> Response:
        reason = await why_not_ready()
        if reason is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"not ready: {reason}\n", 503)

    return [Route("/health/live", live), Route("/health/ready", ready)]


class HttpServer:
    """uvicorn inside a loop that is somebody else's, as are the signals. One use, one loop."""

    def __init__(self, application: Starlette) -> None:
        self._server = _without_signals(application)

    async def run_on(self, listener: socket.socket) -> None:
        """Serves until ``stop`` was called and the last answers are out, a second at most."""
        await self._server.serve(sockets=[listener])

    def stop(self) -> None:
        """Lets ``run_on`` come to its end."""
        self._server.should_exit = True


def _without_signals(application: Starlette) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Nothing to capture."""
            yield

    return Server(
        uvicorn.Config(
            application,
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
