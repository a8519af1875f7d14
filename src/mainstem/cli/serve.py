"""``mainstem serve``. Imports no table, no progress bar, no column: start-up time counts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.serving import Insecure, Logging, any_setting, listener, settings_file

_DATA = typer.Option(metavar="DIR", help="Data directory; created if missing. [./data]")
_KAFKA = listener("Kafka listener; port 0 is free. [127.0.0.1:9092]")
_HTTP = listener("Health and metrics, or 'none'; port 0 is a free one. [127.0.0.1:9093]")
_LIVE = listener("Serve channels to web pages here; port 0 is free. [off]")
_ADVERTISE = listener("What clients are told to connect to. [--kafka]")
_CONFIG = settings_file("TOML file with the same keys; flags win over it.")
_SET = any_setting("broker.num_partitions=3 or log.retention_ms=3600000")


def serve(
    data: Annotated[str | None, _DATA] = None,
    kafka: Annotated[str | None, _KAFKA] = None,
    http: Annotated[str | None, _HTTP] = None,
    live: Annotated[str | None, _LIVE] = None,
    advertise: Annotated[str | None, _ADVERTISE] = None,
    insecure: Insecure = None,
    config: Annotated[Path | None, _CONFIG] = None,
    assign: Annotated[list[str] | None, _SET] = None,
    logging: Logging = None,
) -> None:
    """Serve a data directory to any Kafka client, until Ctrl-C or SIGTERM.

    Prints one line when ready: ready kafka=HOST:PORT http=HOST:PORT data=DIR, and with --live
    also live=HOST:PORT.
    The HTTP listener has /health/live, /health/ready and /metrics.
    Settings come from --config FILE, then MAINSTEM_… in the environment, then flags.
    """
    from mainstem.node import serve as run

    flags = {
        "data": data,
        "kafka": kafka,
        "http": http,
        "live.listen": live,
        "advertise": advertise,
        "insecure": insecure,
        "logging": logging,
    }
    raise typer.Exit(run(flags, file=config, assignments=assign or ()))
