"""``mainstem live``: the log for web pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.serving import Insecure, Logging, any_setting, listener, settings_file

_BROKERS = typer.Option(
    envvar="MAINSTEM_BROKERS",
    metavar="HOST:PORT",
    help="Where the cluster is; several with commas. [127.0.0.1:9092]",
)
_LISTEN = listener("For browsers; port 0 is a free one. [127.0.0.1:9094]")
_WORKERS = typer.Option(metavar="N", help="Processes that own the sockets. [2]")
_HTTP = listener("Health, metrics and kicks, or 'none'. [none]")
_CONFIG = settings_file("TOML file: namespaces, access, limits.")
_SET = any_setting("namespaces.chat.kind=events")


def live(
    brokers: Annotated[str | None, _BROKERS] = None,
    listen: Annotated[str | None, _LISTEN] = None,
    workers: Annotated[int | None, _WORKERS] = None,
    http: Annotated[str | None, _HTTP] = None,
    config: Annotated[Path | None, _CONFIG] = None,
    assign: Annotated[list[str] | None, _SET] = None,
    insecure: Insecure = None,
    logging: Logging = None,
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
