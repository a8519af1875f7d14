"""Workers, nodes and what their viewers are told."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mainstem.errors import Corrupt, Invalid
from mainstem.live.viewers import Announcement, NodeViewers, ViewerSettings, WorkerViewers
from mainstem.live.viewers.worker import MOST_IDS

VIEWERS, PRESENCE = "viewers:42", "presence:42"


class Site:
    """A node and its workers, with time."""

    def __init__(self, workers: int = 1, **changes: Any) -> None:
        self.settings = ViewerSettings(**changes)
        self.node = NodeViewers("n1", 1, self.settings, alone=True)
        self.workers = [WorkerViewers(self.settings) for _ in range(workers)]
        self.now = 1000.0

    def joined(self, user: str | None, worker: int = 0, name: str = "42") -> None:
        self.workers[worker].joined([name], user, self.now)

    def left(self, user: str | None, worker: int = 0, name: str = "42") -> None:
        self.workers[worker].left([name], user, self.now)

    def step(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """Let time pass, reports arrive and announcements out."""
        self.now += seconds
        for number, worker in enumerate(self.workers):
            payload = worker.changes(self.now)
            if payload is not None:
                self.node.report(number, payload, self.now)
        return said(self.node.tick(self.now))

    def watch(self, channel: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.node.watch(channel, self.now))
        return found


def said(found: list[Announcement]) -> list[dict[str, Any]]:
    return [json.loads(each.state) for each in found]


def numbers(frame: dict[str, Any]) -> tuple[int, int, float]:
    return frame["connections"], frame["users"], frame["error"]


def test_the_first_frame_is_the_state() -> None:
    site = Site()
    for user in ("ann", "ann", None):
        site.joined(user)
    site.step()
    assert site.watch(VIEWERS) == {
        "channel": VIEWERS,
        "kind": "viewers",
        "connections": 3,
        "users": 2,
        "error": 0.0,
        "snapshot": True,
    }


def test_a_small_channel_is_told_at_once() -> None:
    site = Site()
    site.watch(VIEWERS)
    for count in range(1, 50):
        site.joined(f"user {count}")
        assert [numbers(each) for each in site.step(0.1)] == [(count, count, 0.0)]


def test_connections_and_users_add_up_over_workers() -> None:
    site = Site(workers=3)
    site.watch(VIEWERS)
    for worker in range(3):
        site.joined("ann", worker)
        site.joined(f"only {worker}", worker)
        site.joined(None, worker)
    assert [numbers(each) for each in site.step()] == [(9, 7, 0.0)]


def test_a_connection_of_two_channels_is_one_viewer() -> None:
    site = Site()
    site.watch(VIEWERS)
    site.workers[0].joined(["42", "42"], "ann", site.now)
    assert numbers(site.step()[0]) == (1, 1, 0.0)
    site.workers[0].left(["42", "42"], "ann", site.now)
    site.step()
    assert numbers(site.step(5.0)[0]) == (0, 0, 0.0)


def test_a_flapping_phone_does_not_show() -> None:
    site = Site(workers=2)
    site.watch(VIEWERS)
    site.watch(PRESENCE)
    site.joined("ann", 0)
    site.joined("bob", 1)
    site.joined(None, 1)
    site.step()
    for second in range(50):
        worker = second % 2
        site.left("ann", worker)
        site.left(None, 1 - worker)
        assert site.step(0.5) == []
        site.joined("ann", 1 - worker)
        site.joined(None, worker)
        assert site.step(0.5) == []


def test_who_stays_away_is_gone_after_the_grace() -> None:
    site = Site()
    site.watch(VIEWERS)
    site.joined("ann")
    site.joined("bob")
    site.step()
    site.left("ann")
    assert site.step(0.1) == []
    assert site.step(4.9) == []
    assert [numbers(each) for each in site.step(0.1)] == [(1, 1, 0.0)]
    assert site.step(100) == []


def test_a_killed_worker_whose_viewers_come_back_does_not_show() -> None:
    site = Site(workers=2)
    site.watch(VIEWERS)
    site.watch(PRESENCE)
    for number in range(20):
        site.joined(f"user {number}", number % 2)
    site.step()
    site.node.worker_gone(0, site.now)
    site.workers[0] = WorkerViewers(site.settings)
    assert site.step(0.1) == []
    for number in range(0, 20, 2):
        site.joined(f"user {number}", 1)
    assert site.step(3.0) == []
    assert site.step(10.0) == []
    assert numbers(site.watch(VIEWERS)) == (20, 20, 0.0)


def test_a_killed_worker_whose_viewers_stay_away_is_counted_out() -> None:
    site = Site(workers=2)
    site.watch(VIEWERS)
    for number in range(20):
        site.joined(f"user {number}", number % 2)
    site.step()
    site.node.worker_gone(0, site.now)
    site.workers[0] = WorkerViewers(site.settings)
    assert site.step(4.9) == []
    site.step(0.2)
    site.step(5.1)
    assert numbers(site.watch(VIEWERS)) == (10, 10, 0.0)
    site.node.worker_gone(7, site.now)  # not known: nothing


def test_a_large_channel_is_told_every_few_seconds() -> None:
    site = Site()
    site.watch(VIEWERS)
    told = []
    for tick in range(400):  # 40 seconds of 100 new connections every 100 ms
        for number in range(100):
            site.joined(f"{tick}-{number}")
        told += [site.now for _ in site.step(0.1)]
    early, late = told[0], [when for when in told if when > told[0] + 10]
    assert early <= 1000.2
    assert all(b - a >= 4.9 for a, b in pairwise(late))
    site.step(6)
    site.step(6)
    connections, users, error = numbers(site.watch(VIEWERS))
    assert connections == 40_000
    assert error == 0.0081
    assert abs(users / 40_000 - 1) < 4 * error


def test_the_last_number_is_always_told() -> None:
    site = Site()
    site.watch(VIEWERS)
    for number in range(500):
        site.joined(f"user {number}")
        site.step(0.001)
    frames = [frame for _ in range(30) for frame in site.step(1.0)]
    assert numbers(frames[-1]) == (500, 500, 0.0)


def test_an_estimate_is_never_above_what_is_possible() -> None:
    site = Site()
    for seed in range(3):
        name = str(seed)
        for number in range(10_500):
            site.joined(f"{seed}-{number}", name=name)
        site.step(2)
        count = site.node.count(name)
        assert count.connections == 10_500
        assert count.users <= 10_500


def test_nobody_is_told_of_what_nobody_watches() -> None:
    site = Site()
    site.watch(VIEWERS)
    site.node.unwatch(VIEWERS)
    site.node.unwatch(VIEWERS)
    site.joined("ann")
    site.joined("ann", name="43")
    assert site.step() == []
    assert numbers(site.watch(VIEWERS)) == (1, 1, 0.0)


@pytest.mark.parametrize("channel", ["comments:42", "viewers", "viewers:", ""])
def test_other_channels_are_refused(channel: str) -> None:
    with pytest.raises(Invalid):
        Site().watch(channel)


# Presence -------------------------------------------------------------------------------------


def test_presence_begins_with_all_and_goes_on_with_changes() -> None:
    site = Site()
    site.joined("bob")
    site.joined("ann")
    site.joined(None)
    site.step()
    first = site.watch(PRESENCE)
    assert (first["users"], first["count"], first["snapshot"]) == (["ann", "bob"], 3, True)
    site.joined("cas")
    site.joined("ann")  # a second tab is not news
    frames = site.step(0.1)
    assert [(f["joined"], f["left"], f["count"]) for f in frames] == [(["cas"], [], 4)]
    assert frames[0]["version"] == first["version"] + 1
    site.left("bob")
    site.left("ann")
    assert site.step(0.1) == []
    frames = site.step(5.0)
    assert [(f["joined"], f["left"], f["count"]) for f in frames] == [([], ["bob"], 3)]
    assert site.watch(PRESENCE)["users"] == ["ann", "cas"]


def test_presence_of_many_says_how_many_and_comes_back_to_who() -> None:
    site = Site(presence_limit=10, grace=0.0)
    site.watch(PRESENCE)
    for number in range(10):
        site.joined(f"user {number}")
    assert len(site.step(0.1)[0]["joined"]) == 10
    site.joined("one more")
    (frame,) = site.step(0.1)
    assert (frame["users"], frame["count"], frame["snapshot"]) == (None, 11, True)
    assert site.watch(PRESENCE)["users"] is None
    for number in range(2):  # 9 is not below 80 % yet
        site.left(f"user {number}")
    assert [f["users"] for f in site.step(0.1)] == [None]
    site.left("user 2")
    (frame,) = site.step(0.1)
    assert (len(frame["users"]), frame["count"], frame["snapshot"]) == (8, 8, True)


class PresenceReader:
    """What a client makes of the frames."""

    def __init__(self, frame: dict[str, Any]) -> None:
        self.users: set[str] | None = None
        self.version = -1
        self.take(frame)

    def take(self, frame: dict[str, Any]) -> None:
        if "snapshot" in frame:
            self.users = None if frame["users"] is None else set(frame["users"])
        else:
            assert frame["version"] == self.version + 1
            assert self.users is not None
            assert self.users >= set(frame["left"])
            assert not self.users & set(frame["joined"])
            self.users = (self.users | set(frame["joined"])) - set(frame["left"])
        self.version = frame["version"]


class CountingMachine(RuleBasedStateMachine):
    """Three workers against sets that hold every connection."""

    def __init__(self) -> None:
        super().__init__()
        self.site = Site(workers=3, presence_limit=4, grace=2.0)
        self.site.watch(VIEWERS)
        self.presence = PresenceReader(self.site.watch(PRESENCE))
        self.open: list[tuple[str | None, int]] = []
        self.last = (0, 0, 0.0)

    def step(self, seconds: float) -> None:
        for frame in self.site.step(seconds):
            if frame["kind"] == "presence":
                self.presence.take(frame)
            else:
                self.last = numbers(frame)

    @rule(user=st.sampled_from(["ann", "bob", "cas", "dan", "eve", None]), worker=st.integers(0, 2))
    def join(self, user: str | None, worker: int) -> None:
        self.site.joined(user, worker)
        self.open.append((user, worker))

    @precondition(lambda self: self.open)
    @rule(pick=st.randoms(use_true_random=False))
    def leave(self, pick: Any) -> None:
        user, worker = self.open.pop(pick.randrange(len(self.open)))
        self.site.left(user, worker)

    @rule(worker=st.integers(0, 2))
    def kill(self, worker: int) -> None:
        self.site.node.worker_gone(worker, self.site.now)
        self.site.workers[worker] = WorkerViewers(self.site.settings)
        self.open = [each for each in self.open if each[1] != worker]

    @rule(tenths=st.integers(0, 30))
    def let_time_pass(self, tenths: int) -> None:
        self.step(tenths / 10)

    @rule()
    def settle(self) -> None:
        """All that is true now has been for longer than the grace: it is what is shown."""
        for _ in range(5):
            self.step(1.0)
        names = {user for user, _ in self.open if user is not None}
        anonymous = sum(user is None for user, _ in self.open)
        users = len(names) + anonymous
        assert self.last == (len(self.open), users, 0.0)
        if len(names) <= 3:
            assert self.presence.users == names
        if len(names) > 4:
            assert self.presence.users is None

    @invariant()
    def the_count_is_exact_once_reported(self) -> None:
        self.step(0.0)
        count = self.site.node.count("42")
        names = {user for user, _ in self.open if user is not None}
        anonymous = sum(user is None for user, _ in self.open)
        assert (count.connections, count.users) == (len(self.open), len(names) + anonymous)
        assert self.last[0] >= len(self.open) or self.last[1] >= count.users


CountingMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestCounting = CountingMachine.TestCase


# Memory and bad input -----------------------------------------------------------------------


def test_very_many_ids_touched_once_leave_nothing() -> None:
    site = Site()
    for start in range(0, 60_000, 1000):
        for number in range(start, start + 1000, 10):
            site.workers[0].joined([f"{number + k}" for k in range(10)], None, site.now)
        if start % 2000:
            site.step(0.1)  # every other thousand is reported
        for number in range(start, start + 1000, 10):
            site.workers[0].left([f"{number + k}" for k in range(10)], None, site.now)
        site.step(0.1)
    worker, node = site.workers[0], site.node
    assert len(worker) == len(worker._pace) == 0
    assert len(node) == len(node._announce) == len(node._publish) == 0
    assert not node._workers[0]


def test_an_id_that_came_and_went_unheard_is_not_reported() -> None:
    worker = WorkerViewers()
    worker.joined(["42"], "ann", 0.0)
    worker.left(["42"], "ann", 0.0)
    assert worker.changes(10.0) is None
    assert len(worker) == len(worker._pace) == 0


def test_a_report_is_bounded_and_the_next_goes_on() -> None:
    worker = WorkerViewers()
    worker.joined(map(str, range(2 * MOST_IDS + 1)), "ann", 0.0)
    node = NodeViewers("n1", 1, alone=True)
    sizes = []
    while (payload := worker.changes(0.0)) is not None:
        sizes.append(len(payload))
        node.report(0, payload, 0.0)
    assert len(sizes) == 3
    assert len(node) == 2 * MOST_IDS + 1


def test_a_report_of_large_sets_is_bounded_too() -> None:
    worker = WorkerViewers()
    for name in map(str, range(100)):
        for number in range(1000):
            worker.joined([name], f"{'x' * 200}{number}", 0.0)
    payload = worker.changes(2.0)
    assert payload is not None
    assert len(payload) < 6 << 20


def test_leaving_without_having_joined_is_an_error() -> None:
    worker = WorkerViewers()
    with pytest.raises(KeyError):
        worker.left(["42"], "ann", 0.0)
    worker.joined(["42"], "ann", 0.0)
    for user in ("bob", None):
        with pytest.raises(KeyError):
            worker.left(["42"], user, 0.0)


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x91\x80\x00", b"\x91\x81\xa242\x93\x01\x02\xc0"]
)
def test_a_damaged_report_is_refused(payload: bytes) -> None:
    with pytest.raises(Corrupt):
        Site().node.report(0, payload, 0.0)
