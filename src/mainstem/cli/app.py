"""The commands and their order in ``--help``."""

from __future__ import annotations

import typer

from mainstem.cli import group, topic
from mainstem.cli.consume import consume
from mainstem.cli.demo import demo
from mainstem.cli.doctor import doctor
from mainstem.cli.live import live
from mainstem.cli.login import ClusterCommand
from mainstem.cli.produce import produce
from mainstem.cli.serve import serve

app = typer.Typer(
    help="A Kafka-compatible event streaming platform in one Python package.",
    epilog="Most commands take --brokers HOST:PORT (default $MAINSTEM_BROKERS, 127.0.0.1:9092).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.add_typer(topic.app, name="topic")
app.command(cls=ClusterCommand)(produce)
app.command(cls=ClusterCommand)(consume)
app.add_typer(group.app, name="group")
app.command()(live)
app.command()(doctor)
app.command()(demo)


def _version(wanted: bool) -> None:
    if wanted:
        from mainstem import __version__

        print(f"mainstem {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """A Kafka-compatible event streaming platform in one Python package."""
    del version
