"""Any Kafka cluster from Python, in Arrow: append, read, administer.

Everything here belongs to one asyncio event loop; the plain, blocking face is ``mainstem.face``.
"""

from __future__ import annotations

from mainstem.client.access import (
    Access,
    Acl,
    ClusterDescription,
    Entity,
    Quota,
    ScramMechanism,
    User,
)
from mainstem.client.admin import Admin, PartitionDescription, TopicDescription
from mainstem.client.append import Acks, Appender, AppendOptions
from mainstem.client.arguments import (
    check_count,
    check_mapping,
    check_seconds,
    indexes_of,
    names_of,
)
from mainstem.client.arrow_format import Arrow
from mainstem.client.avro_format import Avro
from mainstem.client.avro_resolve import can_read as avro_can_read
from mainstem.client.chunks import Piece
from mainstem.client.chunks import decode as decode_chunk
from mainstem.client.cluster import ClientConfig, Cluster, parse_addresses
from mainstem.client.columns import unknown_column
from mainstem.client.connection import Connection
from mainstem.client.consumer import (
    Change,
    ConsumerSettings,
    GroupConsumer,
    GroupProtocol,
    Isolation,
    TopicPartition,
    check_isolation,
)
from mainstem.client.fetcher import Fetched, Fetcher, Position
from mainstem.client.formats import Format, Raw, Side
from mainstem.client.groups import (
    GroupDescription,
    GroupListing,
    GroupMember,
    GroupOffset,
    Groups,
)
from mainstem.client.json_format import Json
from mainstem.client.kafka_errors import error_for, is_retriable
from mainstem.client.offsets import Point, Points, bounds, list_offsets, resolve
from mainstem.client.placement import Placement, Reassignment
from mainstem.client.producer import Producer
from mainstem.client.protobuf_format import Protobuf
from mainstem.client.reader import BATCH_BYTES, Reader
from mainstem.client.registry import Reference, RegisteredSchema, Registry
from mainstem.client.security import Mechanism, Sasl, Tls, TokenCallback
from mainstem.client.sent import Appended, Written
from mainstem.client.settings import BrokerSettings, Setting
from mainstem.client.transactions import TransactionalClient

__all__ = [
    "BATCH_BYTES",
    "Access",
    "Acks",
    "Acl",
    "Admin",
    "AppendOptions",
    "Appended",
    "Appender",
    "Arrow",
    "Avro",
    "BrokerSettings",
    "Change",
    "ClientConfig",
    "Cluster",
    "ClusterDescription",
    "Connection",
    "ConsumerSettings",
    "Entity",
    "Fetched",
    "Fetcher",
    "Format",
    "GroupConsumer",
    "GroupDescription",
    "GroupListing",
    "GroupMember",
    "GroupOffset",
    "GroupProtocol",
    "Groups",
    "Isolation",
    "Json",
    "Mechanism",
    "PartitionDescription",
    "Piece",
    "Placement",
    "Point",
    "Points",
    "Position",
    "Producer",
    "Protobuf",
    "Quota",
    "Raw",
    "Reader",
    "Reassignment",
    "Reference",
    "RegisteredSchema",
    "Registry",
    "Sasl",
    "ScramMechanism",
    "Setting",
    "Side",
    "Tls",
    "TokenCallback",
    "TopicDescription",
    "TopicPartition",
    "TransactionalClient",
    "User",
    "Written",
    "avro_can_read",
    "bounds",
    "check_count",
    "check_isolation",
    "check_mapping",
    "check_seconds",
    "decode_chunk",
    "error_for",
    "indexes_of",
    "is_retriable",
    "list_offsets",
    "names_of",
    "parse_addresses",
    "resolve",
    "unknown_column",
]
