"""``mainstem doctor``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.options import AsJson
from mainstem.cli.output import note, show


def doctor(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A node's data directory, or a state store.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check a node's data directory or a state store that nobody is using, and change nothing.

    Exit code 1 when something needs a person; warnings heal at the next start.
    """
    from mainstem.node import doctor as examine

    findings = list(examine(directory))
    rows = [[f.severity, str(f.path), f.offset, f.message] for f in findings]
    show(["severity", "path", "offset", "finding"], rows, as_json=as_json)
    counts = Counter(finding.severity for finding in findings)
    if not as_json:
        errors, warnings = counts["error"], counts["warning"]
        note(f"{len(findings)} findings: {errors} errors, {warnings} warnings")
    if counts["error"]:
        raise typer.Exit(1)
