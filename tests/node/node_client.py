"""A Kafka client of fifty lines, blocking, and a node to talk to: what these tests need."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mainstem import wire
from mainstem.wire import Message

PATIENCE_S = 30.0


class Client:
    """One connection to a broker; raises OSError when it breaks."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), PATIENCE_S)
        self._ids = itertools.count(1)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def ask(self, api_key: int, version: int, message: Message) -> Message:
        body = wire.encode_request(api_key, version, message)
        self._socket.sendall(wire.request_frame(api_key, version, next(self._ids), "test", body))
        (size,) = struct.unpack(">i", self._receive(4))
        frame = self._receive(size)
        start = wire.response_body_start(api_key, version, frame, 0, size)
        return wire.decode_response(api_key, version, frame, start)

    def create(self, topic: str) -> None:
        """By asking for its metadata, as most clients do."""
        wanted = [Message(name=topic, topic_id=None)]
        answer = self.ask(3, 4, Message(topics=wanted, allow_auto_topic_creation=True))
        assert answer.topics[0].error_code in (0, 5)

    def produce(self, topic: str, values: list[bytes], acks: int = -1) -> int:
        """Base offset; acks -1 is "on disk"."""
        response = self._produce(topic, values, acks)
        assert response.error_code == 0, response
        return int(response.base_offset)

    def try_produce(self, topic: str, values: list[bytes]) -> int:
        """Kafka's error code."""
        return int(self._produce(topic, values, -1).error_code)

    def _produce(self, topic: str, values: list[bytes], acks: int) -> Message:
        batch = wire.encode_batch(pa.array(values, pa.binary()), now_ms=1_700_000_000_000)
        partition = Message(index=0, records=bytes(batch))
        topic_data = [Message(name=topic, partition_data=[partition])]
        request = Message(
            transactional_id=None, acks=acks, timeout_ms=30_000, topic_data=topic_data
        )
        answer: Message = self.ask(0, 8, request).responses[0].partition_responses[0]
        return answer

    def values(self, topic: str) -> list[bytes]:
        """Everything in partition 0, in order; offsets must be 0, 1, 2, …"""
        found: list[bytes] = []
        while True:
            records = self._fetch(topic, len(found))
            if not records:
                return found
            rows = wire.decode_batches(records, from_offset=len(found)).records
            wanted = range(len(found), len(found) + rows.num_rows)
            assert rows.column("_offset").to_pylist() == list(wanted)
            found += rows.column("value").to_pylist()

    def _fetch(self, topic: str, offset: int) -> bytes:
        partition = Message(
            partition=0, fetch_offset=offset, partition_max_bytes=1 << 22, log_start_offset=-1
        )
        request = Message(
            replica_id=-1,
            max_wait_ms=0,
            min_bytes=0,
            topics=[Message(topic=topic, partitions=[partition])],
            forgotten_topics_data=[],
        )
        answer = self.ask(1, 4, request).responses[0].partitions[0]
        assert answer.error_code == 0, answer
        return bytes(answer.records or b"")

    def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError("the broker closed the connection")
            data += part
        return bytes(data)


@dataclass
class Node:
    """A ``mainstem serve`` process that is ready."""

    process: subprocess.Popen[str]
    kafka: str
    http: str
    data: str
    line: str

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and text of an HTTP request."""
        request = urllib.request.Request(f"http://{self.http}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def broker_pid(self) -> int:
        """The broker process: the supervisor's only child."""
        pid = self.process.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code, and what was said on standard error."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=PATIENCE_S)[1]
        return self.process.returncode, said


def command(data: Path, *arguments: str, kafka: str = "127.0.0.1:0") -> list[str]:
    return [
        *(sys.executable, "-m", "mainstem", "serve", "--data", str(data)),
        *("--kafka", kafka, "--http", "127.0.0.1:0", *arguments),
    ]


def environment(**extra: str) -> dict[str, str]:
    """The test's own, without what would configure a node."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
    return clean | extra


@contextmanager
def serve(data: Path, *arguments: str, kafka: str = "127.0.0.1:0") -> Iterator[Node]:
    """A running node; killed, with its broker, if the test has not stopped it."""
    process = subprocess.Popen(
        command(data, *arguments, kafka=kafka),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        process_group=0,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the node said nothing: {process.communicate()[1]}")
        words: dict[str, Any] = dict(word.partition("=")[::2] for word in line.split()[1:])
        yield Node(process, words["kafka"], words["http"], words["data"], line)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def failing(data: Path, *arguments: str, **options: Any) -> tuple[int, str, str]:
    """Exit code, output and errors of a ``serve`` that ends by itself."""
    done = subprocess.run(
        command(data, *arguments, **options),
        capture_output=True,
        check=False,
        text=True,
        env=environment(),
        timeout=PATIENCE_S,
    )
    return done.returncode, done.stdout, done.stderr


def gone(pid: int) -> bool:
    """Waits until a process that is not ours to wait for has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        import select

        return bool(select.select([descriptor], [], [], PATIENCE_S)[0])
    finally:
        os.close(descriptor)


def until(condition: Any, what: str) -> None:
    """Polls a condition that other processes make true; fails after ``PATIENCE_S``."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S} s"
        time.sleep(0.005)
