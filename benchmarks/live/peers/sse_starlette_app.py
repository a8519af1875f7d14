"""The peer most Python programs use: sse-starlette on uvicorn, one queue per viewer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

viewers: set[asyncio.Queue[str]] = set()
numbers = iter(range(1 << 62))


async def live(_: Request) -> EventSourceResponse:
    async def events() -> AsyncIterator[ServerSentEvent]:
        queue: asyncio.Queue[str] = asyncio.Queue(1000)
        viewers.add(queue)
        try:
            while True:
                yield ServerSentEvent(await queue.get(), id=str(next(numbers)))
        finally:
            viewers.discard(queue)

    return EventSourceResponse(events(), ping=3600)


async def publish(request: Request) -> Response:
    body = (await request.body()).decode()
    for queue in viewers:
        if not queue.full():
            queue.put_nowait(body)
    return Response(status_code=204)


app = Starlette(
    routes=[Route("/live", live), Route("/publish", publish, methods=["POST"])],
)
