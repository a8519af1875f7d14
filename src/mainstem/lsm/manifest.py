"""The manifest: which files make up the store, replaced whole and atomically.

Layout (docs/formats-lsm.md), little-endian: magic "MSLSMMF1", version u32, body size u32, crc32c
u32 over the rest, 12 zero bytes, the body as JSON. One file instead of a log of edits: an edit
comes with a flush or merge of megabytes, and there is no tail that could be torn
(docs/decisions/0200).
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from mainstem.errors import Corrupt
from mainstem.filesystem import FileSystem, replace_file
from mainstem.kernels import crc32c
from mainstem.lsm.options import FamilyOptions, Field

NAME: Final = "manifest"
_MAGIC: Final = b"MSLSMMF1"
_HEAD: Final = struct.Struct("<8sIII12s")
_VERSION: Final = 1


class FileRecord(msgspec.Struct, frozen=True):
    """One file of a sorted run. ``crc`` is its footer's, so that no other file can pose as it."""

    id: int
    size: int
    rows: int
    min_key: bytes
    max_key: bytes
    crc: int
    deletes: int = 0
    max_stamp: int = 0


class LayerRecord(msgspec.Struct, frozen=True):
    """A sorted run: disjoint files in key order; its ranges delete in every older layer."""

    level: int
    files: tuple[FileRecord, ...] = ()
    ranges: tuple[tuple[bytes, bytes | None], ...] = ()


class FamilyRecord(msgspec.Struct, frozen=True):
    """A keyspace. ``layers`` are newest first; ``fields`` its merge state, if it has one."""

    id: int
    name: str
    options: FamilyOptions
    fields: tuple[Field, ...] = ()
    layers: tuple[LayerRecord, ...] = ()


class Manifest(msgspec.Struct, frozen=True):
    """Everything a store knows besides its files.

    ``log_from`` is the first log segment still needed, ``sequence`` the last commit that runs
    hold, ``position`` the caller's position as of it. ``log_end`` is (segment, size) of a log
    closed in order: whatever is missing before it was lost, not torn.
    """

    store: int
    seed: int
    epoch: int
    edit: int
    next_file: int
    log_from: int
    sequence: int
    position: dict[str, int]
    families: tuple[FamilyRecord, ...]
    log_end: tuple[int, int] | None = None


_DECODER: Final = msgspec.json.Decoder(Manifest)
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


def encode(manifest: Manifest) -> bytes:
    """The file's bytes."""
    body = _ENCODER.encode(manifest)
    head = _HEAD.pack(_MAGIC, _VERSION, len(body), 0, bytes(12))
    crc = crc32c(body, crc32c(head[20:], crc32c(head[:16])))
    return _HEAD.pack(_MAGIC, _VERSION, len(body), crc, bytes(12)) + body


def decode(data: bytes, path: str) -> Manifest:
    """The manifest in ``data``. Raises ``Corrupt`` with ``path`` for anything that is not one."""
    if len(data) < _HEAD.size:
        raise Corrupt(f"{path} has {len(data)} bytes, too few for a manifest: {_RESTORE}")
    magic, version, size, crc, _ = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise Corrupt(f"{path} begins with {magic!r}: it is not a manifest. {_RESTORE}")
    if crc32c(data[20:], crc32c(data[:16])) != crc or size != len(data) - _HEAD.size:
        raise Corrupt(f"{path} fails its checksum: {_RESTORE}")
    if version != _VERSION:
        raise Corrupt(f"{path} has version {version}, this release knows {_VERSION}: upgrade")
    try:
        manifest = _DECODER.decode(data[_HEAD.size :])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Corrupt(f"{path} does not hold a manifest ({error}): {_RESTORE}") from error
    _check(manifest, path)
    return manifest


_RESTORE: Final = "restore the store from a checkpoint"


def _check(manifest: Manifest, path: str) -> None:
    ids = [
        file.id for family in manifest.families for layer in family.layers for file in layer.files
    ]
    names = [family.name for family in manifest.families]
    numbers = [family.id for family in manifest.families]
    sound = (
        len(set(ids)) == len(ids)
        and all(0 <= each < manifest.next_file for each in ids)
        and len(set(names)) == len(names)
        and len(set(numbers)) == len(numbers)
        and all(0 <= each < 1 << 16 for each in numbers)
        and 0 <= manifest.seed < 1 << 64
    )
    if not sound:
        raise Corrupt(f"{path} contradicts itself: {_RESTORE}")


def write(filesystem: FileSystem, directory: str, manifest: Manifest) -> None:
    """Make ``manifest`` the store's, durably; a crash leaves the old one or this one."""
    replace_file(filesystem, directory, NAME, encode(manifest))


def read(filesystem: FileSystem, directory: str) -> Manifest | None:
    """The store's manifest, ``None`` where there is none."""
    path = f"{directory}/{NAME}"
    if not filesystem.exists(path):
        return None
    file = filesystem.open(path)
    return decode(file.pread(0, file.size()), path)
