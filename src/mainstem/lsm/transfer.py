"""Copies and imports: checkpoints by hard link, runs written offline and added in one edit."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from mainstem.errors import Conflict, Corrupt, Invalid, MainstemError, Unavailable
from mainstem.filesystem import (
    FileSystem,
    LinkingFileSystem,
    RealFileSystem,
    write_all,
)
from mainstem.kernels import crc32c, lsm
from mainstem.lsm import arrow, edits
from mainstem.lsm import manifest as manifests
from mainstem.lsm.footer import FOOTER, file_name, padded, read_footer
from mainstem.lsm.manifest import FileRecord, LayerRecord
from mainstem.lsm.options import FamilyOptions
from mainstem.lsm.runset import remove_runs
from mainstem.lsm.writer import RunWriter

if TYPE_CHECKING:
    from mainstem.lsm.family import Family
    from mainstem.lsm.store import Store

_COPY: Final = 1 << 20


def copy_or_link(filesystem: FileSystem, source: str, target: str) -> None:
    """Give ``source`` a second name, or copy it (synced) where that cannot be."""
    if isinstance(filesystem, LinkingFileSystem):
        try:
            filesystem.link(source, target)
            return
        except FileExistsError as error:
            raise Conflict(f"{target} is there already") from error
        except OSError:
            pass  # another device, or a file system without links: copy
    reading = filesystem.open(source)
    writing = filesystem.open(target, create=True)
    size = reading.size()
    for at in range(0, size, _COPY):
        write_all(writing, reading.pread(at, min(_COPY, size - at)), at)
    writing.fdatasync()


def checkpoint(store: Store, target: str) -> None:
    """A store in ``target``, which must not be there or be empty; see ``Store.checkpoint``."""
    store.flush()
    state = store.state
    filesystem = state.filesystem
    try:
        filesystem.mkdir(target)
        if filesystem.listdir(target):
            raise Conflict(f"{target} is not empty: choose another place for the checkpoint")
        # Under the lock no file can be unlinked between choosing and linking it.
        with state.edit_lock:
            manifest = state.manifest
            for family in manifest.families:
                for layer in family.layers:
                    for file in layer.files:
                        name = file_name(file.id)
                        copy_or_link(filesystem, f"{state.directory}/{name}", f"{target}/{name}")
        filesystem.fsync_directory(target)
        # The manifest comes last: without it the copy is no store.
        manifests.write(filesystem, target, manifest)
        parent = target.rpartition("/")[0]
        filesystem.fsync_directory(parent or ("/" if target.startswith("/") else "."))
    except OSError as error:
        raise Unavailable(f"the checkpoint at {target} failed: {error}; remove it") from error


def write_run(
    path: str,
    batches: Iterable[Any],
    *,
    options: FamilyOptions | None = None,
    filesystem: FileSystem | None = None,
) -> int:
    """Write a sorted run to file ``path`` for :meth:`Store.ingest`; returns its rows.

    ``batches`` are record batches with ``key`` and ``value`` columns, each sorted or not; their
    keys must ascend from batch to batch. Raises ``Invalid`` if not, ``Unavailable`` as the disk
    does.
    """
    directory, _, name = path.rpartition("/")
    writer = _NamedWriter(filesystem or RealFileSystem(), directory or ".", name, options)
    try:
        for batch in batches:
            keys = arrow.column(batch.column("key"), "keys")
            rows = lsm.sorted_rows_of(keys, arrow.column(batch.column("value"), "values"))
            writer.add(rows)
        if not writer.rows:
            raise Invalid(f"a run needs at least one row: {path} would have none")
        writer.finish()
    except (Corrupt, ValueError) as error:
        writer.abandon()
        raise Invalid(f"{path} cannot be written: {error}") from error
    except OSError as error:
        writer.abandon()
        raise Unavailable(f"{path} cannot be written: {error}") from error
    return writer.rows


class _NamedWriter(RunWriter):
    """A run with a name of the caller's; its seed is one that no store is likely to have."""

    def __init__(
        self, filesystem: FileSystem, directory: str, name: str, options: FamilyOptions | None
    ) -> None:
        self._name = name
        super().__init__(
            filesystem,
            directory,
            0,
            options or FamilyOptions(),
            seed=0,
            store=0,
            last_level=True,
        )

    def path_of(self, directory: str, _number: int) -> str:
        return f"{directory}/{self._name}"


def ingest(store: Store, paths: list[str], family: Family) -> None:
    """Add run files to ``family``; see ``Store.ingest``."""
    if family.store is not store:
        raise Invalid(f"family {family.name!r} is of another store")
    if not paths:
        return
    state = store.state
    records: list[FileRecord] = []
    try:
        for path in paths:
            # Not a list at once: those adopted before one is refused have to go again.
            records.append(_adopt(store, path, family))  # noqa: PERF401
        state.filesystem.fsync_directory(state.directory)
        records.sort(key=lambda record: record.min_key)
        for one, other in itertools.pairwise(records):
            if other.min_key <= one.max_key:
                raise Invalid("the runs overlap: ingest them one after the other")
    except MainstemError:
        remove_runs(state.filesystem, state.directory, records)
        raise
    except OSError as error:
        remove_runs(state.filesystem, state.directory, records)
        raise Unavailable(f"runs cannot be added to {state.directory}: {error}") from error
    _install(store, family, LayerRecord(0, tuple(records)))


def _install(store: Store, family: Family, record: LayerRecord) -> None:
    """Everything written before must be older than the new layer: it is flushed first."""
    state = store.state
    with store.background.turn, state.write_lock:
        state.check_writable()
        state.seal()
        while state.frozen and store.background.step():
            pass
        state.check_writable()
        with state.edit_lock:
            try:
                layer = state.open_layer(record)
                edits.install(state, family.id, (layer, *state.disk[family.id]))
            except OSError as error:
                state.poison(error)
                raise Unavailable(f"the manifest cannot be written: {error}") from error


def _adopt(store: Store, path: str, family: Family) -> FileRecord:
    """Bring one run into the store's directory and check every block of it."""
    state = store.state
    number = state.next_number()
    target = f"{state.directory}/{file_name(number)}"
    try:
        copy_or_link(state.filesystem, path, target)
        return _examined(store, path, number, family)
    except BaseException:
        if state.filesystem.exists(target):
            state.unlink(file_name(number))
        raise


def _examined(store: Store, path: str, number: int, family: Family) -> FileRecord:
    from mainstem.lsm.check import verify_run

    state = store.state
    file = state.filesystem.open(f"{state.directory}/{file_name(number)}")
    file.fdatasync()
    size = file.size()
    footer = read_footer(file.pread(max(0, size - FOOTER.size), FOOTER.size), size, path)
    index = file.pread(footer.index_offset, padded(footer.index_size))
    if crc32c(index) != footer.index_crc:
        raise Corrupt(f"the index of {path} fails its checksum: write the run again")
    try:
        run = lsm.Run(index[: footer.index_size], b"", 0, footer.seed)
    except ValueError as error:
        raise Corrupt(f"the index of {path} is damaged: {error}") from error
    record = FileRecord(
        number,
        size,
        footer.rows,
        run.min_key,
        run.max_key,
        footer.crc,
        footer.deletes,
        footer.max_stamp,
    )
    problem = next(
        verify_run(state.filesystem, state.directory, record, state_bytes=8 * len(family.spec)),
        None,
    )
    if problem is not None:
        raise Corrupt(f"{path} cannot be added: {problem}")
    return record
