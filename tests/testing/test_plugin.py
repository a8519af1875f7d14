"""The fixtures that programs using Mainstem get from its pytest plugin."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa


def test_a_stem_is_there_for_the_asking(mainstem_stem: Any) -> None:
    topic = mainstem_stem.topic("t", partitions=1, create=True)
    topic.append([b"a", b"b"])
    table = pa.Table.from_batches(topic.read(start="earliest"))
    assert table["value"].to_pylist() == [b"a", b"b"]


def test_address_and_broker_are_the_same_one(mainstem_broker: Any, mainstem_address: str) -> None:
    assert mainstem_broker.address == mainstem_address


def test_the_broker_of_a_test_is_empty(mainstem_stem: Any) -> None:
    assert mainstem_stem.topics() == []


def test_the_session_broker_is_another_one(
    mainstem_session_broker: Any, mainstem_broker: Any
) -> None:
    assert mainstem_session_broker.address != mainstem_broker.address


def test_loading_the_plugin_imports_nothing_of_the_broker() -> None:
    program = "import sys, mainstem.testing.plugin; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"mainstem.broker", "mainstem.wire", "pyarrow", "uvloop"} & set(loaded)
