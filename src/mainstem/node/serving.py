"""``mainstem serve``: from settings to a running node, and from errors to one sentence."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mainstem.errors import Invalid, MainstemError
from mainstem.node import config as settings
from mainstem.node import listeners
from mainstem.node.child import Child
from mainstem.node.config import NodeConfig
from mainstem.node.directory import Address, Directory, acquire

if TYPE_CHECKING:
    from mainstem.node.supervisor import Supervisor

EXIT_FAILED = 1
EXIT_USAGE = 2
NO_HTTP = "none"


def serve(
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> int:
    """Runs a node until SIGTERM or Ctrl-C; returns the exit code, having said why on stderr.

    Prints exactly one line on standard output, when clients are served:
    ``ready kafka=HOST:PORT http=HOST:PORT data=DIR``, and ``live=HOST:PORT`` behind it where that
    role runs. Call it in the main thread.
    """
    try:
        config = settings.gather(
            file,
            os.environ if environment is None else environment,
            {**settings.assignments(assignments), **(flags or {})},
        )
        return _run(config)
    except KeyboardInterrupt:  # before the event loop takes the signals
        return 0
    except MainstemError as error:
        usage = isinstance(error, Invalid)
        return _say(str(error), EXIT_USAGE if usage else EXIT_FAILED)


@dataclass(frozen=True, slots=True)
class _Node:
    """What is ours from here on."""

    config: NodeConfig
    directory: Directory
    kafka: socket.socket
    http: socket.socket | None

    def start_broker(self) -> Child:
        advertise = self.config.advertise
        advertised = None
        if advertise is not None:
            advertised = settings.parse_address(advertise, "advertised")
        return Child(self.config, advertised, self.kafka, self.directory.descriptor)

    def address(self) -> Address:
        kafka = listeners.join(*listeners.reachable(self.kafka))
        http = listeners.join(*listeners.reachable(self.http)) if self.http else None
        return Address(kafka=kafka, http=http, pid=os.getpid())


def _run(config: NodeConfig) -> int:
    path = Path(config.data).expanduser().absolute()
    config = msgspec.structs.replace(config, data=str(path))
    with ExitStack() as resources:
        directory = acquire(path)
        resources.callback(directory.release)
        kafka = listeners.listen(config.kafka, "kafka", insecure=config.insecure)
        resources.callback(kafka.close)
        http = None
        if config.http != NO_HTTP:
            http = listeners.listen(config.http, "http", insecure=config.insecure)
            resources.callback(http.close)
        node = _Node(config, directory, kafka, http)
        # The broker first: it starts on one core while this process imports on the other.
        child = node.start_broker()
        return _supervise(node, child)


def _supervise(node: _Node, child: Child) -> int:
    import asyncio

    from mainstem.node import logs
    from mainstem.node.supervisor import Failed

    logs.configure(node.config.logging)
    try:
        asyncio.run(_attend(node, child))
    except Failed as error:
        return _say(str(error), EXIT_USAGE if error.usage else EXIT_FAILED)
    return 0


async def _attend(node: _Node, child: Child) -> None:
    import asyncio

    from mainstem.node.supervisor import Supervisor

    supervisor = Supervisor(node.start_broker, node.kafka)

    tasks: list[asyncio.Task[None]] = []

    def when_ready() -> None:
        node.directory.announce(node.address())
        if "listen" in node.config.live:
            tasks.append(asyncio.create_task(_live(node, supervisor)))
        else:
            _say_ready(node)

    running = asyncio.create_task(supervisor.run(child, when_ready))
    if node.http is None:
        await running
        return
    await asyncio.sleep(0)  # signal handlers are installed before the long import
    from mainstem.http_server import HttpServer
    from mainstem.node.http import application

    server = HttpServer(application(supervisor))
    serving = asyncio.create_task(server.run_on(node.http))
    try:
        await running
    finally:
        server.stop()
        await serving


async def _live(node: _Node, supervisor: Supervisor) -> None:
    """The live role, for as long as the node runs."""
    from mainstem.node.roles import Role
    from mainstem.node.supervisor import Failed

    given: dict[str, Any] = {"brokers": node.address().kafka, "logging": node.config.logging}
    given |= {"insecure": node.config.insecure} | node.config.live
    role = Role("live", "mainstem.live.child", given, "live")
    supervisor.roles.append(role)
    try:
        await role.run(lambda address: _say_ready(node, f" live={address}"))
    except Failed as failure:
        supervisor.fail(failure)


def _say_ready(node: _Node, more: str = "") -> None:
    kafka = listeners.bound(node.kafka)
    http = listeners.bound(node.http) if node.http else NO_HTTP
    print(f"ready kafka={kafka} http={http} data={node.config.data}{more}", flush=True)  # noqa: T201


def _say(sentence: str, code: int) -> int:
    print(f"mainstem serve: {sentence}", file=sys.stderr)  # noqa: T201
    return code
