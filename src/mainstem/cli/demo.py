"""``mainstem demo``."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    speed: Annotated[
        str,
        typer.Option(
            metavar="max|FACTOR",
            help="Seconds of event time per second: 3600 is an hour a second; max does not wait.",
        ),
    ] = "max",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the node and its live page up; Ctrl-C ends them.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the results as one JSON object.")
    ] = False,
) -> None:
    """Replay a year of real departures through a real log, and check what comes out.

    Starts a node on free ports in a temporary directory, replays the 336,776 flights that left
    New York City in 2013 in event-time order, reads them back as Arrow, and answers questions.
    The address it prints first is a live page of their departures, for any browser.
    """
    from mainstem.demo import run_demo

    raise typer.Exit(run_demo(speed=speed, keep=keep, as_json=json))
