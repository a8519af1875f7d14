"""The ``[viewers]`` part of ``live.toml``."""

from __future__ import annotations

import msgspec

from mainstem.kernels import hyperloglog

EXACT_USERS = 10_000
SKETCH_ERROR: float = hyperloglog.SKETCH_ERROR
LARGE = 10_000
SMALL = 100


class ViewerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How viewers are counted and told. Times in seconds.

    ``grace``: a number falls, and somebody is said to have left, only after staying away so
    long. ``slowest``: pause between announcements of a large channel (10,000 connections or
    more); below 100 there is none. ``presence_limit``: above so many users presence says how
    many, not who. ``heartbeat``: how often a node tells the others that it lives; they forget
    it after ``expiry`` without.
    """

    grace: float = 5.0
    slowest: float = 5.0
    presence_limit: int = 1_000
    heartbeat: float = 2.0
    expiry: float = 7.0

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("grace", 0.0, 300.0),
            ("slowest", 1.0, 300.0),
            ("heartbeat", 0.1, 60.0),
        ):
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"`{name}` is {value}: it must be {lowest} to {highest} seconds")
        if not 0 <= self.presence_limit <= EXACT_USERS:
            raise ValueError(
                f"`presence_limit` is {self.presence_limit}: it must be 0 to {EXACT_USERS}"
            )
        if not 2 * self.heartbeat < self.expiry <= 600.0:
            raise ValueError(
                f"`expiry` is {self.expiry}: it must be more than two heartbeats "
                f"({2 * self.heartbeat}), or one late record would take viewers away"
            )

    def pause(self, connections: int) -> float:
        """Seconds between two announcements of a channel with so many connections.

        None while small, then 1 s growing to ``slowest``: a number of five digits that changes
        with every coming and going would cost a send to each of them.
        """
        if connections < SMALL:
            return 0.0
        part = min(1.0, (connections - SMALL) / (LARGE - SMALL))
        return 1.0 + (self.slowest - 1.0) * part
