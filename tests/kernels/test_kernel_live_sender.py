"""The sender: rings to sockets, partial frames, slow readers, ids that die with connections."""

from __future__ import annotations

import gc
import os
import random
import select
import socket
import sys

import pytest

from mainstem.kernels import Ring, Sender, latency_bounds

SMALL = 4096
OPEN: list[socket.socket] = []


class Peer:
    """The other end of a connection of a sender."""

    def __init__(self, sender: Sender, *, buffer: int | None = None) -> None:
        ours, self.socket = socket.socketpair()
        if buffer is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        ours.setblocking(False)
        self.socket.setblocking(False)
        self.ident = sender.add(ours.detach())
        OPEN.append(self.socket)

    def read(self) -> bytes:
        out = b""
        while True:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                return out
            if not data:
                return out
            out += data

    def ended(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True


@pytest.fixture
def sender():
    yield Sender()
    while OPEN:
        OPEN.pop().close()


def flush(sender: Sender) -> None:
    for phase in range(Sender.PHASE_COUNT):
        sender.flush(phase)


def say(sender: Sender, ring: Ring, *frames: bytes) -> None:
    for frame in frames:
        ring.append(frame, 0)
    sender.mark(ring)
    flush(sender)


def test_a_connection_is_sixty_four_bytes():
    assert Sender.CONNECTION_BYTES == 64


def test_all_readers_of_a_ring_get_the_same_bytes(sender):
    ring = Ring([])
    peers = [Peer(sender) for _ in range(40)]
    for peer in peers:
        assert sender.attach(peer.ident, ring, 0)
    say(sender, ring, b"one\n", b"two\n")
    assert {peer.read() for peer in peers} == {b"one\ntwo\n"}
    assert ring.viewers == 40
    assert ring.delivered == 80
    assert ring.sends == 40


def test_each_phase_has_its_share_of_the_readers(sender):
    ring = Ring([])
    peers = [Peer(sender) for _ in range(32)]
    for peer in peers:
        sender.attach(peer.ident, ring, 0)
    ring.append(b"x", 0)
    sender.mark(ring)
    served = []
    for phase in range(Sender.PHASE_COUNT):
        more = sender.flush(phase)
        served.append(sum(peer.read() == b"x" for peer in peers))
    assert served == [2] * 16
    assert not more


def test_a_marked_ring_is_flushed_in_all_phases_whichever_comes_first(sender):
    ring = Ring([])
    peers = [Peer(sender) for _ in range(16)]
    for peer in peers:
        sender.attach(peer.ident, ring, 0)
    ring.append(b"x", 0)
    sender.mark(ring)
    for phase in range(11, 27):
        sender.flush(phase % 16)
    assert all(peer.read() == b"x" for peer in peers)


def test_private_bytes_come_before_the_ring(sender):
    ring = Ring([])
    ring.append(b"ring", 0)
    peer = Peer(sender)
    sender.write(peer.ident, b"private ")
    sender.attach(peer.ident, ring, 0)
    assert peer.read() == b"private ring"


def test_a_reader_joins_where_it_is_told(sender):
    ring = Ring([])
    for frame in (b"0", b"1", b"2"):
        ring.append(frame, 0)
    peer = Peer(sender)
    assert sender.attach(peer.ident, ring, 2)
    assert peer.read() == b"2"


def test_a_forgotten_or_future_frame_cannot_be_joined(sender):
    ring = Ring([], 1024, 1024)
    for _ in range(30):
        ring.append(bytes(100), 0)
    peer = Peer(sender)
    assert not sender.attach(peer.ident, ring, ring.first - 1)
    assert not sender.attach(peer.ident, ring, ring.next + 1)
    assert ring.viewers == 0


def test_a_full_socket_is_finished_when_it_has_room(sender):
    ring = Ring([], 1 << 20, 1 << 20)
    peer = Peer(sender, buffer=SMALL)
    sender.attach(peer.ident, ring, 0)
    frames = [bytes([65 + number % 26]) * 1500 for number in range(200)]
    say(sender, ring, *frames)
    got = peer.read()
    assert 0 < len(got) < 300_000
    while len(got) < 300_000:
        sender.poll()
        got += peer.read()
    assert got == b"".join(frames)


def test_a_cut_frame_is_finished_after_the_ring_forgot_it(sender):
    ring = Ring([], 65_536, 65_536)
    peer = Peer(sender, buffer=SMALL)
    sender.attach(peer.ident, ring, 0)
    frames = [bytes([97 + number]) * 3001 for number in range(20)]
    say(sender, ring, *frames)
    number, queued = sender.position(peer.ident)
    assert 0 < queued < 3001  # the rest of the frame that was cut
    say(sender, ring, *[b"." * 3001] * 60)
    assert ring.first > number
    got = b""
    while not (reports := sender.take()):
        got += peer.read()
        sender.poll()
    got += peer.read()
    assert reports == [(peer.ident, Sender.LAPPED)]
    assert got == b"".join(frames[:number])


def test_a_lapped_reader_waits_for_a_decision_and_can_be_put_ahead(sender):
    ring = Ring([], 1024, 1024)
    peer = Peer(sender)
    sender.attach(peer.ident, ring, 0)
    for _ in range(30):
        ring.append(bytes(100), 0)
    sender.mark(ring)
    flush(sender)
    assert sender.take() == [(peer.ident, Sender.LAPPED)]
    say(sender, ring, b"unseen")
    assert peer.read() == b""
    assert sender.take() == []  # told once
    sender.write(peer.ident, b"state ")
    sender.attach(peer.ident, ring, ring.next)
    say(sender, ring, b"news")
    assert peer.read() == b"state news"
    assert sender.lapses == 1


def test_detaching_tells_the_next_frame_and_stops(sender):
    ring = Ring([])
    peer = Peer(sender)
    sender.attach(peer.ident, ring, 0)
    say(sender, ring, b"a", b"b")
    assert sender.detach(peer.ident) == 2
    say(sender, ring, b"c")
    assert peer.read() == b"ab"
    assert sender.detach(peer.ident) is None
    assert ring.viewers == 0


def test_a_reader_moves_to_another_ring(sender):
    first, second = Ring([]), Ring([])
    peer = Peer(sender)
    sender.attach(peer.ident, first, 0)
    sender.attach(peer.ident, second, 0)
    say(sender, first, b"first")
    say(sender, second, b"second")
    assert peer.read() == b"second"
    assert (first.viewers, second.viewers) == (0, 1)


def test_the_other_side_leaving_is_reported_once_and_the_id_dies(sender):
    ring = Ring([])
    peer = Peer(sender)
    sender.attach(peer.ident, ring, 0)
    sender.set_reading(peer.ident, False)
    peer.socket.close()
    sender.poll()
    assert sender.take() == [(peer.ident, Sender.CLOSED)]
    assert ring.viewers == 0
    assert sender.write(peer.ident, b"x") == -1
    assert sender.read(peer.ident) == b""
    assert sender.position(peer.ident) is None
    sender.close(peer.ident)
    assert sender.connections == 0


def test_an_id_is_not_used_again_for_the_next_connection(sender):
    first = Peer(sender)
    sender.close(first.ident)
    second = Peer(sender)
    assert first.ident != second.ident
    assert sender.write(first.ident, b"x") == -1
    assert second.read() == b""


def test_input_is_reported_and_read(sender):
    peer = Peer(sender)
    peer.socket.send(b"GET")
    sender.poll()
    assert sender.take() == [(peer.ident, Sender.READABLE)]
    assert sender.read(peer.ident) == b"GET"
    assert sender.read(peer.ident) is None
    peer.socket.shutdown(socket.SHUT_WR)
    sender.poll()
    assert sender.take() == [(peer.ident, Sender.READABLE)]
    assert sender.read(peer.ident) == b""


def test_input_nobody_wants_is_left_alone(sender):
    peer = Peer(sender)
    sender.set_reading(peer.ident, False)
    sender.poll()
    peer.socket.send(b"noise")
    sender.poll()
    assert sender.take() == []


def test_half_closing_ends_a_connection_that_is_not_read(sender):
    peer = Peer(sender)
    sender.set_reading(peer.ident, False)
    peer.socket.shutdown(socket.SHUT_WR)
    sender.poll()
    assert sender.take() == [(peer.ident, Sender.CLOSED)]


def test_the_last_bytes_arrive_though_input_was_unread(sender):
    peer = Peer(sender)
    peer.socket.send(b"a long body")
    sender.write(peer.ident, b"HTTP/1.1 413\r\n\r\n", True)
    assert peer.read() == b"HTTP/1.1 413\r\n\r\n"
    assert sender.connections == 1  # lingers, until the other side ends
    peer.socket.shutdown(socket.SHUT_WR)
    sender.poll()
    assert sender.take() == [(peer.ident, Sender.CLOSED)]


def test_what_is_written_after_the_end_is_dropped(sender):
    peer = Peer(sender, buffer=SMALL)
    sender.write(peer.ident, b"x" * 100_000, True)
    sender.write(peer.ident, b"late")
    assert not sender.attach(peer.ident, Ring([]), 0)
    got = b""
    while len(got) < 100_000:
        sender.poll()
        got += peer.read()
    assert got == b"x" * 100_000
    assert peer.ended()


def test_drained_is_reported_when_private_bytes_are_in_the_socket(sender):
    peer = Peer(sender, buffer=SMALL)
    assert sender.write(peer.ident, bytes(100_000), False, True) > 0
    assert sender.take() == []
    got = 0
    while not (reports := sender.take()):
        got += len(peer.read())
        sender.poll()
    assert reports == [(peer.ident, Sender.DRAINED)]
    assert sender.position(peer.ident) == (None, 0)


def test_drained_is_reported_at_once_where_nothing_waits(sender):
    peer = Peer(sender)
    sender.write(peer.ident, b"", False, True)
    assert sender.take() == [(peer.ident, Sender.DRAINED)]


def test_bytes_are_given_back_once_they_are_sent(sender):
    peer = Peer(sender, buffer=SMALL)
    data = os.urandom(200_000)
    before = sys.getrefcount(data)
    sender.write(peer.ident, data)
    assert sys.getrefcount(data) == before + 1
    while sender.position(peer.ident)[1]:
        peer.read()
        sender.poll()
    assert sys.getrefcount(data) == before
    sender.write(peer.ident, data)
    sender.close(peer.ident)
    assert sys.getrefcount(data) == before


def test_a_ring_nobody_names_lives_while_it_is_read(sender):
    ring = Ring([])
    peer = Peer(sender)
    sender.attach(peer.ident, ring, 0)
    ring.append(b"still here", 0)
    sender.mark(ring)
    del ring
    gc.collect()
    flush(sender)
    assert peer.read() == b"still here"


def test_a_deadline_is_reported_by_the_sweep_after_it(sender):
    near, far = Peer(sender), Peer(sender)
    sender.set_deadline(near.ident, 0.01)
    sender.set_deadline(far.ident, 1000)
    reports = []
    while not reports:
        select.select([], [], [], 0.01)
        sender.sweep(1000)
        reports = sender.take()
    assert reports == [(near.ident, Sender.DEADLINE)]
    sender.sweep(1000)
    assert sender.take() == []


def test_a_deadline_taken_back_does_not_come(sender):
    peer = Peer(sender)
    other = Peer(sender)
    sender.set_deadline(peer.ident, 0.01)
    sender.set_deadline(peer.ident, 0)
    sender.set_deadline(other.ident, 0.01)
    reports = []
    while not reports:
        select.select([], [], [], 0.01)
        sender.sweep(1000)
        reports = sender.take()
    assert reports == [(other.ident, Sender.DEADLINE)]


def test_a_socket_that_stays_full_is_dropped_by_the_sweep(sender):
    ring = Ring([], 1 << 20, 1 << 20)
    stalled, quick = Peer(sender, buffer=SMALL), Peer(sender)
    for peer in (stalled, quick):
        sender.attach(peer.ident, ring, 0)
    say(sender, ring, bytes(100_000))
    while quick.read():
        sender.poll()
    sender.take()
    sender.sweep(1000)
    assert sender.take() == []
    sender.sweep(0)
    assert (stalled.ident, Sender.STALLED) in sender.take()
    assert sender.connections == 1


def test_latency_is_counted_by_namespace_and_frames_without_a_time_apart(sender):
    import time

    ring = Ring([])
    peer = Peer(sender)
    sender.attach(peer.ident, ring, 0)
    now = time.time_ns() // 1000
    ring.append(b"a", now, -1, 0, now - 60_000, 3, 5)
    ring.append(b"b", now, -1, 0, 0, 1, 5)
    sender.mark(ring)
    flush(sender)
    counts, represented = sender.counts(5)
    assert represented == 4
    assert counts[0] == 1
    bounds = latency_bounds()
    [bucket] = [place for place, count in enumerate(counts[1:]) if count]
    assert bounds[bucket - 1] <= 0.06 < bounds[bucket] + 0.06
    assert sum(sender.counts(4)[0]) == 0


def test_every_latency_has_the_bucket_its_bounds_say(sender):
    import time

    bounds = latency_bounds()
    assert bounds == sorted(bounds)
    ring = Ring([])
    peer = Peer(sender)
    sender.attach(peer.ident, ring, 0)
    for ago in (0.0001, 0.001, 0.0101, 0.1, 0.9, 3.0, 16.0, 1000.0):
        before, _ = sender.counts(1)
        now = time.time_ns() // 1000
        ring.append(b"x", now, -1, 0, now - int(ago * 1e6), 1, 1)
        sender.mark(ring)
        flush(sender)
        after, _ = sender.counts(1)
        [bucket] = [n for n, (a, b) in enumerate(zip(before[1:], after[1:], strict=True)) if a != b]
        spent = time.time_ns() // 1000 - now
        assert bounds[bucket] * 1e6 >= ago * 1e6
        assert bucket == 0 or bounds[bucket - 1] * 1e6 <= ago * 1e6 + spent + 1


def test_accepting_gives_ids_and_addresses(sender):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        accepted = sender.accept(listener.fileno(), 2)
        accepted += sender.accept(listener.fileno(), 2)
        assert [address for _, address in accepted] == ["127.0.0.1"] * 3
        for ident, _ in accepted:
            sender.write(ident, b"hello")
        assert [client.recv(10) for client in clients] == [b"hello"] * 3
        assert sender.accept(listener.fileno()) == []
        for client in clients:
            client.close()


def test_who_goes_on_sending_after_the_end_is_cut_after_a_mebibyte(sender):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        with socket.create_connection(listener.getsockname()) as client:
            client.settimeout(10)
            [(ident, _)] = sender.accept(listener.fileno())
            sender.write(ident, b"HTTP/1.1 413\r\n\r\n", True)
            sent = 0
            while sent < 1 << 20:  # so much is thrown away: the answer is read meanwhile
                sent += client.send(bytes(65_536))
                sender.poll()
                assert sender.take() == []
            assert client.recv(100) == b"HTTP/1.1 413\r\n\r\n"
            cut = []
            while not cut and sent < 16 << 20:
                sent += client.send(bytes(65_536))
                sender.poll()
                cut = sender.take()
            assert cut == [(ident, Sender.CLOSED)]
            assert sent <= (1 << 20) + (1 << 18)  # what the sockets' buffers hold comes late


def test_accepting_from_what_does_not_listen_is_an_error(sender):
    with socket.socket() as closed, pytest.raises(OSError, match="argument"):
        sender.accept(closed.fileno())


def test_three_hundred_readers_of_random_speed_all_get_everything_in_order(sender):
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    ring = Ring([], 1 << 20, 1 << 20)
    peers = [Peer(sender, buffer=SMALL if number % 3 else None) for number in range(300)]
    got = [b""] * len(peers)
    for peer in peers:
        sender.attach(peer.ident, ring, 0)
    sent = b""
    for _ in range(60):
        frame = rng.randbytes(rng.randrange(1, 6000))
        sent += frame
        ring.append(frame, 0)
        sender.mark(ring)
        sender.flush(rng.randrange(16))
        for number in rng.sample(range(len(peers)), 60):
            got[number] += peers[number].read()
        sender.poll()
    flush(sender)
    flush(sender)
    while min(map(len, got)) < len(sent):
        for number, peer in enumerate(peers):
            got[number] += peer.read()
        sender.poll()
    assert all(each == sent for each in got), f"seed {seed}"
    assert sender.take() == []


def test_a_ring_that_turns_before_its_phases_came_says_so_and_can_be_sent_at_once(sender):
    ring = Ring([], 1024, 1024)
    peers = [Peer(sender) for _ in range(20)]
    for peer in peers:
        sender.attach(peer.ident, ring, 0)
    pressed = []
    for _ in range(30):
        ring.append(bytes(100), 0)
        pressed.append(sender.mark(ring))
        if pressed[-1]:
            sender.flush_ring(ring)
    assert pressed.count(True) == 5
    flush(sender)
    assert sender.take() == []
    assert {len(peer.read()) for peer in peers} == {3000}
