"""ApiVersions: what this broker serves (KIP-35, KIP-511)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mainstem.broker.apis import APIS
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call

_INVALID_REQUEST = 42
_NAMES_ITSELF_SINCE = 3  # KIP-511
_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?", re.ASCII)


def handle(request: Message | None, call: Call) -> Message:
    """Every API of the table. No features are finalized: transactions v2 comes with them."""
    named = request is None or call.api_version < _NAMES_ITSELF_SINCE or _is_named(request)
    return Message(
        error_code=0 if named else _INVALID_REQUEST,
        api_keys=[
            Message(api_key=key, min_version=api.lowest, max_version=api.highest)
            for key, api in APIS.items()
            if named
        ],
        supported_features=[],
        finalized_features_epoch=-1,
        finalized_features=[],
        zk_migration_ready=False,
    )


def _is_named(request: Message) -> bool:
    """Whether the client's software name and version are such as metrics can show."""
    given = (request.client_software_name, request.client_software_version)
    return all(_SOFTWARE.fullmatch(text) for text in given)
