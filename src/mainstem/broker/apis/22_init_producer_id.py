"""InitProducerId: an id for an idempotent producer. Transactions are refused, at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mainstem.broker.answers import INVALID_REQUEST, failure
from mainstem.errors import Denied, Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call

_LOGGER = logging.getLogger("mainstem.broker")
_TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53


async def handle(request: Message, call: Call) -> Message:
    """Without a transactional id always a fresh id with epoch 0, as Kafka does (KIP-360)."""
    code, producer_id, epoch = 0, -1, -1
    try:
        _check(request)
        producer_id, epoch = await call.broker.producer_ids.next(), 0
    except MainstemError as error:
        # The answer has no room for a message, and the code alone misleads.
        code, text = failure(call.broker, error)
        _LOGGER.warning("client %s asked for a producer id: %s", call.client_id, text)
    return Message(error_code=code, producer_id=producer_id, producer_epoch=epoch)


def _check(request: Message) -> None:
    if request.transactional_id == "":
        raise Invalid("a transactional id cannot be empty", code=INVALID_REQUEST)
    if request.transactional_id is not None:
        # The one error all clients take as final at once; librdkafka retries most others.
        raise Denied(
            f"transactional id {request.transactional_id!r}: this broker has no transactions; "
            "use an idempotent producer without a transactional id",
            code=_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        )
    if (request.producer_id == -1) != (request.producer_epoch == -1):
        raise Invalid(
            f"producer id {request.producer_id} and epoch {request.producer_epoch} must be given "
            "both or not at all",
            code=INVALID_REQUEST,
        )
