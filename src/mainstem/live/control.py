"""What the gateways of a cluster share without being configured: the key that signs cursors.

(And who was put out: ``live/kicks.py``, in the same topic.)

It is the first such record of the topic ``live._control``; whoever finds none offers one, and the
first one counts. Each offer has a record key of its own, so that compaction keeps them all. Who may
read that topic may forge cursors: guard it as you guard the channels' topics.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pyarrow as pa

from mainstem.client import Appender, AppendOptions, Cluster, Producer, bounds
from mainstem.live.history import History
from mainstem.live.kinds import rows_of

if TYPE_CHECKING:
    from mainstem.live.topics import Topics

TOPIC = "live._control"
CONFIG = {"cleanup.policy": "compact", "segment.ms": "3600000"}
PARTITIONS = 1
_KEY = b"cursor-key"
KICK_KEY = b"kick"
_BYTES = 32


async def shared_cursor_key(
    cluster: Cluster, producer: Producer, topics: Topics, history: History
) -> bytes:
    """The cluster's cursor key, made now if this is its first gateway."""
    found = await _first(cluster, topics, history)
    if found is None:
        await offer(cluster, producer)
        found = await _first(cluster, topics, history)
    assert found is not None  # it was acknowledged by all replicas
    return found


async def offer(cluster: Cluster, producer: Producer) -> None:
    """A random key, for all gateways if it is the first. The topic must be there."""
    batch = pa.record_batch(
        {
            "_key": pa.array([_KEY + b"/" + secrets.token_hex(8).encode()], pa.binary()),
            "value": pa.array([secrets.token_bytes(_BYTES)], pa.binary()),
        }
    )
    await Appender(cluster, producer, TOPIC).append(batch, AppendOptions(partition=0))


async def _first(cluster: Cluster, topics: Topics, history: History) -> bytes | None:
    topic = await topics.find(TOPIC)
    first, last = await bounds(cluster, TOPIC, [0], committed=True)
    async for chunk in history.chunks(topic.stream(0), first[0], last[0], keep=False):
        rows = rows_of(chunk.records)
        for key, value in zip(rows.keys, rows.values, strict=True):
            # The first gateways offered under _KEY itself. Records of others may have no key.
            if key and key.startswith(_KEY) and value is not None and len(value) >= _BYTES:
                return value
    return None
