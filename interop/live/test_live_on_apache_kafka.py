"""The dispatcher's own tests, with Apache Kafka in place of the embedded broker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from interop.kafka import start_kafka

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "live"))

from test_live_dispatcher_faults import (
    test_a_counter_skips_what_is_no_number as test_numbers,
)
from test_live_dispatcher_faults import (
    test_a_log_cut_before_the_reader_is_a_reset as test_cut,
)
from test_live_dispatcher_faults import (
    test_a_topic_created_anew_is_a_reset_by_epoch as test_anew,
)
from test_live_dispatcher_faults import (
    test_partitions_added_are_a_reset_too as test_grown,
)
from test_live_dispatcher_faults import (
    test_records_expired_before_they_were_read_are_a_reset as test_expired,
)
from test_live_dispatcher_faults import (
    test_records_without_a_usable_key_disturb_nobody as test_keys,
)
from test_live_dispatcher_kinds import *  # noqa: F403
from test_live_dispatcher_nodes import *  # noqa: F403
from test_live_dispatcher_replay import *  # noqa: F403

__all__ = ["test_anew", "test_cut", "test_expired", "test_grown", "test_keys", "test_numbers"]


@dataclass(frozen=True)
class Cluster:
    """What the tests use of the embedded broker."""

    address: str


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Apache Kafka, one node."""
    kafka = start_kafka(tmp_path_factory.mktemp("kafka"))
    try:
        yield Cluster(kafka.address)
    finally:
        kafka.stop()


@pytest.fixture(scope="module")
def address(broker: Cluster) -> str:
    """Where it is."""
    return broker.address
