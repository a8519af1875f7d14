"""Options of the commands that serve until they are told to stop: ``serve`` and ``live``.

All of them are None where nobody gave them: a file or the environment may say it instead.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer


def listener(help_text: str) -> Any:
    """An option that takes a HOST:PORT."""
    return typer.Option(metavar="HOST:PORT", help=help_text)


def settings_file(help_text: str) -> Any:
    """The option that names a TOML file."""
    return typer.Option(metavar="FILE", help=help_text)


def any_setting(example: str) -> Any:
    """The option that sets what has no flag of its own; may be given several times."""
    return typer.Option("--set", metavar="KEY=VALUE", help=f"Any other setting, as {example}.")


Insecure = Annotated[
    bool | None,
    typer.Option("--insecure", help="Allow a listener that others on the network can reach."),
]
Logging = Annotated[
    str | None,
    typer.Option(metavar="LEVEL", help="debug, info, warning or error, on stderr. [info]"),
]
