"""A real broker inside the test's process, on a free loopback port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstem.broker import Broker, BrokerConfig

_START_SECONDS = 30.0


@dataclass(slots=True)
class RunningBroker:
    """``address`` is ``"host:port"``; ``broker`` lives on another thread's event loop."""

    address: str
    broker: Broker
    _loop: asyncio.AbstractEventLoop

    def call(self, function: Callable[[], Any]) -> Any:
        """Run ``function`` on the broker's thread and return what it returns (or awaits)."""

        async def run() -> Any:
            result = function()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_START_SECONDS)


@contextmanager
def running_broker(data: Path, **options: Any) -> Iterator[RunningBroker]:
    """A broker on ``data`` (created or recovered) until the block ends, then a clean shutdown.

    ``options`` are those of ``BrokerConfig``; the port is a free one unless given.
    """
    import uvloop

    config = BrokerConfig(data=data, **{"port": 0, **options})
    broker = Broker(config)
    started = threading.Event()
    failure: list[BaseException] = []
    loop = uvloop.new_event_loop()

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(broker.start())
        except BaseException as error:
            failure.append(error)
            started.set()
            return
        started.set()
        loop.run_forever()

    thread = threading.Thread(target=run, name="mainstem-broker", daemon=True)
    thread.start()
    if not started.wait(_START_SECONDS):
        raise TimeoutError(f"the broker did not start within {_START_SECONDS} s")
    if failure:
        loop.close()
        raise failure[0]
    try:
        host, port = broker.address
        yield RunningBroker(f"{host}:{port}", broker, loop)
    finally:
        asyncio.run_coroutine_threadsafe(broker.close(), loop).result(_START_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
