"""The APIs this broker serves: one file each, named by API key, loaded at its first request."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple


class Api(NamedTuple):
    """An API's name and the versions served."""

    name: str
    lowest: int
    highest: int


APIS: dict[int, Api] = {
    # Produce 0 to 2 are advertised and refused: librdkafka < 2 wants to see them (KAFKA-18659).
    0: Api("produce", 0, 13),
    1: Api("fetch", 4, 18),
    2: Api("list_offsets", 1, 11),
    3: Api("metadata", 0, 13),
    8: Api("offset_commit", 2, 10),
    9: Api("offset_fetch", 1, 10),
    10: Api("find_coordinator", 0, 6),
    11: Api("join_group", 0, 9),
    12: Api("heartbeat", 0, 4),
    13: Api("leave_group", 0, 5),
    14: Api("sync_group", 0, 5),
    15: Api("describe_groups", 0, 6),
    16: Api("list_groups", 0, 5),
    18: Api("api_versions", 0, 4),
    19: Api("create_topics", 2, 7),
    20: Api("delete_topics", 1, 6),
    21: Api("delete_records", 0, 2),
    22: Api("init_producer_id", 0, 5),
    23: Api("offset_for_leader_epoch", 2, 4),
    32: Api("describe_configs", 1, 4),
    33: Api("alter_configs", 0, 2),
    35: Api("describe_log_dirs", 1, 5),
    37: Api("create_partitions", 0, 3),
    42: Api("delete_groups", 0, 2),
    43: Api("elect_leaders", 0, 2),
    44: Api("incremental_alter_configs", 0, 1),
    45: Api("alter_partition_reassignments", 0, 1),
    46: Api("list_partition_reassignments", 0, 0),
    47: Api("offset_delete", 0, 0),
    60: Api("describe_cluster", 0, 2),
    61: Api("describe_producers", 0, 0),
    74: Api("list_config_resources", 0, 1),
    75: Api("describe_topic_partitions", 0, 0),
}


@cache
def handler(api_key: int) -> Callable[[Any, Any], Any]:
    """The ``handle`` function of an API in the table."""
    module = import_module(f"{__name__}.{api_key:02d}_{APIS[api_key].name}")
    found: Callable[[Any, Any], Any] = module.handle
    return found


#: Answered in place: ``serve(header, call, data, end)`` instead of ``handle(request, call)``.
_IN_PLACE = frozenset({0, 1})


@cache
def server_of(api_key: int) -> Callable[[Any, Any, Any, int], Any] | None:
    """The ``serve`` function of Produce and Fetch; ``None`` for every other API."""
    if api_key not in _IN_PLACE:
        return None
    module = import_module(f"{__name__}.{api_key:02d}_{APIS[api_key].name}")
    found: Callable[[Any, Any, Any, int], Any] = module.serve
    return found
