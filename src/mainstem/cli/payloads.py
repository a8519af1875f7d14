"""Which payload the values of a topic are, as the command line names it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mainstem.client import Format


class Payload(StrEnum):
    """What records hold."""

    raw = "raw"
    json = "json"
    avro = "avro"
    protobuf = "protobuf"
    arrow = "arrow"


RegistryUrl = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="URL",
        envvar="MAINSTEM_REGISTRY",
        help="The schema registry of avro and protobuf payloads.",
    ),
]


def payload_format(
    payload: Payload,
    registry: str | None,
    *,
    use_latest: bool = False,
    message: str | None = None,
) -> Format | None:
    """The format; ``None`` for raw. Raises ``BadParameter`` where the registry is missing.

    ``use_latest`` writes with the newest schema of the topic's subject; ``message`` names the one
    of a Protobuf schema.
    """
    from mainstem.cli.login import Login
    from mainstem.client import Arrow, Avro, Json, Protobuf

    if payload is Payload.raw:
        return None
    if payload is Payload.json:
        return Json()
    if payload is Payload.arrow:
        return Arrow()
    found = Login().registry(registry)
    if found is None:
        raise typer.BadParameter(
            f"{payload.value} payloads need --registry URL", param_hint="--payload"
        )
    if payload is Payload.avro:
        return Avro(found, use_latest=use_latest)
    return Protobuf(found, name=message, use_latest=use_latest)
