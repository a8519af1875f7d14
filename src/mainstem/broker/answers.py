"""What the admin APIs share in turning errors into answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from mainstem.errors import Invalid, MainstemError

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.log import Partition

UNKNOWN_SERVER_ERROR = -1
INVALID_REQUEST = 42

#: "Not asked for" in every ``…_authorized_operations`` (KIP-430).
NO_OPERATIONS = -(2**31)


def failure(broker: Broker, error: MainstemError) -> tuple[int, str]:
    """The Kafka error code and message of an error, counted."""
    code = UNKNOWN_SERVER_ERROR if error.code is None else error.code
    broker.counters.failed(code)
    return code, str(error)


def twice(names: Iterable[Hashable]) -> frozenset[Hashable]:
    """Those that occur more than once."""
    return frozenset(name for name, count in Counter(names).items() if count > 1)


def find_partition(broker: Broker, topic: str, index: int) -> Partition:
    """Raises ``Invalid`` (3) for one that does not exist, ``Unavailable`` (56) if refused."""
    return broker.topics.require(topic).partition(index)


def refuse_duplicate(what: str) -> Invalid:
    return Invalid(f"{what} appears more than once in the request", code=INVALID_REQUEST)
