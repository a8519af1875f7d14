"""A gateway as a process: from settings to a running one, and from errors to one sentence.

One line on standard output when viewers are served: ``ready live=HOST:PORT http=HOST:PORT``.
SIGTERM and Ctrl-C let the viewers go within ``drain_seconds``; a second one ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from mainstem.errors import Invalid, MainstemError, Unavailable
from mainstem.live import listening
from mainstem.live import settings as configuration
from mainstem.live.role import LiveRole
from mainstem.live.settings import NO_HTTP, LiveSettings

EXIT_FAILED, EXIT_USAGE = 1, 2
_EXTRA = ("httptools", "jwt", "websockets")


def run(
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Runs a gateway until SIGTERM or Ctrl-C; returns the exit code, having said why on stderr."""
    try:
        environ = os.environ if environment is None else environment
        settings = configuration.gather(file, environ, flags or {})
        return run_with(settings, _print_ready)
    except KeyboardInterrupt:  # before the event loop takes the signals
        return 0
    except MainstemError as error:
        print(f"mainstem live: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE if isinstance(error, Invalid) else EXIT_FAILED


def run_with(
    settings: LiveSettings,
    ready: Callable[[str, str], None],
    beside: Callable[[LiveRole], Coroutine[Any, Any, None]] | None = None,
) -> int:
    """Runs a gateway; ``ready`` gets its live and http addresses, ``beside`` runs from then on.

    Raises ``MainstemError``.
    """
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise Invalid(
            f"live needs {', '.join(missing)}, which is not installed: pip install 'mainstem[live]'"
        )
    with contextlib.ExitStack() as resources:
        holder = listening.reserve(settings.listen, "live", insecure=settings.insecure)
        resources.callback(holder.close)
        http = None
        if settings.http != NO_HTTP:
            http = listening.reserve(settings.http, "http", insecure=settings.insecure)
            resources.callback(http.close)
            http.listen(128)
            http.setblocking(False)
        return _run(settings, holder, http, ready, beside)


def _run(
    settings: LiveSettings,
    holder: socket.socket,
    http: socket.socket | None,
    ready: Callable[[str, str], None],
    beside: Callable[[LiveRole], Coroutine[Any, Any, None]] | None,
) -> int:
    import uvloop

    async def main() -> None:
        role = LiveRole(settings, holder, http)
        _log_to_stderr(settings.logging)  # nothing to log before: errors are raised
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, role.stop)
        tasks = []

        def when_ready() -> None:
            ready(listening.bound(holder), listening.bound(http) if http else NO_HTTP)
            if beside is not None:
                tasks.append(loop.create_task(beside(role)))

        try:
            await role.run(when_ready)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(main())
        except TimeoutError as error:
            raise Unavailable("the workers did not start in time: see the log above") from error
    return 0


def _print_ready(live: str, http: str) -> None:
    print(f"ready live={live} http={http}", flush=True)  # noqa: T201


def _log_to_stderr(level: str) -> None:
    logging.Formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
