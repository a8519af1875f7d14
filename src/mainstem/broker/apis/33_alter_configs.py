"""AlterConfigs: replaces all configs of a resource. Old; clients now use API 44."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mainstem.broker.resources import Change, ResourceType, alter_all
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call


async def handle(request: Message, call: Call) -> Message:
    """What is not given goes back to its default."""
    return await alter_all(
        call.broker, request.resources, _replace, validate_only=request.validate_only
    )


def _replace(entry: Message) -> Change:
    wanted = {config.name: config.value for config in entry.configs}

    def change(_now: Mapping[str, str], _kind: ResourceType) -> Mapping[str, str | None]:
        return wanted

    return change
