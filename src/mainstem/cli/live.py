"""``mainstem live``: the log for web pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def live(
    brokers: Annotated[
        str | None,
        typer.Option(
            envvar="MAINSTEM_BROKERS",
            metavar="HOST:PORT",
            help="Where the cluster is; several with commas. [127.0.0.1:9092]",
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="For browsers; port 0 is a free one. [127.0.0.1:9094]"
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes that own the sockets. [2]")
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Health, metrics and kicks, or 'none'. [none]"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML file: namespaces, access, limits."),
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any other setting, as namespaces.chat.kind=events."
        ),
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Allow a listener that others on the network can reach."),
    ] = None,
    logging: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="debug, info, warning or error, on stderr. [info]"),
    ] = None,
) -> None:
    """Serve channels of the log to web pages, until Ctrl-C or SIGTERM.

    Prints one line when ready: ready live=HOST:PORT http=HOST:PORT.
    On loopback it is open without configuration: comments:ID, likes:ID, score:ID, viewers:ID.
    Settings come from --config FILE, then MAINSTEM_LIVE_… in the environment, then flags.
    """
    from mainstem.cli.options import settings
    from mainstem.live import run

    flags = {
        "brokers": brokers,
        "listen": listen,
        "workers": workers,
        "http": http,
        "insecure": insecure,
        "logging": logging,
        **settings(assign, "--set"),
    }
    raise typer.Exit(run(flags, file=config))
