"""ApiVersions: what this broker serves (KIP-35, KIP-511)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.apis import APIS
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call


def handle(request: Message | None, call: Call) -> Message:
    """Every API of the table. No features are finalized: transactions v2 comes with them."""
    return Message(
        error_code=0,
        api_keys=[
            Message(api_key=key, min_version=api.lowest, max_version=api.highest)
            for key, api in APIS.items()
        ],
        supported_features=[],
        finalized_features_epoch=-1,
        finalized_features=[],
        zk_migration_ready=False,
    )
