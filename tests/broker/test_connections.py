"""Clients that misbehave must not hurt the others, or the memory."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import struct
import subprocess
import sys

import pytest

from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message, request_frame
from reference.produce import batch, create, fetch, fetch_message, produce, produce_message

KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20


@pytest.fixture
def broker(tmp_path):
    with running_broker(
        tmp_path, request_max_bytes=8 * MEBIBYTE, buffer_max_bytes=16 * MEBIBYTE
    ) as running:
        yield running


def connect(broker) -> RawConnection:
    return RawConnection(broker.address)


def assert_serves(broker) -> None:
    with connect(broker) as healthy:
        assert healthy.call(18, 0, Message()).error_code == 0


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("size", [-1, 0, 7, 9 * MEBIBYTE, 0x7FFFFFFF, -0x80000000])
def test_a_length_that_cannot_be_costs_the_connection(broker, size):
    with connect(broker) as bad:
        bad.socket.sendall(struct.pack(">i", size) + b"x" * 16)
        assert bad.is_closed_by_peer()
    assert_serves(broker)


@pytest.mark.parametrize("api_key", [-1, 4, 5, 6, 7, 999])
def test_an_unknown_api_costs_the_connection(broker, api_key):
    with connect(broker) as bad:
        bad.socket.sendall(request_header(api_key, 0))
        assert bad.is_closed_by_peer()
    assert_serves(broker)


def request_header(api_key: int, version: int) -> bytes:
    return struct.pack(">ihhih", 10, api_key, version, 7, -1)


@pytest.mark.parametrize(("api_key", "version"), [(3, 99), (3, -1), (1, 3), (0, 14)])
def test_an_unknown_version_costs_the_connection(broker, api_key, version):
    with connect(broker) as bad:
        bad.socket.sendall(request_header(api_key, version))
        assert bad.is_closed_by_peer()


def test_an_unknown_version_of_api_versions_is_told_what_there_is(broker):
    with connect(broker) as new:
        new.socket.sendall(request_header(18, 99))
        frame = new.receive_frame()
    assert struct.unpack_from(">ih", frame) == (7, 35)
    assert struct.unpack_from(">i", frame, 6)[0] > 20


def test_half_a_request_does_not_hold_the_others(broker):
    with connect(broker) as slow, connect(broker) as healthy:
        create(healthy, "t")
        frame = request_frame(0, 9, 1, "slow", b"\0" * 100_000)
        slow.socket.sendall(frame[:50_000])
        assert produce(healthy, "t", batch(b"x")).error_code == 0


def test_a_request_that_comes_byte_by_byte_is_served(broker):
    with connect(broker) as slow:
        for byte in request_frame(18, 0, 1, "slow", b""):
            slow.socket.sendall(bytes([byte]))
        assert slow.receive_frame()[:4] == b"\0\0\0\1"


def swept_away(running, raw: RawConnection) -> bool:
    """Sweep until the broker closes the connection; it may not have read all of it at first."""
    for _ in range(1_000):
        running.call(running.broker.sweep_connections)
        if select.select([raw.socket], [], [], 0)[0]:
            return raw.is_closed_by_peer()
    return False


def test_a_request_that_stalls_is_cut_off(tmp_path):
    with running_broker(tmp_path, request_stall_ms=0) as running, connect(running) as slow:
        slow.socket.sendall(request_frame(0, 9, 1, "slow", bytes(100_000))[:50_000])
        assert swept_away(running, slow)


def test_an_idle_connection_is_closed_after_its_time(tmp_path):
    with running_broker(tmp_path, connections_max_idle_ms=0) as running, connect(running) as idle:
        idle.call(18, 0, Message())
        assert swept_away(running, idle)


def test_a_promised_length_takes_no_memory_before_its_bytes_come(broker):
    with contextlib.ExitStack() as stack:
        liars = [stack.enter_context(connect(broker)) for _ in range(200)]
        before = resident_bytes()
        for liar in liars:
            liar.socket.sendall(struct.pack(">i", 8 * MEBIBYTE - 1) + b"x" * 100)
        assert_serves(broker)
        assert resident_bytes() - before < 200 * 100 * KIBIBYTE


def test_when_buffers_are_full_the_longest_stalled_is_closed(broker):
    with contextlib.ExitStack() as stack:
        hoarders = [stack.enter_context(connect(broker)) for _ in range(6)]
        half = struct.pack(">i", 7 * MEBIBYTE) + bytes(6 * MEBIBYTE)
        for hoarder in hoarders:
            with contextlib.suppress(OSError):
                hoarder.socket.sendall(half)
        with connect(broker) as healthy:
            create(healthy, "t", max_message_bytes=str(6 * MEBIBYTE))
            assert produce(healthy, "t", batch(b"x" * 5 * MEBIBYTE)).error_code == 0


def test_a_reader_that_never_reads_holds_no_memory_and_no_one_else(broker):
    with connect(broker) as writer, connect(broker) as deaf:
        create(writer, "t")
        for _ in range(8):
            produce(writer, "t", batch(os.urandom(900_000)))
        before = resident_bytes()
        deaf.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(5_000):
                deaf.send(
                    1, 11, fetch_message("t", 0, max_bytes=1 << 30, partition_max_bytes=1 << 30)
                )
        healthy = fetch(writer, "t", 3)
        assert len(healthy.records) > 900_000
        assert resident_bytes() - before < 24 * MEBIBYTE


def test_a_reader_that_reads_late_gets_everything_in_order(broker):
    with connect(broker) as late:
        create(late, "t")
        payload = os.urandom(500_000)
        produce(late, "t", batch(payload))
        for _ in range(60):
            late.send(1, 11, fetch_message("t", 0))
        for _ in range(60):
            assert payload in late.receive().responses[0].partitions[0].records


def test_ten_thousand_small_requests_at_once_are_all_answered(broker):
    with connect(broker) as eager:
        create(eager, "t")
        message = produce_message("t", batch(b"x"), acks=1)
        for start in range(0, 10_000, 500):
            for _ in range(500):
                eager.send(0, 9, message)
            for index in range(500):
                answer = eager.receive().responses[0].partition_responses[0]
                assert answer.base_offset == start + index


def test_requests_behind_one_that_waits_are_answered_after_it(broker):
    with connect(broker) as raw:
        for index in range(20):
            raw.send(
                3,
                9,
                Message(
                    topics=[Message(name=f"auto-{index}")],
                    allow_auto_topic_creation=True,
                    include_cluster_authorized_operations=False,
                    include_topic_authorized_operations=False,
                ),
            )
        for index in range(20):
            (topic,) = raw.receive().topics
            assert (topic.name, topic.error_code) == (f"auto-{index}", 0)


def test_more_connections_than_allowed_are_turned_away(tmp_path):
    with (
        running_broker(tmp_path, max_connections=2) as running,
        connect(running) as first,
        connect(running) as second,
    ):
        first.call(18, 0, Message())
        second.call(18, 0, Message())
        with connect(running) as third:
            assert third.is_closed_by_peer()
        first.call(18, 0, Message())


def test_thousands_of_idle_connections_cost_little(broker):
    with contextlib.ExitStack() as stack:
        host, _, port = broker.address.rpartition(":")
        before = resident_bytes()
        for _ in range(3_000):
            stack.enter_context(socket.create_connection((host, int(port))))
        assert_serves(broker)
        assert resident_bytes() - before < 3_000 * 8 * KIBIBYTE


def test_a_client_that_resets_its_connection_is_forgotten(broker):
    with connect(broker) as rude:
        rude.call(18, 0, Message())
        rude.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert_serves(broker)
    assert broker.call(lambda: broker.broker.counters.connections) <= 1


IDLERS = """
import socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = [socket.create_connection((host, port)) for _ in range(count)]
print("connected", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_ten_thousand_idle_connections_do_not_slow_the_others(broker):
    host, _, port = broker.address.rpartition(":")
    before = resident_bytes()
    idlers = subprocess.Popen(
        [sys.executable, "-c", IDLERS, host, port, "10000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with idlers:
        assert idlers.stdout.readline() == "connected\n"
        with connect(broker) as healthy:
            create(healthy, "t")
            for offset in range(200):
                assert produce(healthy, "t", batch(b"x")).base_offset == offset
            assert broker.call(lambda: broker.broker.counters.connections) == 10_001
        assert resident_bytes() - before < 10_000 * 8 * KIBIBYTE
        idlers.communicate()


def test_a_port_that_is_taken_leaves_nothing_open(tmp_path, broker):
    port = int(broker.address.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), running_broker(tmp_path / "b", port=port):
        pass
    with running_broker(tmp_path / "b"):
        pass
