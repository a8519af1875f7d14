"""``mainstem topic``."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstem.cli.login import ClusterCommand
from mainstem.cli.options import BROKERS, AsJson, Brokers, confirm, connect, settings
from mainstem.cli.output import note, show

app = typer.Typer(help="Create, describe, change and delete topics.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The topic.")]
Config = Annotated[
    list[str] | None,
    typer.Option("--config", metavar="NAME=VALUE", help="A topic setting; may be repeated."),
]


@app.command(cls=ClusterCommand)
def create(
    name: Name,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="How many. [the broker's default]")
    ] = None,
    config: Config = None,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """Create a topic."""
    with connect(brokers) as stem:
        stem.create_topic(name, partitions, config=settings(config))
        found = stem.describe_topic(name)
    if as_json:
        show(["topic", "id", "partitions"], [[name, found.id, len(found.partitions)]], as_json=True)
    else:
        note(f"created topic {name!r} with {_count(len(found.partitions), 'partition')}")


@app.command("list", cls=ClusterCommand)
def list_topics(
    internal: Annotated[
        bool, typer.Option("--internal", help="The cluster's own topics, too.")
    ] = False,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """List all topics."""
    with connect(brokers) as stem:
        found = [stem.describe_topic(name) for name in stem.topics(internal=internal)]
    rows = [[topic.name, len(topic.partitions), topic.offsets] for topic in found]
    show(["topic", "partitions", "records"], rows, as_json=as_json)


@app.command(cls=ClusterCommand)
def describe(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The topic; all without it.")
    ] = None,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """Show partitions, offsets and settings."""
    with connect(brokers) as stem:
        names = stem.topics() if name is None else [name]
        found = [stem.describe_topic(each) for each in names]
    if not as_json:
        for topic in found:
            changed = ", ".join(f"{s.name}={s.value}" for s in topic.settings)
            note(f"topic {topic.name!r}  id {topic.id}  {changed or 'default settings'}")
    columns = ["topic", "partition", "leader", "replicas", "in sync", "start", "end", "records"]
    rows = [
        [
            topic.name,
            part.index,
            part.leader,
            part.replicas,
            part.in_sync,
            part.start,
            part.end,
            part.end - part.start,
        ]
        for topic in found
        for part in topic.partitions
    ]
    if as_json:
        columns.append("settings")
        by_name = {t.name: {s.name: s.value for s in t.settings} for t in found}
        rows = [[*row, by_name[str(row[0])]] for row in rows]
    show(columns, rows, as_json=as_json)


@app.command(cls=ClusterCommand)
def alter(
    name: Name,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="The new number, larger than now.")
    ] = None,
    config: Config = None,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """Add partitions or change settings; --config NAME= puts one back to its default."""
    changes = settings(config)
    if partitions is None and not changes:
        raise typer.BadParameter("nothing to change: give --partitions or --config")
    with connect(brokers) as stem:
        stem.alter_topic(name, partitions=partitions, config=changes)
    if as_json:
        show(["topic", "partitions", "config"], [[name, partitions, changes]], as_json=True)
    else:
        note(f"changed topic {name!r}")


@app.command(cls=ClusterCommand)
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    brokers: Brokers = BROKERS,
    as_json: AsJson = False,
) -> None:
    """Delete a topic with all its records."""
    if not yes:
        confirm(f"Delete topic {name!r} with all its records?")
    with connect(brokers) as stem:
        stem.delete_topic(name)
    if as_json:
        show(["topic", "deleted"], [[name, True]], as_json=True)
    else:
        note(f"deleted topic {name!r}")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
