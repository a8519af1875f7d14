"""``/health/live``, ``/health/ready`` and ``/metrics``, served by the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainstem.http_server import health_routes
from mainstem.node import metrics, statistics

if TYPE_CHECKING:
    from mainstem.node.supervisor import Supervisor


def application(supervisor: Supervisor) -> Starlette:
    """The endpoints over one supervisor; other paths get a plain 404, other methods a 405."""

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
            *health_routes(supervisor.why_not_ready),
            Route("/metrics", scrape),
        ]
    )
