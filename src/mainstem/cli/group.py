"""``mainstem group``."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstem.cli.login import ClusterCommand
from mainstem.cli.options import BROKERS, PLACES, AsJson, Brokers, confirm, connect, place
from mainstem.cli.output import note, show

app = typer.Typer(help="List, describe, reset and delete consumer groups.", no_args_is_help=True)
Group = Annotated[str, typer.Argument(metavar="GROUP", help="The consumer group.")]


@app.command("list", cls=ClusterCommand)
def list_groups(brokers: Brokers = BROKERS, as_json: AsJson = False) -> None:
    """List all groups with their lag."""
    with connect(brokers) as stem:
        found = [(each, stem.describe_group(each.name)) for each in stem.groups()]
    rows = [[each.name, each.state, len(group.members), group.lag] for each, group in found]
    show(["group", "state", "members", "lag"], rows, as_json=as_json)


@app.command(cls=ClusterCommand)
def describe(group: Group, brokers: Brokers = BROKERS, as_json: AsJson = False) -> None:
    """Show a group's members, committed offsets and lag."""
    with connect(brokers) as stem:
        found = stem.describe_group(group)
    if not as_json:
        members = ", ".join(f"{m.client_id} {m.host}" for m in found.members)
        note(f"group {group!r}  {found.state}  {found.assignor}  members: {members or 'none'}")
    rows = [
        [group, found.state, part.topic, part.partition, part.committed, part.end, part.lag]
        for part in found.offsets
    ]
    columns = ["group", "state", "topic", "partition", "committed", "end", "lag"]
    show(columns, rows, as_json=as_json)


@app.command(cls=ClusterCommand)
def reset(
    group: Group,
    topic: Annotated[str, typer.Option("--topic", metavar="TOPIC", help="In which topic.")],
    to: Annotated[str, typer.Option("--to", metavar=PLACES, help="Where to go on reading.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, change nothing.")
    ] = False,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """Move a group that has no running members to another place in a topic."""
    point = place(to, "--to")
    with connect(brokers) as stem:
        moved = stem.reset_group(group, topic, point, dry_run=dry_run)
    rows = [[group, topic, index, before, after] for index, (before, after) in moved.items()]
    show(["group", "topic", "partition", "before", "after"], rows, as_json=as_json)
    if dry_run and not as_json:
        note("dry run: nothing was changed")


@app.command(cls=ClusterCommand)
def delete(
    group: Group,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """Forget a group and its committed offsets."""
    if not yes:
        confirm(f"Forget group {group!r} and its offsets?")
    with connect(brokers) as stem:
        stem.delete_group(group)
    if as_json:
        show(["group", "deleted"], [[group, True]], as_json=True)
    else:
        note(f"deleted group {group!r}")
