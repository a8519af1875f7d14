"""Where an API's old versions have another *shape*, not just fewer fields.

``upgrade`` turns an old message into the newest shape after decoding, ``downgrade`` the other
way before encoding. Topic names and topic ids (KIP-516) are both kept: a message has ``name``
or ``topic_id``, whichever its version carries, and the other is ``None``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mainstem.wire.message import Message

#: Fields that only old versions have; the newest schema does not know them.
OLD_NAMES: dict[int, frozenset[str]] = {
    0: frozenset({"name"}),
    1: frozenset({"topic", "replica_id"}),
    3: frozenset({"cluster_authorized_operations", "include_cluster_authorized_operations"}),
    8: frozenset({"name", "retention_time_ms"}),
    9: frozenset(
        {
            "group_id", "topics", "name", "partition_indexes", "partitions", "partition_index",
            "committed_offset", "metadata", "error_code", "committed_leader_epoch", "topic_id",
        }
    ),
    10: frozenset({"key", "error_code", "error_message", "node_id", "host", "port"}),
    13: frozenset({"member_id"}),
    20: frozenset({"topic_names"}),
}  # fmt: skip

Change = Callable[[Message], Message]


def upgrade(api_key: int, version: int, kind: str, message: Message) -> Message:
    """An old message in the newest shape."""
    return _apply(_UPGRADES, api_key, version, kind, message)


def downgrade(api_key: int, version: int, kind: str, message: Message) -> Message:
    """A message of the newest shape as an old version has it."""
    return _apply(_DOWNGRADES, api_key, version, kind, message)


def _apply(
    table: dict[tuple[int, str], tuple[int, Change]],
    api_key: int,
    version: int,
    kind: str,
    message: Message,
) -> Message:
    last_version, change = table.get((api_key, kind), (-1, None))
    return change(message) if change is not None and version <= last_version else message


def _with(message: Message, **fields: Any) -> Message:
    return Message(**{**message.__dict__, **fields})


# OffsetCommit 8: topics by name up to v9, by id from v10.
def _name_topics(message: Message) -> Message:
    for topic in message.topics:
        topic.__dict__.setdefault("name", None)
        topic.__dict__.setdefault("topic_id", None)
    return message


# OffsetFetch 9: one group, flattened, up to v7; names up to v9.
def _fetch_request_up(message: Message) -> Message:
    if "group_id" in message.__dict__:
        message.groups = [
            Message(
                group_id=message.group_id, topics=message.topics, member_id=None, member_epoch=-1
            )
        ]
    for group in message.groups:
        for topic in group.topics or ():
            topic.__dict__.setdefault("name", None)
            topic.__dict__.setdefault("topic_id", None)
    return message


def _fetch_request_down(message: Message) -> Message:
    (group,) = message.groups
    return _with(message, group_id=group.group_id, topics=group.topics)


def _fetch_response_up(message: Message) -> Message:
    for group in message.groups:
        for topic in group.topics:
            topic.__dict__.setdefault("name", None)
    if "topics" in message.__dict__:
        for topic in message.topics:
            for partition in topic.partitions:
                partition.__dict__.setdefault("committed_leader_epoch", -1)
        message.groups = [
            Message(
                group_id=None,
                topics=message.topics,
                error_code=message.__dict__.get("error_code", 0),
            )
        ]
    return message


def _fetch_response_down(message: Message) -> Message:
    (group,) = message.groups
    return _with(message, topics=group.topics, error_code=group.error_code)


# FindCoordinator 10: one key up to v3.
def _find_request_up(message: Message) -> Message:
    return _with(message, coordinator_keys=[message.key])


def _find_request_down(message: Message) -> Message:
    (key,) = message.coordinator_keys
    return _with(message, key=key)


def _find_response_up(message: Message) -> Message:
    return _with(
        message,
        coordinators=[
            Message(
                key=None,
                node_id=message.node_id,
                host=message.host,
                port=message.port,
                error_code=message.error_code,
                error_message=message.__dict__.get("error_message"),
            )
        ],
    )


def _find_response_down(message: Message) -> Message:
    (found,) = message.coordinators
    return _with(message, **{k: v for k, v in found.__dict__.items() if k != "key"})


# LeaveGroup 13: one member up to v2.
def _leave_request_up(message: Message) -> Message:
    member = Message(member_id=message.member_id, group_instance_id=None, reason=None)
    return _with(message, members=[member])


def _leave_request_down(message: Message) -> Message:
    (member,) = message.members
    return _with(message, member_id=member.member_id)


def _leave_response_down(message: Message) -> Message:
    first = next((m.error_code for m in message.members if m.error_code), 0)
    return _with(message, error_code=message.error_code or first)


# DeleteTopics 20: bare names up to v5.
def _delete_request_up(message: Message) -> Message:
    return _with(
        message, topics=[Message(name=name, topic_id=None) for name in message.topic_names]
    )


def _delete_request_down(message: Message) -> Message:
    return _with(message, topic_names=[topic.name for topic in message.topics])


_UPGRADES: dict[tuple[int, str], tuple[int, Change]] = {
    (8, "request"): (99, _name_topics),
    (8, "response"): (99, _name_topics),
    (9, "request"): (99, _fetch_request_up),
    (9, "response"): (99, _fetch_response_up),
    (10, "request"): (3, _find_request_up),
    (10, "response"): (3, _find_response_up),
    (13, "request"): (2, _leave_request_up),
    (20, "request"): (5, _delete_request_up),
}
_DOWNGRADES: dict[tuple[int, str], tuple[int, Change]] = {
    (9, "request"): (7, _fetch_request_down),
    (9, "response"): (7, _fetch_response_down),
    (10, "request"): (3, _find_request_down),
    (10, "response"): (3, _find_response_down),
    (13, "request"): (2, _leave_request_down),
    (13, "response"): (2, _leave_response_down),
    (20, "request"): (5, _delete_request_down),
}
