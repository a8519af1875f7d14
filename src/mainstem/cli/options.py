"""Options that several commands share, and what users may write in them."""

from __future__ import annotations

import datetime
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mainstem.client import Point
    from mainstem.face import Stem

Brokers = Annotated[
    str,
    typer.Option(
        "--brokers",
        envvar="MAINSTEM_BROKERS",
        metavar="HOST:PORT",
        help="Where the cluster is; several with commas.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
BROKERS = "127.0.0.1:9092"
PLACES = "earliest|latest|OFFSET|TIME"


def connect(brokers: str) -> Stem:
    """The cluster at ``--brokers``, logged in as the command's options say."""
    from mainstem.cli.login import Login
    from mainstem.face import connect as open_stem

    login = Login()
    return open_stem(login.brokers(brokers), security=login.sasl(), tls=login.tls())


def place(text: str, option: str) -> Point:
    """``earliest``, ``latest``, an offset, or an ISO 8601 time (local where it has no zone)."""
    if text in {"earliest", "latest"}:
        return text
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return datetime.datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a place: write earliest, latest, an offset, or a time such as "
            f"2026-01-31T12:00:00Z",
            param_hint=option,
        ) from None


def settings(pairs: list[str] | None, option: str = "--config") -> dict[str, str | None]:
    """``k=v`` pairs; an empty value means "back to the default"."""
    found: dict[str, str | None] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint=option)
        found[name.strip()] = value.strip() or None
    return found


class Declined(Exception):  # noqa: N818 - not an error of ours: the user's own word
    """Nothing was done; ``main`` says why and ends with ``exit_code``."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code

    def format_message(self) -> str:
        """As the command parser's own errors have it."""
        return str(self)


def confirm(question: str) -> None:
    """Ask before something is lost. Raises ``Declined`` for "no", and where nobody can answer."""
    stream = sys.stdin  # None where the process was started without one
    if stream is not None and stream.isatty():
        agreed = typer.confirm(question, err=True)
    else:
        answer = "" if stream is None else stream.readline()
        if not answer:
            raise Declined(f"{question} Nobody is there to answer: add --yes", 2)
        typer.echo(f"{question} {answer.strip()}", err=True)
        agreed = answer.strip().lower() in {"y", "yes"}
    if not agreed:
        raise Declined("nothing was changed", 1)
