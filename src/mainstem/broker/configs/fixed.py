"""Broker configs that only a restart changes, as tools expect to read them."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.broker.config import BrokerConfig
from mainstem.broker.configs.definition import ConfigType, format_value

_HOUR_MS = 3_600_000

#: name, type, value now, value without being set, documentation
_Row = tuple[str, ConfigType, object, str, str]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A broker config that only a restart can change: its value now and without being set."""

    name: str
    type: ConfigType
    value: str
    default: str
    documentation: str


def fixed_configs(
    config: BrokerConfig,
    address: tuple[str, int] | None = None,
    advertised: tuple[str, int] | None = None,
) -> list[Fixed]:
    """All of them, in the order tools show them.

    ``address`` is where the broker listens, which a configured port 0 does not say.
    """
    bound = address or (config.host, config.port)
    rows = [
        *_places(config, bound, advertised or bound),
        *_topics(config),
        *_segments(config),
        *_connections(config),
        *_groups(config),
    ]
    return [
        Fixed(name, kind, format_value(value), default, documentation)
        for name, kind, value, default, documentation in rows
    ]


def _places(
    config: BrokerConfig, bound: tuple[str, int], advertised: tuple[str, int]
) -> list[_Row]:
    integer, string, listing = ConfigType.INT, ConfigType.STRING, ConfigType.LIST
    node = str(config.node_id)
    return [
        ("broker.id", integer, node, "-1", "This node's id."),
        ("node.id", integer, node, "-1", "This node's id."),
        ("listeners", listing, _plaintext(bound), "PLAINTEXT://:9092",
         "Where the broker listens."),
        ("advertised.listeners", listing, _plaintext(advertised), "",
         "What clients are told to connect to."),
        ("log.dir", string, str(config.data), "/tmp/kafka-logs", "The data directory."),
        ("log.dirs", listing, str(config.data), "", "The data directory."),
    ]  # fmt: skip


def _plaintext(address: tuple[str, int]) -> str:
    return f"PLAINTEXT://{address[0]}:{address[1]}"


def _topics(config: BrokerConfig) -> list[_Row]:
    boolean, string, integer = ConfigType.BOOLEAN, ConfigType.STRING, ConfigType.INT
    return [
        ("auto.create.topics.enable", boolean, config.auto_create_topics, "true",
         "Whether Metadata and Produce create topics that do not exist."),
        ("num.partitions", integer, config.num_partitions, "1",
         "Partitions of a topic that does not say how many."),
        ("default.replication.factor", integer, 1, "1", "One: a Mainstem site is one node."),
        ("min.insync.replicas", integer, 1, "1", "One: a Mainstem site is one node."),
        ("offsets.topic.replication.factor", ConfigType.SHORT, 1, "3",
         "One: offsets are in the node's own metadata store."),
        ("compression.type", string, "producer", "producer",
         "Batches are stored as the producer compressed them."),
        ("unclean.leader.election.enable", boolean, False, "false", "There is one replica."),
        ("delete.topic.enable", boolean, True, "true", "Topics can be deleted."),
    ]  # fmt: skip


def _segments(config: BrokerConfig) -> list[_Row]:
    retention_ms, roll_ms = config.log.retention_ms, config.log.segment_ms
    integer, long = ConfigType.INT, ConfigType.LONG
    return [
        ("log.retention.hours", integer, retention_ms // _HOUR_MS if retention_ms > 0 else -1,
         "168", "log.retention.ms in hours, as started with."),
        ("log.roll.hours", integer, max(1, roll_ms // _HOUR_MS), "168",
         "log.roll.ms in hours, as started with."),
        ("log.retention.check.interval.ms", long, config.retention_check_ms, "300000",
         "How often old segments are looked for."),
    ]  # fmt: skip


def _connections(config: BrokerConfig) -> list[_Row]:
    integer, long = ConfigType.INT, ConfigType.LONG
    return [
        ("socket.request.max.bytes", integer, config.request_max_bytes, "104857600",
         "Largest request accepted."),
        ("fetch.max.bytes", integer, config.fetch_max_bytes, "57671680",
         "Most bytes one Fetch answers with."),
        ("max.connections", integer, config.max_connections, "2147483647",
         "Connections accepted at a time."),
        ("connections.max.idle.ms", long, config.connections_max_idle_ms, "600000",
         "Idle connections are closed after this time."),
    ]  # fmt: skip


def _groups(config: BrokerConfig) -> list[_Row]:
    integer = ConfigType.INT
    return [
        ("group.initial.rebalance.delay.ms", integer, config.group_initial_rebalance_delay_ms,
         "3000", "How long a new group waits for more members."),
        ("group.min.session.timeout.ms", integer, config.group_min_session_timeout_ms, "6000",
         "Shortest session timeout a member may ask for."),
        ("group.max.session.timeout.ms", integer, config.group_max_session_timeout_ms, "1800000",
         "Longest session timeout a member may ask for."),
        ("group.max.size", integer, config.group_max_size, "2147483647", "Members per group."),
        ("offsets.retention.minutes", integer, config.offsets_retention_ms // 60_000, "10080",
         "How long offsets of an empty group are kept."),
        ("offset.metadata.max.bytes", integer, config.offset_metadata_max_bytes, "4096",
         "Longest metadata string of a committed offset."),
    ]  # fmt: skip
