"""Replica assignments on a site of one node."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.errors import Invalid

_INVALID_REPLICA_ASSIGNMENT = 39


def check_replicas(broker_ids: Sequence[int] | None, node_id: int) -> None:
    """Raises ``Invalid`` (39) unless the replicas are exactly this node."""
    if list(broker_ids or ()) != [node_id]:
        raise Invalid(
            f"replicas {list(broker_ids or ())[:20]} cannot be had: the only node is {node_id}, so "
            f"every partition's replicas are [{node_id}]",
            code=_INVALID_REPLICA_ASSIGNMENT,
        )
