"""Topic configs: Kafka 4's names, defaults and limits, and which of them do something here.

A config without effect on one node is accepted where that is harmless, and its documentation
says so; a value that would promise what does not happen is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from mainstem.broker.configs.definition import (
    INVALID_CONFIG,
    LONG_MAX,
    ConfigType,
    Definition,
    at_least,
    between,
    each_of,
    nearest,
    one_of,
    only,
)
from mainstem.errors import Invalid
from mainstem.log import LogConfig

_NO_COMPACTION = " Read by compaction, which this version does not run: it has no effect yet."
_ONE_NODE = " No effect: a Mainstem site is one node."
_NO_TIERS = "there is no tiered storage"

_DEFINITIONS = (
    Definition(
        "retention.ms", ConfigType.LONG, "604800000",
        "How long records are kept, in milliseconds; -1 for ever.",
        at_least(-1), "retention_ms", "log.retention.ms",
    ),
    Definition(
        "retention.bytes", ConfigType.LONG, "-1",
        "How many bytes each partition keeps before old segments go; -1 for no limit.",
        at_least(-1), "retention_bytes", "log.retention.bytes",
    ),
    Definition(
        "segment.bytes", ConfigType.INT, "1073741824",
        "Size at which a new segment file is begun.",
        at_least(14), "segment_bytes", "log.segment.bytes",
    ),
    Definition(
        "segment.ms", ConfigType.LONG, "604800000",
        "Age at which a new segment file is begun, in milliseconds.",
        at_least(1), "segment_ms", "log.roll.ms",
    ),
    Definition(
        "max.message.bytes", ConfigType.INT, "1048588",
        "Largest record batch accepted, as sent (compressed), in bytes.",
        at_least(0), "max_message_bytes", "message.max.bytes",
    ),
    Definition(
        "cleanup.policy", ConfigType.LIST, "delete",
        "delete: old segments go by retention. compact: only keyed records are accepted, and "
        "nothing goes by retention; compaction itself is not run by this version, so every "
        "record is kept. Both: keyed records, deleted by retention.",
        each_of("delete", "compact"), "cleanup_policy", "log.cleanup.policy",
    ),
    Definition(
        "message.timestamp.type", ConfigType.STRING, "CreateTime",
        "Whether a record's timestamp is the producer's (CreateTime) or the broker's "
        "(LogAppendTime).",
        one_of("CreateTime", "LogAppendTime"), "timestamp_type", "log.message.timestamp.type",
    ),
    Definition(
        "message.timestamp.before.max.ms", ConfigType.LONG, str(LONG_MAX),
        "How far a producer's timestamp may lie behind the broker's clock, in milliseconds.",
        at_least(0), "message_timestamp_before_max_ms", "log.message.timestamp.before.max.ms",
    ),
    Definition(
        "message.timestamp.after.max.ms", ConfigType.LONG, "3600000",
        "How far a producer's timestamp may lie ahead of the broker's clock, in milliseconds.",
        at_least(0), "message_timestamp_after_max_ms", "log.message.timestamp.after.max.ms",
    ),
    Definition(
        "index.interval.bytes", ConfigType.INT, "4096",
        "One index entry is written for about this many bytes of log.",
        at_least(0), "index_interval_bytes", "log.index.interval.bytes",
    ),
    Definition(
        "mainstem.flush", ConfigType.STRING, "group",
        "What an acknowledged write survives. group: acks=all is answered after a shared "
        "fdatasync. always: every acks is. os: nothing waits for the disk, as in Apache Kafka.",
        one_of("group", "always", "os"), "flush", "mainstem.flush",
    ),
    Definition(
        "compression.type", ConfigType.STRING, "producer",
        "Batches are stored as the producer compressed them; no other value is possible.",
        only("producer", "the broker does not recompress; set compression in the producer"),
        broker_name="compression.type",
    ),
    Definition(
        "compression.gzip.level", ConfigType.INT, "-1",
        "No effect: batches are stored as sent.", between(-1, 9),
    ),
    Definition(
        "compression.lz4.level", ConfigType.INT, "9",
        "No effect: batches are stored as sent.", between(1, 17),
    ),
    Definition(
        "compression.zstd.level", ConfigType.INT, "3",
        "No effect: batches are stored as sent.", between(-131072, 22),
    ),
    Definition(
        "min.insync.replicas", ConfigType.INT, "1",
        "Replicas that must have a record before acks=all is answered: one node has one.",
        only(1, "a Mainstem site is one node, so no record can be on more"),
        broker_name="min.insync.replicas",
    ),
    Definition(
        "delete.retention.ms", ConfigType.LONG, "86400000",
        "How long tombstones of compacted topics stay, in milliseconds." + _NO_COMPACTION,
        at_least(0),
    ),
    Definition(
        "min.cleanable.dirty.ratio", ConfigType.DOUBLE, "0.5",
        "Share of uncompacted log at which compaction starts." + _NO_COMPACTION, between(0, 1),
    ),
    Definition(
        "min.compaction.lag.ms", ConfigType.LONG, "0",
        "How long a record stays uncompacted at least." + _NO_COMPACTION, at_least(0),
    ),
    Definition(
        "max.compaction.lag.ms", ConfigType.LONG, str(LONG_MAX),
        "How long a record stays uncompacted at most." + _NO_COMPACTION, at_least(1),
    ),
    Definition(
        "file.delete.delay.ms", ConfigType.LONG, "60000",
        "No effect: files of removed segments go when their last reader has finished.",
        at_least(0),
    ),
    Definition(
        "flush.messages", ConfigType.LONG, str(LONG_MAX),
        "Not used: mainstem.flush says when records are forced to disk.",
        only(LONG_MAX, "use mainstem.flush=always to have every write on disk before its answer"),
    ),
    Definition(
        "flush.ms", ConfigType.LONG, str(LONG_MAX),
        "Not used: mainstem.flush says when records are forced to disk.",
        only(LONG_MAX, "use mainstem.flush=group or always to have records forced to disk"),
    ),
    Definition(
        "segment.index.bytes", ConfigType.INT, "10485760",
        "No effect: indexes grow with their segment and are not preallocated.", at_least(4),
    ),
    Definition(
        "segment.jitter.ms", ConfigType.LONG, "0",
        "No effect: segments roll exactly at segment.ms.", at_least(0),
    ),
    Definition(
        "preallocate", ConfigType.BOOLEAN, "false", "No effect: segment files grow as written.",
    ),
    Definition(
        "unclean.leader.election.enable", ConfigType.BOOLEAN, "false",
        "Whether a lagging replica may lead." + _ONE_NODE,
        broker_name="unclean.leader.election.enable",
    ),
    Definition(
        "leader.replication.throttled.replicas", ConfigType.LIST, "",
        "Replicas whose copying is throttled at the leader." + _ONE_NODE,
    ),
    Definition(
        "follower.replication.throttled.replicas", ConfigType.LIST, "",
        "Replicas whose copying is throttled at the follower." + _ONE_NODE,
    ),
    Definition(
        "remote.storage.enable", ConfigType.BOOLEAN, "false", f"Always false: {_NO_TIERS}.",
        only(False, _NO_TIERS),
    ),
    Definition(
        "remote.log.copy.disable", ConfigType.BOOLEAN, "false", f"No effect: {_NO_TIERS}.",
    ),
    Definition(
        "remote.log.delete.on.disable", ConfigType.BOOLEAN, "false", f"No effect: {_NO_TIERS}.",
    ),
    Definition(
        "local.retention.ms", ConfigType.LONG, "-2", f"No effect: {_NO_TIERS}.", at_least(-2),
    ),
    Definition(
        "local.retention.bytes", ConfigType.LONG, "-2", f"No effect: {_NO_TIERS}.", at_least(-2),
    ),
)  # fmt: skip

TOPIC_CONFIGS: dict[str, Definition] = {entry.name: entry for entry in _DEFINITIONS}


def validate(configs: Mapping[str, str | None]) -> dict[str, str]:
    """Checks a topic's overrides as a whole; raises ``Invalid`` (40) for the first bad one."""
    parsed = {}
    for name, text in configs.items():
        definition = TOPIC_CONFIGS.get(name)
        if definition is None:
            raise Invalid(
                f"Unknown topic config name: {name}{nearest(name, TOPIC_CONFIGS)}",
                code=INVALID_CONFIG,
            )
        parsed[name] = definition.parse(text)
    shortest = parsed.get("min.compaction.lag.ms", 0)
    longest = parsed.get("max.compaction.lag.ms", LONG_MAX)
    if shortest > longest:
        raise Invalid(
            f"min.compaction.lag.ms ({shortest}) is above max.compaction.lag.ms ({longest}): "
            "lower the first or raise the second",
            code=INVALID_CONFIG,
        )
    return {name: text for name, text in configs.items() if text is not None}


def log_config(overrides: Mapping[str, str], defaults: LogConfig) -> LogConfig:
    """The log's settings for a topic with these overrides, checked earlier by ``validate``.

    Names this version does not know are passed over, so that a newer version's data opens.
    """
    changes = {}
    for name, text in overrides.items():
        definition = TOPIC_CONFIGS.get(name)
        if definition is not None and definition.log_field is not None:
            changes[definition.log_field] = definition.parse(text)
    return dataclasses.replace(defaults, **changes) if changes else defaults
