"""Retention and checkpoints happen by themselves."""

from __future__ import annotations

import threading

from mainstem.testing import RawConnection, running_broker
from reference.produce import batch, create, fetch, produce


def test_old_segments_go_by_themselves(tmp_path):
    with (
        running_broker(tmp_path, retention_check_ms=1) as running,
        RawConnection(running.address) as raw,
    ):
        create(raw, "t", segment_bytes="14000", retention_bytes="20000", retention_ms="-1")
        for _ in range(20):
            produce(raw, "t", batch(b"x" * 8_000))
        while fetch(raw, "t", 0).error_code != 1:  # until offset 0 is out of range
            pass
        assert fetch(raw, "t", 19).error_code == 0


def test_what_no_one_syncs_is_synced_by_the_checkpoint(tmp_path):
    with (
        running_broker(tmp_path, checkpoint_ms=1) as running,
        RawConnection(running.address) as raw,
    ):
        create(raw, "lazy", mainstem_flush="os")
        produce(raw, "lazy", batch(b"x"), acks=1)
        partition = running.broker.topics.get("lazy").partition(0)
        while partition.durable_offset < 1:
            threading.Event().wait(0.001)
