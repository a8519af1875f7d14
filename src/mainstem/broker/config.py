"""What a broker can be told. Names follow Kafka's broker configs, with dots as underscores."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mainstem.log import LogConfig

MEBIBYTE = 1 << 20
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """Durations in milliseconds where the name ends in ``_ms``, sizes in bytes."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 9092
    #: What clients are told to connect to; ``None`` means what the listener is bound to.
    advertised_host: str | None = None
    advertised_port: int | None = None
    node_id: int = 1

    auto_create_topics: bool = True
    num_partitions: int = 1
    log: LogConfig = field(default_factory=LogConfig)

    request_max_bytes: int = 100 * MEBIBYTE
    #: All connections' buffers of half-received requests together.
    buffer_max_bytes: int = 512 * MEBIBYTE
    fetch_max_bytes: int = 55 * MEBIBYTE
    max_connections: int = 15_000
    connections_max_idle_ms: int = 600_000
    #: A request that has begun to arrive must make progress within this time.
    request_stall_ms: int = 30_000

    group_initial_rebalance_delay_ms: int = 0
    group_min_session_timeout_ms: int = 6_000
    group_max_session_timeout_ms: int = 1_800_000
    group_max_size: int = 10_000
    offsets_retention_ms: int = 7 * DAY_MS
    offset_metadata_max_bytes: int = 4_096
    retention_check_ms: int = 300_000
    #: How often everything is synced and noted as such: bounds what a crash makes us read again.
    checkpoint_ms: int = 60_000
