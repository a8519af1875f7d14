"""Checking a store that nobody has open: every byte of every file."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, NamedTuple

from mainstem.errors import Corrupt, MainstemError
from mainstem.filesystem import FileSystem, RealFileSystem
from mainstem.kernels import crc32c, lsm
from mainstem.lsm import manifest as manifests
from mainstem.lsm.cache import BlockCache
from mainstem.lsm.footer import HEAD, file_name, padded
from mainstem.lsm.log import SegmentReader, segment_name
from mainstem.lsm.manifest import FamilyRecord, FileRecord, Manifest
from mainstem.lsm.recovery import LOCK_NAME, OUR_FILE
from mainstem.lsm.runs import StoredRun
from mainstem.lsm.writer import file_head


class Finding(NamedTuple):
    """One thing seen. ``error`` needs a person, ``warning`` heals at the next open."""

    path: Path
    severity: Literal["ok", "warning", "error"]
    message: str


def check(path: str | PathLike[str], *, filesystem: FileSystem | None = None) -> Iterator[Finding]:
    """Read everything in the store at ``path`` and say what is found; changes nothing.

    Manifest, every block, index, filter and footer of every run, the order of keys within and
    between files, and the log. Yields at least one finding. The store must not be in use.
    """
    filesystem = filesystem or RealFileSystem()
    directory = fspath(path).rstrip("/")
    place = Path(directory)
    try:
        manifest = manifests.read(filesystem, directory)
    except (MainstemError, OSError) as error:
        yield Finding(place / manifests.NAME, "error", str(error))
        return
    if manifest is None:
        yield Finding(place, "error", "there is no manifest: this is no store, or it was lost")
        return
    problems = 0
    for finding in _findings(filesystem, directory, manifest):
        problems += finding.severity == "error"
        yield finding
    if not problems:
        files = sum(len(layer.files) for each in manifest.families for layer in each.layers)
        yield Finding(place, "ok", f"{len(manifest.families)} families, {files} runs")


def _findings(filesystem: FileSystem, directory: str, manifest: Manifest) -> Iterator[Finding]:
    for family in manifest.families:
        yield from _check_family(filesystem, directory, family)
    yield from _check_log(filesystem, directory, manifest)
    known = {
        file_name(file.id)
        for each in manifest.families
        for layer in each.layers
        for file in layer.files
    }
    for name in filesystem.listdir(directory):
        match = OUR_FILE.fullmatch(name)
        if (
            name in known
            or name in (manifests.NAME, LOCK_NAME)
            or (match and match[2] == "log" and int(match[1]) >= manifest.log_from)
        ):
            continue
        ours = match is not None or name == f"{manifests.NAME}.tmp"
        message = "left by a crash; the next open removes it" if ours else "not ours; left alone"
        yield Finding(Path(directory) / name, "warning", message)


def _check_family(
    filesystem: FileSystem, directory: str, family: FamilyRecord
) -> Iterator[Finding]:
    for layer in family.layers:
        last: bytes | None = None
        for file in layer.files:
            path = Path(directory) / file_name(file.id)
            if last is not None and file.min_key <= last:
                yield Finding(path, "error", "it overlaps the file before it in its run")
            last = file.max_key
            for problem in verify_run(
                filesystem, directory, file, state_bytes=8 * len(family.fields)
            ):
                yield Finding(path, "error", problem)


def verify_run(
    filesystem: FileSystem, directory: str, record: FileRecord, *, state_bytes: int = 0
) -> Iterator[str]:
    """What is wrong with one run. ``state_bytes`` is the size values must have, 0 for any."""
    try:
        stored = StoredRun(filesystem, directory, record, BlockCache(0))
        run = stored.run
        head = stored.body.read(0, HEAD.size)
        store = HEAD.unpack(head)[3]
        if head != file_head(store):
            yield "its head fails its checksum"
        yield from _check_layout(stored, run)
        yield from _check_blocks(stored, run, state_bytes)
    except (MainstemError, OSError) as error:
        yield str(error)


def _check_layout(stored: StoredRun, run: lsm.Run) -> Iterator[str]:
    at = HEAD.size
    for number in range(run.block_count):
        offset, size, *_ = run.entry(number)
        if offset != at:
            yield f"block {number} is at byte {offset}, not {at}"
            return
        at += padded(size)
    if at != stored.footer.index_offset:
        yield f"its blocks end at byte {at}, its index begins at {stored.footer.index_offset}"
    footer = stored.footer
    start = footer.filter_offset
    if crc32c(stored.body.read(start, padded(footer.filter_size))) != footer.filter_crc:
        yield "its filter fails its checksum"


def _check_blocks(stored: StoredRun, run: lsm.Run, state_bytes: int) -> Iterator[str]:
    rows = deletes = merges = 0
    last: bytes | None = None
    for number in range(run.block_count):
        block = stored.body.read_blocks(run, number, number + 1, copy=False)[0]
        try:
            block.verify(run.seed)
        except ValueError as error:
            yield f"block {number}: {error}"
            return
        content = lsm.describe(block.rows())
        if last is not None and content[0][0] <= last:
            yield f"block {number} does not begin above the one before"
        last = content[-1][0]
        if (number == 0 and content[0][0] != run.min_key) or last != run.key_after(number):
            yield f"the index has other keys than block {number}"
        for key, kind, value, _ in content:
            deletes += kind == lsm.DELETE
            merges += kind == lsm.MERGE
            if not run.may_contain(key):
                yield f"the filter denies {key!r} of block {number}"
                return
            if state_bytes and kind != lsm.DELETE and len(value) != state_bytes:
                yield f"the value of {key!r} is no state of {state_bytes} bytes"
                return
        rows += len(content)
    footer = stored.footer
    if (rows, deletes, merges) != (footer.rows, footer.deletes, footer.merges):
        yield f"it has {rows} rows, its footer says {footer.rows}"


def _check_log(filesystem: FileSystem, directory: str, manifest: Manifest) -> Iterator[Finding]:
    segments = sorted(
        int(match[1])
        for name in filesystem.listdir(directory)
        if (match := OUR_FILE.fullmatch(name))
        and match[2] == "log"
        and int(match[1]) >= manifest.log_from
    )
    sequence = manifest.sequence
    end = manifest.log_end
    if end is not None and end[0] >= manifest.log_from and end[0] not in segments:
        yield Finding(Path(directory) / segment_name(end[0]), "error", "it is missing")
    for at, segment in enumerate(segments):
        path = Path(directory) / segment_name(segment)
        later = segments[at + 1 :]
        try:
            reader = _segment(filesystem, directory, manifest, segment)
            if reader.first_sequence > sequence + 1:
                yield _gap(manifest, reader, segment)
                return
            for commit in reader:
                _check_commit(reader, commit.start, commit.operations)
                sequence = commit.sequence
            whole = not reader.torn or (
                later and reader.ends_before(_segment(filesystem, directory, manifest, later[0]))
            )
        except (MainstemError, OSError) as error:
            yield Finding(path, "error", str(error))
            return
        if not whole:
            yield _torn(filesystem, directory, manifest, reader, segment, later)
            return


def _segment(
    filesystem: FileSystem, directory: str, manifest: Manifest, number: int
) -> SegmentReader:
    path = f"{directory}/{segment_name(number)}"
    file = filesystem.open(path)
    return SegmentReader(file.pread(0, file.size()), path, manifest.store, number)


def _gap(manifest: Manifest, reader: SegmentReader, segment: int) -> Finding:
    """Commits are missing before ``segment``: lost, or never promised, as recovery decides it."""
    path, end = Path(reader.path), manifest.log_end
    message = f"commits before {reader.first_sequence} are missing"
    first = next(iter(reader), None)
    if (first is not None and first.synced) or (end is not None and end[0] >= segment):
        return Finding(path, "error", f"{message}, and they were on disk: lost commits")
    how = "will be" if first is not None else 'can be, with sync="none",'
    return Finding(path, "warning", f"{message}: torn by a crash, it {how} left out")


def _torn(
    filesystem: FileSystem,
    directory: str,
    manifest: Manifest,
    reader: SegmentReader,
    segment: int,
    later: list[int],
) -> Finding:
    """Whether what is bad in a segment was lost, or never promised: as recovery decides it."""
    promised = reader.promised()
    end = manifest.log_end
    if end is not None and end[0] >= segment:
        promised = max(promised, end[1] if end[0] == segment else len(reader.data) + 1)
    for number in later:
        first = next(iter(_segment(filesystem, directory, manifest, number)), None)
        if first is not None and first.synced:
            promised = max(promised, len(reader.data) + 1)
    message = f"it is bad from byte {reader.good}"
    if promised > reader.good:
        return Finding(Path(reader.path), "error", f"{message}, and more was on disk: lost commits")
    return Finding(Path(reader.path), "warning", f"{message}: torn by a crash, it will be cut")


def _check_commit(reader: SegmentReader, start: int, operations: int) -> None:
    for _ in range(operations):
        try:
            _, _, _, start = lsm.read_operation(reader.data, start)
        except ValueError as error:
            raise Corrupt(f"{reader.path}: {error}") from error
