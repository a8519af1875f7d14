"""How much one address and one user may have at once: counts and token buckets, bounded."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from mainstem.clock import Clock
from mainstem.live.access.errors import LimitReached
from mainstem.live.access.settings import LimitSettings


class Buckets:
    """Token buckets by key, one float each (GCRA: the time at which the bucket is full again).

    A bucket that is full again says the same as one that is not there, so it is forgotten; of
    more than ``remembered`` that are not full the longest untouched goes first (``forgotten``
    counts these: above zero, limits were looser than set). Not thread-safe.
    """

    def __init__(self, rate: float, burst: int, remembered: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._depth = burst / rate if rate else 0.0
        self._remembered = remembered
        self._clock = clock
        self._full_at: dict[str, float] = {}  # ordered by last use
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, key: str, count: int = 1) -> float:
        """Seconds until ``key`` has ``count`` tokens; 0.0: it has them now. Takes none."""
        if not self._rate:
            return 0.0
        now = self._clock.monotonic()
        full_at = max(self._full_at.get(key, now), now)
        # A burst of n is n tokens at once: tolerance for rounding keeps it n.
        return max(0.0, full_at + count / self._rate - now - self._depth - 1e-9)

    def take(self, key: str, count: int = 1) -> float:
        """Take ``count`` tokens of ``key`` (a whole burst at most): 0.0, or without taking any
        the seconds until they are there."""
        count = min(count, self._burst)
        delay = self.wait(key, count)
        if delay or not self._rate:
            return delay
        now = self._clock.monotonic()
        full_at = max(self._full_at.pop(key, now), now)
        self._full_at[key] = full_at + count / self._rate
        self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        for _ in range(2):  # more than one comes in at a time, so the full ones always drain
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now:
                break
            del self._full_at[oldest]
        if len(self._full_at) > self._remembered:
            del self._full_at[next(iter(self._full_at))]
            self.forgotten += 1


class Admission:
    """One connection's place; give it back with :meth:`release`, or use it in a ``with``."""

    __slots__ = ("_release",)

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Give the place back; a second time does nothing."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __enter__(self) -> Admission:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class Limits:
    """Connections and rates that one worker gives. Not thread-safe."""

    def __init__(self, settings: LimitSettings, clock: Clock) -> None:
        def buckets(rate: float, burst: int) -> Buckets:
            return Buckets(rate, burst, settings.remembered, clock)

        self._per_address = settings.connections_per_address
        self._per_user = settings.connections_per_user
        self._connects = buckets(settings.connects_per_address, settings.connects_burst)
        self._address_publishes = buckets(settings.publishes_per_address, settings.publishes_burst)
        self._user_publishes = buckets(settings.publishes_per_user, settings.publishes_burst)
        self._channels = buckets(settings.channels_per_address, settings.channels_burst)
        self._failures = buckets(settings.failures_per_address, settings.failures_burst)
        self._addresses: dict[str, int] = {}
        self._users: dict[str, int] = {}

    def connect(self, address: str, user: str | None) -> Admission:
        """A place for a connection. Raises ``LimitReached``, and then keeps nothing."""
        delay = self._connects.take(address)
        if delay:
            raise LimitReached(
                f"too many new connections from {address}: try again in {delay:.0f} s",
                reason="connects_per_address",
                retry_after=delay,
            )
        self._check(self._addresses, address, self._per_address, "connections_per_address")
        if user is not None:
            self._check(self._users, user, self._per_user, "connections_per_user")
            self._users[user] = self._users.get(user, 0) + 1
        self._addresses[address] = self._addresses.get(address, 0) + 1

        def release() -> None:
            _lower(self._addresses, address)
            if user is not None:
                _lower(self._users, user)

        return Admission(release)

    def publish(self, address: str, user: str | None) -> None:
        """Count one publish. Raises ``LimitReached`` with the wait, and then counts nothing."""
        delay = self._address_publishes.wait(address)
        if user is not None:
            delay = max(delay, self._user_publishes.wait(user))
        if delay:
            raise LimitReached(
                f"too many messages at once: send the next in {delay:.1f} s",
                reason="publish_rate",
                retry_after=delay,
            )
        self._address_publishes.take(address)
        if user is not None:
            self._user_publishes.take(user)

    def open_channels(self, address: str, count: int) -> None:
        """Count channels that nobody watched here before. Raises ``LimitReached``."""
        delay = self._channels.take(address, count)
        if delay:
            raise LimitReached(
                f"too many channels that nobody else watches: try again in {delay:.0f} s",
                reason="channels_per_address",
                retry_after=delay,
            )

    def check_failures(self, address: str) -> None:
        """Raise ``LimitReached`` where so many tokens were wrong that none is looked at."""
        delay = self._failures.wait(address)
        if delay:
            raise LimitReached(
                f"too many bad tokens from {address}: try again in {delay:.0f} s",
                reason="failures_per_address",
                retry_after=delay,
            )

    def failed(self, address: str) -> None:
        """Count a token that was wrong."""
        self._failures.take(address)

    def held(self) -> tuple[int, int]:
        """Addresses and users that have connections now, for gauges."""
        return len(self._addresses), len(self._users)

    @staticmethod
    def _check(counts: dict[str, int], key: str, limit: int, reason: str) -> None:
        if limit and counts.get(key, 0) >= limit:
            raise LimitReached(
                f"{counts[key]} connections of one {reason.rpartition('_')[2]} are the most "
                "this server gives: close some",
                reason=reason,
                retry_after=30.0,
            )


def _lower(counts: dict[str, int], key: str) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
