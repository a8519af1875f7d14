"""``mainstem serve``. Imports no table, no progress bar, no column: start-up time counts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help="Data directory; created if missing. [./data]")
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Kafka listener; port 0 is free. [127.0.0.1:9092]"),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Health and metrics, or 'none'; port 0 is a free one. [127.0.0.1:9093]",
        ),
    ] = None,
    live: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Serve channels to web pages here; port 0 is free. [off]"
        ),
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="What clients are told to connect to. [--kafka]"),
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Allow a listener that others on the network can reach."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML file with the same keys; flags win over it."),
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other setting, as broker.num_partitions=3 or log.retention_ms=3600000.",
        ),
    ] = None,
    logging: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="debug, info, warning or error, on stderr. [info]"),
    ] = None,
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
