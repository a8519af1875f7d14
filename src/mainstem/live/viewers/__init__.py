"""Viewers: how many connections watch an id, how many users, and who.

A worker counts its connections (:class:`WorkerViewers`) and reports to its node's dispatcher
(:class:`NodeViewers`), which merges workers and other nodes and says what changed. No I/O;
the time is passed in.
"""

from __future__ import annotations

from mainstem.live.viewers.node import NodeViewers, Record
from mainstem.live.viewers.settings import EXACT_USERS, SKETCH_ERROR, ViewerSettings
from mainstem.live.viewers.watching import Announcement, Count
from mainstem.live.viewers.worker import WorkerViewers

__all__ = [
    "EXACT_USERS",
    "SKETCH_ERROR",
    "Announcement",
    "Count",
    "NodeViewers",
    "Record",
    "ViewerSettings",
    "WorkerViewers",
]
