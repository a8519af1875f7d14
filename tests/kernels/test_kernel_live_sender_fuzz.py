"""The sender under random use: whatever is done to it, no stream is ever torn."""

from __future__ import annotations

import random
import socket
import struct

import pytest

from mainstem.kernels import Ring, Sender

PRIVATE = 255
HEADER = struct.Struct(">BII")  # which ring, number, bytes that follow


class Reader:
    """The other end: takes whole messages out of the stream and checks their order."""

    def __init__(self, sender: Sender, rng: random.Random) -> None:
        ours, self.socket = socket.socketpair()
        if rng.random() < 0.7:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.setblocking(False)
        self.socket.setblocking(False)
        self.ident = sender.add(ours.detach())
        self.begins: list[tuple[int, int]] = []  # (ring, number) of every attach, in order
        self.written = 0
        self.heard = 0
        self.stream = b""
        self.place: tuple[int, int] | None = None
        self.ended = False

    def read(self, most: int) -> None:
        try:
            data = self.socket.recv(most)
        except BlockingIOError:
            return
        self.ended |= not data
        self.stream += data
        while len(self.stream) >= HEADER.size:
            ring, number, size = HEADER.unpack_from(self.stream)
            if len(self.stream) < HEADER.size + size:
                return
            body = self.stream[HEADER.size : HEADER.size + size]
            self.stream = self.stream[HEADER.size + size :]
            assert body == bytes([number % 251]) * size
            self._check(ring, number)

    def _check(self, ring: int, number: int) -> None:
        if ring == PRIVATE:
            assert number == self.heard
            self.heard += 1
            return
        if self.place != (ring, number):  # then it was put there
            while self.begins and self.begins[0] != (ring, number):
                self.begins.pop(0)
            assert self.begins, f"nobody put it at frame {number} of ring {ring}"
        self.place = (ring, number + 1)


def message(ring: int, number: int, size: int) -> bytes:
    return HEADER.pack(ring, number, size) + bytes([number % 251]) * size


def use(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    sender = Sender()
    rings = [Ring([], 1024, rng.choice([1024, 4096, 65_536]), keep_ms=1) for _ in range(4)]
    readers: list[Reader] = []
    try:
        for _ in range(steps):
            step(rng, sender, rings, readers)
            lapped = [ident for ident, kind in sender.take() if kind == Sender.LAPPED]
            for reader in [reader for reader in readers if reader.ident in lapped]:
                attach(rng, sender, rings, reader)
        for reader in readers:
            sender.write(reader.ident, b"", True)
        for _ in range(100_000):
            sender.poll()
            for reader in readers:
                if not reader.ended:
                    reader.read(1 << 16)
            if all(reader.ended for reader in readers):
                break
        assert all(reader.ended for reader in readers)
        assert all(not reader.stream for reader in readers), "a torn message"
        assert all(reader.heard == reader.written for reader in readers)
        sender.poll()
    finally:
        for reader in readers:
            reader.socket.close()


def attach(rng: random.Random, sender: Sender, rings: list[Ring], reader: Reader) -> None:
    which = rng.randrange(len(rings))
    ring = rings[which]
    number = rng.randint(max(ring.first, ring.next - 5), ring.next)
    reader.begins.append((which, number))
    assert sender.attach(reader.ident, ring, number)


def step(rng: random.Random, sender: Sender, rings: list[Ring], readers: list[Reader]) -> None:
    choice = rng.random()
    which = rng.randrange(len(rings))
    if choice < 0.45:
        ring = rings[which]
        ring.append(message(which, ring.next, rng.randrange(900)), rng.randrange(1 << 20))
        if sender.mark(ring) and rng.random() < 0.5:
            sender.flush_ring(ring)
        return
    if choice < 0.65:
        sender.flush(rng.randrange(Sender.PHASE_COUNT))
        return
    if choice < 0.70 and len(readers) < 40:
        readers.append(Reader(sender, rng))
        return
    if not readers:
        return
    reader = rng.choice(readers)
    if choice < 0.80:
        reader.read(rng.randrange(1, 20_000))
        sender.poll()
    elif choice < 0.87:
        attach(rng, sender, rings, reader)
    elif choice < 0.90:
        sender.detach(reader.ident)
    elif choice < 0.98:
        sender.write(reader.ident, message(PRIVATE, reader.written, rng.randrange(3000)))
        reader.written += 1
    elif choice < 0.99:
        sender.close(reader.ident)
        reader.socket.close()
        readers.remove(reader)
        assert sender.write(reader.ident, b"x") == -1
    else:
        sender.set_reading(reader.ident, rng.random() < 0.5)


def test_no_stream_is_torn_by_random_use():
    for _ in range(40):
        seed = random.randrange(1 << 30)
        try:
            use(seed, 1500)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.slow
def test_no_stream_is_torn_by_much_random_use():
    for _ in range(60):
        seed = random.randrange(1 << 30)
        try:
            use(seed, 5000)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
