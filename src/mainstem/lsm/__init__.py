"""The ordered key-value store: put, get, scan and merge by Arrow batch."""

from __future__ import annotations

from mainstem.filesystem import FileSystem
from mainstem.lsm.batch import WriteBatch
from mainstem.lsm.cache import BlockCache, set_memory_budget
from mainstem.lsm.check import Finding, check
from mainstem.lsm.family import Family
from mainstem.lsm.keys import decode_key, encode_key, encode_keys
from mainstem.lsm.options import FamilyOptions, StoreOptions
from mainstem.lsm.reading import set_lookup_threads
from mainstem.lsm.snapshot import Snapshot
from mainstem.lsm.statistics import FamilyStatistics, Statistics
from mainstem.lsm.store import Store
from mainstem.lsm.transfer import write_run

__all__ = [
    "BlockCache",
    "Family",
    "FamilyOptions",
    "FamilyStatistics",
    "FileSystem",
    "Finding",
    "Snapshot",
    "Statistics",
    "Store",
    "StoreOptions",
    "WriteBatch",
    "check",
    "decode_key",
    "encode_key",
    "encode_keys",
    "set_lookup_threads",
    "set_memory_budget",
    "write_run",
]
