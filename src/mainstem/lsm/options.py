"""What can be chosen for a store and for a family, checked once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, get_args

import msgspec

from mainstem.errors import Invalid

Sync = Literal["batch", "group", "none", "external"]
Codec = Literal["none", "lz4", "zstd"]
_CODECS: Final = get_args(Codec)

#: Fold operations of 8-byte fields: name and column type to the number the kernels and the
#: manifest know (docs/formats-lsm.md). ``count`` sums ones.
FOLDS: Final = {
    ("sum", "int64"): 0,
    ("sum", "double"): 1,
    ("min", "int64"): 2,
    ("min", "double"): 3,
    ("max", "int64"): 4,
    ("max", "double"): 5,
    ("last", "int64"): 6,
    ("last", "double"): 6,
    ("count", "int64"): 0,
}


class Field(msgspec.Struct, frozen=True):
    """One number of a merged state."""

    name: str
    operation: str
    type: str


def _refuse(options: Any, what: str, checks: Iterable[tuple[str, bool, str]]) -> None:
    for name, holds, wanted in checks:
        if not holds:
            raise Invalid(f"{what} {name}={getattr(options, name)!r}: it must be {wanted}")


class FamilyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one family is kept; part of the manifest.

    ``codec`` compresses the last level, ``upper_codec`` those above. ``ttl_ms`` hides and then
    drops rows that long after they were written. With ``window_ms`` the first 8 bytes of each
    key are its time (ms, as ``encode_keys`` writes an int64), and runs are cut at windows of
    that length, so that ``retention_ms`` after its end a window's files are simply unlinked.
    """

    codec: Codec = "none"
    upper_codec: Codec = "none"
    filter_bits: float = 10.0
    block_bytes: int = 8 * 1024
    fan_in: int = 6
    ttl_ms: int = 0
    window_ms: int = 0
    retention_ms: int = 0

    def __post_init__(self) -> None:
        checks = (
            ("block_bytes", 256 <= self.block_bytes <= 1 << 22, "256 bytes to 4 MiB"),
            ("filter_bits", 0 <= self.filter_bits <= 32, "0 to 32 bits per key"),
            ("fan_in", 2 <= self.fan_in <= 64, "2 to 64 runs"),
            ("ttl_ms", self.ttl_ms >= 0, "0 or more"),
            ("window_ms", self.window_ms >= 0, "0 or more"),
            ("retention_ms", self.retention_ms >= 0, "0 or more"),
            ("retention_ms", not self.retention_ms or self.window_ms > 0, "0 without window_ms"),
            ("codec", self.codec in _CODECS, "none, lz4 or zstd"),
            ("upper_codec", self.upper_codec in _CODECS, "none, lz4 or zstd"),
        )
        _refuse(self, "a family cannot have", checks)


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one opened store behaves; not kept on disk, except the hash seed at creation.

    ``sync``: ``"batch"`` and ``"group"`` acknowledge what is on disk (``group`` shares one sync
    among writers that wait), ``"none"`` what the operating system has, ``"external"`` keeps no
    log: what was not flushed is replayed by the caller from ``Store.position``.
    ``background``: ``"thread"`` (one per process), ``"inline"`` (in the writing thread) or
    ``"manual"`` (``Store.step``).
    """

    sync: Sync = "group"
    memtable_bytes: int = 64 << 20
    file_bytes: int = 128 << 20
    slice_bytes: int = 2 << 20
    background: Literal["thread", "inline", "manual"] = "thread"
    hash_seed: int | None = None

    def __post_init__(self) -> None:
        checks = (
            (
                "sync",
                self.sync in ("batch", "group", "none", "external"),
                "batch, group, none or external",
            ),
            (
                "background",
                self.background in ("thread", "inline", "manual"),
                "thread, inline or manual",
            ),
            ("memtable_bytes", self.memtable_bytes >= 1 << 10, "1 KiB or more"),
            ("file_bytes", self.file_bytes >= 1 << 10, "1 KiB or more"),
            ("slice_bytes", self.slice_bytes >= 1 << 8, "256 or more"),
        )
        _refuse(self, "a store cannot be opened with", checks)


def fold_spec(fields: tuple[Field, ...]) -> bytes:
    """The fold operations of ``fields`` as the kernels want them."""
    return bytes(FOLDS[field.operation, field.type] for field in fields)
