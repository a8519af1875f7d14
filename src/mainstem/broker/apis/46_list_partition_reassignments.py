"""ListPartitionReassignments: on one node none is ever under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call


def handle(_request: Message, _call: Call) -> Message:
    return Message(error_code=0, error_message=None, topics=[])
