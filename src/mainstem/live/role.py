"""The gateway of a node: dispatcher, workers and operators' port, from start to drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mimetypes
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mainstem.client import ClientConfig, Cluster, Sasl, parse_addresses
from mainstem.errors import Invalid, MainstemError, Unavailable
from mainstem.live import bus, listening
from mainstem.live.settings import LiveSettings, Namespace

if TYPE_CHECKING:
    from mainstem.live.dispatcher import Dispatcher
    from mainstem.live.supervisor import Workers

logger = logging.getLogger("mainstem.live")

_RETRY_S = 15.0
_PAGES_BYTES = 16 << 20


class LiveRole:
    """Dispatcher, workers and operators' port on one event loop."""

    def __init__(
        self, settings: LiveSettings, holder: socket.socket, http: socket.socket | None
    ) -> None:
        self.settings = settings
        self._holder = holder
        self._http = http
        self._reason = "the gateway is starting"
        self._stopping = asyncio.Event()
        self._signals = 0
        self._cluster = Cluster(parse_addresses(settings.brokers), client_config(settings))
        self._loopback = listening.is_loopback(holder)
        self.namespaces = settings.served(on_loopback=self._loopback)
        if not self.namespaces:
            raise Invalid(
                "no namespace is configured: off loopback nothing is open by itself; add "
                '[namespaces.comments] with kind = "events" and its [access] to the --config'
            )
        from mainstem.live.audience import viewer_settings

        viewer_settings(settings.viewers)  # said now, not when the cluster has answered
        self._access = access_settings(settings, self.namespaces, loopback=self._loopback)
        self._pages = read_pages(settings.pages)

        self._dispatcher: Dispatcher
        self._workers: Workers

    async def run(self, when_ready: Callable[[], None]) -> None:
        """Until ``stop``. Raises ``Unavailable`` where it cannot start."""
        from mainstem.live.dispatcher import Dispatcher
        from mainstem.live.supervisor import Workers

        try:
            await self._reach_cluster()
            self._dispatcher = Dispatcher(self._cluster, self.settings, self.namespaces)
            await self._dispatcher.start()
            try:
                key = await self._dispatcher.cursor_key()
                count = self.settings.worker_count
                self._workers = Workers(
                    self._dispatcher,
                    count,
                    lambda number: self._configure(number, key),
                    self.settings.worker_silence_seconds,
                )
                await self._serve(when_ready)
            finally:
                await self._dispatcher.close()
        finally:
            await self._cluster.close()

    def stop(self) -> None:
        """Let go; said twice, at once."""
        self._signals += 1
        self._reason = "the gateway is shutting down"
        self._stopping.set()
        if self._signals > 1 and hasattr(self, "_workers"):
            logger.warning("told twice: killing the workers; viewers come back with their cursor")
            self._workers.kill()

    async def why_not_ready(self) -> str | None:
        """None while viewers are served and the cluster answers; else the reason."""
        if self._reason:
            return self._reason
        if self._workers.listening < self.settings.worker_count:
            return "a worker is being started again"
        try:
            async with asyncio.timeout(2.0):
                await self._cluster.refresh([], self._cluster.deadline(2.0))
        except (MainstemError, TimeoutError):
            return f"the cluster at {self._cluster.name} gave no answer within 2 s"
        return None

    def metrics(self) -> bytes:
        """Prometheus's text."""
        from mainstem.live import metrics

        return metrics.render(self._dispatcher, self._workers)

    async def kick(self, user: str | None, token_id: str | None, reason: str) -> None:
        """Put somebody out of all gateways of the cluster. Raises what appending raises."""
        await self._dispatcher.kicks.kick(user, token_id, reason)

    # --- inside ------------------------------------------------------------------------------

    async def _reach_cluster(self) -> None:
        """A gateway may be started before its cluster: half a minute is given."""
        deadline, told = time.monotonic() + 30.0, False
        while True:
            try:
                await self._cluster.start()
                return
            except Unavailable as error:
                if self._stopping.is_set() or time.monotonic() > deadline:
                    raise
                if not told:
                    logger.warning("waiting for the cluster: %s", error)
                told = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    await self._stopping.wait()

    async def _serve(self, when_ready: Callable[[], None]) -> None:
        from mainstem.http_server import HttpServer
        from mainstem.live.operators import application

        server = None if self._http is None else HttpServer(application(self))
        serving = None
        if server is not None and self._http is not None:
            serving = asyncio.create_task(server.run_on(self._http))
        try:
            await self._workers.start()
            if not self._stopping.is_set():
                self._reason = ""
                when_ready()
            await self._stopping.wait()
            await self._workers.drain(self.settings.drain_seconds)
        finally:
            self._workers.kill()
            if server is not None and serving is not None:
                server.stop()
                await serving

    def _configure(self, number: int, key: bytes) -> bus.Configure:
        from mainstem.live.audience import viewer_settings

        host, port = self._holder.getsockname()[:2]
        settings = self.settings
        return bus.Configure(
            worker=number,
            host=host,
            port=port,
            cursor_key=key,
            access=self._access,
            viewers=msgspec.json.encode(viewer_settings(settings.viewers)),
            pages=self._pages,
            window_ms=settings.window_ms,
            heartbeat_s=settings.heartbeat_seconds,
            ring_bytes=settings.ring_bytes,
            max_connections=settings.max_connections,
            max_body_bytes=settings.max_publish_bytes,
            linger_s=settings.linger_seconds,
            node=self._dispatcher.name,
            revoked=[
                (kick.user, kick.token_id, kick.at or 0.0)
                for kick in self._dispatcher.kicks.remembered()
            ],
        )


def client_config(settings: LiveSettings) -> ClientConfig:
    """How the cluster is talked to. A publish waits for it at most as long as ``retry_for``."""
    login = None
    if settings.username:
        login = Sasl(settings.mechanism, settings.username, settings.password)  # type: ignore[arg-type]
    return ClientConfig(
        client_id="mainstem-live",
        connect_timeout=5.0,
        retry_for=_RETRY_S,
        security=login,
        tls=settings.tls or None,
    )


def access_settings(
    settings: LiveSettings, namespaces: Mapping[str, Namespace], *, loopback: bool
) -> bytes:
    """The JSON of one worker's ``AccessSettings``.

    On loopback, where nothing is said about access, the configured namespaces are as open as
    those out of the box. Raises ``Invalid``.
    """
    from mainstem.live.access import read_settings

    table = dict(settings.access)
    if loopback and not table.get("namespaces") and not table.get("tokens"):
        everything = ["subscribe", "publish", "history", "presence"]
        names = [*namespaces, "viewers", "presence"]
        table["namespaces"] = {name: {"anonymous": everything} for name in names}
    found = read_settings(table, loopback=loopback, workers=settings.worker_count)
    return msgspec.json.encode(found)


def read_pages(directory: str) -> dict[str, tuple[str, bytes]]:
    """Files under ``directory`` by their path on the gateway; ``index.html`` is the folder."""
    if not directory:
        return {}
    root = Path(directory)
    if not root.is_dir():
        raise Invalid(f"pages is {directory!r}: it must be a directory of files to serve")
    pages: dict[str, tuple[str, bytes]] = {}
    size = 0
    for path in sorted(root.rglob("*")):
        if not path.is_file():
            continue
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if kind.startswith("text/"):
            kind += "; charset=utf-8"
        body = path.read_bytes()
        size += len(body)
        if size > _PAGES_BYTES:
            raise Invalid(f"pages in {directory} are more than {_PAGES_BYTES >> 20} MiB")
        name = "/" + path.relative_to(root).as_posix()
        pages[name] = (kind, body)
        if path.name == "index.html":
            pages[name.removesuffix("index.html")] = (kind, body)
    return pages
