"""File to socket, without copying."""

from __future__ import annotations

import os
import socket

import pytest

from mainstem.kernels import send_file

CONTENT = os.urandom(3_000_000)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "segment"
    path.write_bytes(CONTENT)
    with path.open("rb") as opened:
        yield opened


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    left.setblocking(False)
    with left, right:
        yield left, right


def test_a_slice_arrives_byte_for_byte(file, pair):
    left, right = pair
    assert send_file(left.fileno(), file.fileno(), 1_000, 5_000, 0) == 5_000
    assert right.recv(10_000) == CONTENT[1_000:6_000]


def test_a_full_socket_is_left_with_what_it_took(file, pair):
    left, right = pair
    sent = send_file(left.fileno(), file.fileno(), 0, len(CONTENT), 0)
    assert 0 < sent < len(CONTENT)
    received = b""
    while len(received) < sent:
        received += right.recv(1 << 20)
    assert received == CONTENT[:sent]


def test_waiting_for_a_receiver_that_does_not_read_ends(file, pair):
    left, _ = pair
    assert 0 < send_file(left.fileno(), file.fileno(), 0, len(CONTENT), 100) < len(CONTENT)
    assert send_file(left.fileno(), file.fileno(), 0, 10, 100) == 0


def test_a_file_that_ends_early_is_told(file, pair):
    left, _ = pair
    assert send_file(left.fileno(), file.fileno(), len(CONTENT) - 10, 500, 0) == -11
    assert send_file(left.fileno(), file.fileno(), len(CONTENT) + 5, 1, 0) == -1


def test_a_closed_receiver_is_an_error(file, pair):
    left, right = pair
    right.close()
    with pytest.raises(BrokenPipeError):
        send_file(left.fileno(), file.fileno(), 0, 1000, 0)


@pytest.mark.parametrize(("position", "size"), [(-1, 5), (0, -1)])
def test_a_negative_range_is_refused(file, pair, position, size):
    with pytest.raises(ValueError, match="cannot send"):
        send_file(pair[0].fileno(), file.fileno(), position, size, 0)
