"""Flushes and merges, slice by slice. A file that overlaps nothing is moved, not rewritten."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final, NamedTuple

from mainstem.errors import Corrupt
from mainstem.filesystem import FileSystem
from mainstem.kernels import lsm
from mainstem.lsm.layers import (
    LAST_LEVEL,
    NO_RANGES,
    DiskLayer,
    FamilyView,
    Source,
    merger,
    sources_of,
    union,
)
from mainstem.lsm.manifest import FamilyRecord, FileRecord, LayerRecord
from mainstem.lsm.options import FamilyOptions, StoreOptions, fold_spec
from mainstem.lsm.runs import StoredRun
from mainstem.lsm.runset import RunSet, remove_runs

_SLICE_ROWS: Final = 1 << 16


class Work(NamedTuple):
    """What writing runs needs to know of its store."""

    filesystem: FileSystem
    directory: str
    options: StoreOptions
    seed: int
    store: int
    next_number: Callable[[], int]


class Abandoned(Exception):  # noqa: N818 - thrown into a job to end it, not an error
    """The store closes: remove what was half written."""


@contextlib.contextmanager
def finished_files(work: Work) -> Iterator[list[FileRecord]]:
    """The list of files that a job has finished before it ended; they go if it fails."""
    finished: list[FileRecord] = []
    try:
        yield finished
    except (Exception, KeyboardInterrupt):  # as in write_rows
        remove_runs(work.filesystem, work.directory, finished)
        raise


def write_rows(
    work: Work,
    options: FamilyOptions,
    merge: lsm.Merger,
    *,
    last_level: bool,
) -> Generator[int, None, tuple[FileRecord, ...]]:
    """Write what ``merge`` gives as one sorted run. Removes it on failure.

    Yields after each slice how many rows it has read.
    """
    run_set = RunSet(
        work.filesystem,
        work.directory,
        options,
        work.next_number,
        seed=work.seed,
        store=work.store,
        last_level=last_level,
        file_bytes=work.options.file_bytes,
    )
    before = 0
    try:
        while True:
            rows = merge.next_rows(_SLICE_ROWS, work.options.slice_bytes)
            if not len(rows):
                break
            run_set.add(rows)
            del rows  # and with it the blocks it points into
            read, before = merge.rows_in - before, merge.rows_in
            yield read
        return run_set.finish()
    except (Exception, KeyboardInterrupt):
        # Not when a store is merely collected: its disk is not ours any more.
        run_set.abandon()
        raise


def flush_layers(
    work: Work, family: FamilyRecord, view: FamilyView, *, bottom: bool, expire_before: int
) -> Generator[int, None, LayerRecord | None]:
    """Write the memtables of ``view`` as one run. ``bottom``: nothing older exists."""
    ranges = union(*(layer.ranges for layer, _ in view.memory))
    merge = merger(
        sources_of(view),
        drop_deletes=bottom,
        spec=fold_spec(family.fields),
        expire_before=expire_before,
    )
    files = yield from write_rows(work, family.options, merge, last_level=False)
    kept = () if bottom else ranges.pairs
    return LayerRecord(0, files, kept) if files or kept else None


class _Piece(NamedTuple):
    """A file in a merge: ``layer`` counts from the newest."""

    file: StoredRun
    layer: int


def _clusters(layers: Sequence[DiskLayer]) -> Iterator[list[_Piece]]:
    """Files of all layers in groups that overlap, in key order."""
    pieces = sorted(
        (_Piece(file, at) for at, layer in enumerate(layers) for file in layer.files),
        key=lambda piece: (piece.file.record.min_key, piece.layer),
    )
    group: list[_Piece] = []
    last = b""
    for piece in pieces:
        if group and piece.file.record.min_key > last:
            yield group
            group = []
        last = max(last, piece.file.record.max_key) if group else piece.file.record.max_key
        group.append(piece)
    if group:
        yield group


def merge_layers(
    work: Work,
    family: FamilyRecord,
    layers: Sequence[DiskLayer],
    level: int,
    *,
    bottom: bool,
    expire_before: int,
    rewrite: bool = False,
) -> Generator[int, None, tuple[LayerRecord | None, tuple[FileRecord, ...]]]:
    """Merge ``layers`` into one. Gives the layer and the files that were written for it.

    Yields rows read, as :func:`write_rows` does.
    """
    masks: list[lsm.Ranges] = []
    ranges = NO_RANGES
    for layer in layers:
        masks.append(ranges)
        ranges = union(ranges, layer.ranges)
    records: list[FileRecord] = []
    with finished_files(work) as written:
        for group in _clusters(layers):
            if not rewrite and _movable(group, masks, bottom=bottom, expire_before=expire_before):
                records.append(group[0].file.record)
                continue
            merge = merger(
                _sources(group, masks),
                drop_deletes=bottom,
                spec=fold_spec(family.fields),
                expire_before=expire_before,
            )
            new = yield from write_rows(work, family.options, merge, last_level=level == LAST_LEVEL)
            records += new
            written.extend(new)
            rows = sum(piece.file.record.rows for piece in group)
            if merge.rows_in != rows:
                raise Corrupt(f"a merge read {merge.rows_in} of {rows} rows: a file lost some")
    kept = () if bottom else ranges.pairs
    record = LayerRecord(level, tuple(records), kept) if records or kept else None
    return record, tuple(written)


def _movable(
    group: list[_Piece], masks: list[lsm.Ranges], *, bottom: bool, expire_before: int
) -> bool:
    """Whether the group is one file that a merge would write again as it is."""
    record, footer = group[0].file.record, group[0].file.footer
    return (
        len(group) == 1
        and not _touches(masks[group[0].layer], record)
        and not (bottom and (record.deletes or footer.merges))
        and not (expire_before and footer.min_stamp < expire_before)
    )


def _touches(ranges: lsm.Ranges, record: FileRecord) -> bool:
    return any(
        low <= record.max_key and (high is None or record.min_key < high)
        for low, high in ranges.pairs
    )


def _sources(group: list[_Piece], masks: list[lsm.Ranges]) -> list[Source]:
    by_layer: dict[int, list[StoredRun]] = {}
    for piece in group:
        by_layer.setdefault(piece.layer, []).append(piece.file)
    return [
        Source(
            _blocks(files), files[0].record.min_key, files[-1].record.max_key, masks[layer], layer
        )
        for layer, files in sorted(by_layer.items())
    ]


def _blocks(files: list[StoredRun]) -> Iterator[lsm.Block]:
    for file in files:
        yield from file.blocks(None, None)
