"""Requests that not every broker has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mainstem.client.cluster import Cluster
from mainstem.client.retry import Deadline
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

UNSUPPORTED_VERSION, NOT_CONTROLLER = 35, 41

T = TypeVar("T")


async def ask_feature(
    cluster: Cluster, api_key: int, message: Message, read: Callable[[Message], T], lacking: str
) -> T:
    """Send to the controller where one is known; ``read`` raises what is to be retried.

    Raises ``Invalid`` with code 35 and the sentence ``lacking`` where the broker does not know
    the request; ``{}`` in it is where the broker is.
    """

    async def attempt(deadline: Deadline) -> T:
        try:
            return read(await cluster.ask_controller(api_key, message, deadline))
        except MainstemError as error:
            if error.code == NOT_CONTROLLER:
                await cluster.refresh([], deadline)
            if error.code == UNSUPPORTED_VERSION:
                raise Invalid(lacking.format(cluster.name), code=UNSUPPORTED_VERSION) from error
            raise

    return await cluster.retrying(attempt)
