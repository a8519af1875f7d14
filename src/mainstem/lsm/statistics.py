"""What a store knows about itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mainstem.lsm.store import Store


@dataclass(frozen=True)
class FamilyStatistics:
    """One family. ``levels`` lists (level, files, rows, bytes) of each layer, newest first."""

    name: str
    memory_rows: int
    disk_rows: int
    disk_bytes: int
    deletes: int
    ranges: int
    levels: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class Statistics:
    """Sizes in bytes, times in seconds; counters since the store was opened.

    ``write_amplification`` is bytes written by flushes and merges per byte flushed. The cache's
    figures are of the whole process, ``debt`` is 1 where writers wait.
    """

    families: tuple[FamilyStatistics, ...]
    memtable_bytes: int
    sealed_bytes: int
    log_bytes: int
    commits: int
    flushes: int
    merges: int
    bytes_flushed: int
    bytes_merged: int
    files_expired: int
    write_amplification: float
    debt: float
    delayed_seconds: float
    longest_delay: float
    cache_budget: int
    cache_used: int
    cache_misses: int
    cache_evictions: int
    failure: str | None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def statistics_of(store: Store) -> Statistics:
    """Gather them; cheap enough to be asked each second."""
    state, counters, pressure = store.state, store.background.counters, store.pressure
    families = []
    for number, view in state.view.items():
        families.append(
            FamilyStatistics(
                name=state.families[number].name,
                memory_rows=sum(mark for _, mark in view.memory),
                disk_rows=sum(layer.rows for layer in view.disk),
                disk_bytes=sum(layer.size for layer in view.disk),
                deletes=sum(layer.deletes for layer in view.disk),
                ranges=sum(layer.ranges.count for layer in view.disk),
                levels=tuple(
                    (layer.level, len(layer.files), layer.rows, layer.size) for layer in view.disk
                ),
            )
        )
    written = counters.bytes_flushed + counters.bytes_merged
    log = state.log
    return Statistics(
        families=tuple(families),
        memtable_bytes=state.active_bytes(),
        sealed_bytes=state.frozen_bytes,
        log_bytes=log.size if log is not None else 0,
        commits=state.sequence,
        flushes=counters.flushes,
        merges=counters.merges,
        bytes_flushed=counters.bytes_flushed,
        bytes_merged=counters.bytes_merged,
        files_expired=counters.files_expired,
        write_amplification=written / counters.bytes_flushed if counters.bytes_flushed else 0.0,
        debt=pressure.debt(),
        delayed_seconds=pressure.seconds,
        longest_delay=pressure.longest,
        cache_budget=state.cache.budget,
        cache_used=state.cache.used,
        cache_misses=state.cache.misses,
        cache_evictions=state.cache.evictions,
        failure=None if state.failure is None else repr(state.failure),
    )
