"""Which flushes and merges are due, and which files can simply go.

Lazy leveling: layers above the last are tiered, ``fan_in`` of one level become one of the next;
the last level is one sorted run, and takes part when what comes is a fair share of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mainstem.kernels import lsm
from mainstem.lsm.layers import LAST_LEVEL, DiskLayer
from mainstem.lsm.options import FamilyOptions
from mainstem.lsm.runset import window_of

_MANY_ROWS: Final = 1000


class Plan(NamedTuple):
    """Layers ``start`` to ``end`` of a family (newest first) become one of ``level``."""

    start: int
    end: int
    level: int


def choose(layers: Sequence[DiskLayer], fan_in: int) -> Plan | None:
    """The merge that is due, if one is."""
    count = len(layers)
    has_base = count > 0 and layers[-1].level == LAST_LEVEL
    upper = count - 1 if has_base else count
    start = 0
    while start < upper:
        level, end = layers[start].level, start
        while end < upper and layers[end].level == level and not layers[end].busy:
            end += 1
        if end - start >= fan_in:
            return _with_base(layers, start, end, fan_in, has_base=has_base)
        start = max(end, start + 1)
    for at in range(upper):
        layer = layers[at]
        # Deletes must not wait for as many writes: reads step over them meanwhile.
        many = 2 * layer.deletes >= layer.rows >= _MANY_ROWS or layer.ranges.count
        if many and at + 1 < count and not any(each.busy for each in layers[at:]):
            return Plan(at, count, LAST_LEVEL)
    return None


def _with_base(
    layers: Sequence[DiskLayer], start: int, end: int, fan_in: int, *, has_base: bool
) -> Plan:
    count = len(layers)
    if not has_base and end == count:
        return Plan(start, end, LAST_LEVEL)
    size = sum(layer.size for layer in layers[start:end])
    base = layers[-1]
    if has_base and end == count - 1 and not base.busy and size * fan_in >= base.size:
        return Plan(start, count, LAST_LEVEL)
    return Plan(start, end, layers[start].level + 1)


def expired_files(layers: Sequence[DiskLayer], options: FamilyOptions, now: int) -> set[int]:
    """Files that hold nothing but expired rows, and hide nothing that is not."""
    gone: set[int] = set()
    if options.retention_ms:
        for layer in layers:
            for file in layer.files:
                end = (window_of(file.record.max_key, options.window_ms) + 1) * options.window_ms
                if end + options.retention_ms <= now:
                    gone.add(file.record.id)
    if options.ttl_ms:
        for layer in reversed(layers):
            if layer.busy:
                break
            old = {
                file.record.id
                for file in layer.files
                if file.record.max_stamp < now - options.ttl_ms
            }
            gone |= old
            if len(old) < len(layer.files):
                break
    return gone


def covered_files(layers: Sequence[DiskLayer], ranges: lsm.Ranges) -> set[int]:
    """Files whose keys are all in ``ranges``, which are newer than them."""
    gone: set[int] = set()
    for layer in layers:
        for file in layer.files:
            low, high = file.record.min_key, file.record.max_key
            for start, end in ranges.pairs:
                if start <= low and (end is None or high < end):
                    gone.add(file.record.id)
                    break
    return gone
