"""What the admin APIs share in turning errors into answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from mainstem.errors import Conflict, Invalid, MainstemError

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.log import Partition

UNKNOWN_SERVER_ERROR = -1
INVALID_REQUEST = 42
_FENCED_LEADER_EPOCH = 74
_UNKNOWN_LEADER_EPOCH = 75
#: An error message repeats what the client sent; thousands of them must stay small.
_LONGEST_MESSAGE = 400

#: "Not asked for" in every ``…_authorized_operations`` (KIP-430).
NO_OPERATIONS = -(2**31)

#: Sets of AclOperation codes: create 5, alter 7, describe 8, cluster action 9, describe configs
#: 10, alter configs 11, idempotent write 12; of topics also read 3, write 4, delete 6. Without
#: an authoriser everybody may do them all.
CLUSTER_OPERATIONS = sum(1 << operation for operation in (5, 7, 8, 9, 10, 11, 12))
TOPIC_OPERATIONS = sum(1 << operation for operation in (3, 4, 5, 6, 7, 8, 10, 11))


def failure(broker: Broker, error: MainstemError) -> tuple[int, str]:
    """The Kafka error code and message of an error, counted."""
    code = UNKNOWN_SERVER_ERROR if error.code is None else error.code
    broker.counters.failed(code)
    return code, str(error)[:_LONGEST_MESSAGE]


def twice(names: Iterable[Hashable]) -> frozenset[Hashable]:
    """Those that occur more than once."""
    return frozenset(name for name, count in Counter(names).items() if count > 1)


def find_partition(broker: Broker, topic: str, index: int) -> Partition:
    """Raises ``Invalid`` (3) for one that does not exist, ``Unavailable`` (56) if refused."""
    return broker.topics.require(topic).partition(index)


def refuse_duplicate(what: str) -> Invalid:
    return Invalid(f"{what} appears more than once in the request", code=INVALID_REQUEST)


def check_leader_epoch(partition: Partition, believed: int) -> None:
    """KIP-320: a client with another leader epoch than ours missed an unclean restart.

    Raises ``Conflict`` (74) if it is behind, ``Invalid`` (75) if it is ahead; -1 is no epoch.
    """
    if believed in {-1, partition.leader_epoch}:
        return
    if believed < partition.leader_epoch:
        raise Conflict(
            f"leader epoch {believed} is over, now it is {partition.leader_epoch}: refresh",
            code=_FENCED_LEADER_EPOCH,
        )
    raise Invalid(
        f"leader epoch {believed} has not been: it is {partition.leader_epoch} here",
        code=_UNKNOWN_LEADER_EPOCH,
    )
