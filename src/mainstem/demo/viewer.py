"""One viewer of the gateway, for the demo's own check: does the page tell the truth?"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from mainstem.demo.flights import Truth

_PATIENCE_S = 15.0
_SILENCE_S = 5.0


def year_on_the_page(gateway: str, truth: Truth) -> list[str]:
    """Every way in which ``score:AIRPORT`` differs from the count of the source, in words.

    Waits for what is still on its way, up to 15 s. ``gateway`` is ``HOST:PORT``.
    """
    wanted = {airport: _expected(airport, truth) for airport in sorted(truth.by_airport)}
    found: dict[str, Any] = dict.fromkeys(wanted)
    try:
        for channel, data in _listen(gateway, [f"score:{airport}" for airport in wanted]):
            found[channel.partition(":")[2]] = data
            if found == wanted:
                return []
    except (OSError, http.client.HTTPException, ValueError) as error:
        return [f"the live page's stream broke: {error}"]
    return [
        f"{airport} on the live page: {found[airport]}, {wanted[airport]} in the source file"
        for airport in wanted
        if found[airport] != wanted[airport]
    ]


def viewers(gateway: str) -> int:
    """How many pages are open now, of a gateway with one worker; 0 where it cannot say."""
    try:
        with closing(_connect(gateway)) as connection:
            connection.request("GET", "/live/stats")
            namespaces = json.loads(connection.getresponse().read())["namespaces"]
            return int(namespaces.get("board", {}).get("connections", 0))
    except (OSError, http.client.HTTPException, ValueError):
        return 0


def _expected(airport: str, truth: Truth) -> dict[str, int]:
    return {
        "departures": truth.by_airport[airport],
        "cancelled": _sum(truth.cancelled_by_airport_month, airport),
        "delay": _sum(truth.delay_by_airport_month, airport),
    }


def _sum(counts: dict[tuple[str, int], int], airport: str) -> int:
    return sum(count for (name, _), count in counts.items() if name == airport)


def _listen(gateway: str, channels: list[str]) -> Iterator[tuple[str, Any]]:
    """Channel and data of each event; ends when time is up."""
    deadline = time.monotonic() + _PATIENCE_S
    connection = _connect(gateway)
    try:
        connection.request("GET", "/live?" + "&".join(f"channel={name}" for name in channels))
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise ValueError(f"status {response.status}: {response.read(500).decode()}")
        named = False  # a block with an `event:` line is about the stream
        while time.monotonic() < deadline and (line := response.readline()):
            if line == b"\n":
                named = False
            elif line.startswith(b"event:"):
                named = True
            elif line.startswith(b"data:") and not named:
                event = json.loads(line[5:])
                yield event["channel"], event["data"]
    except TimeoutError:
        return
    finally:
        connection.close()


def _connect(gateway: str) -> http.client.HTTPConnection:
    host, _, port = gateway.rpartition(":")
    return http.client.HTTPConnection(host, int(port), timeout=_SILENCE_S)
