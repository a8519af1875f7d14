"""Consumer groups from the inside: a member of any group, in Arrow."""

from __future__ import annotations

from mainstem.client.consumer.consumer import GroupConsumer
from mainstem.client.consumer.membership import Change
from mainstem.client.consumer.settings import (
    ConsumerSettings,
    GroupProtocol,
    Isolation,
    check_isolation,
)
from mainstem.client.consumer.subscription import TopicPartition

__all__ = [
    "Change",
    "ConsumerSettings",
    "GroupConsumer",
    "GroupProtocol",
    "Isolation",
    "TopicPartition",
    "check_isolation",
]
