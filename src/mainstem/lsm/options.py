"""What can be chosen for a store and for a family, checked once."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from mainstem.errors import Invalid

Sync = Literal["batch", "group", "none", "external"]
Codec = Literal["none", "lz4", "zstd"]

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
            (256 <= self.block_bytes <= 1 << 22, "block_bytes must be 256 bytes to 4 MiB"),
            (0 <= self.filter_bits <= 32, "filter_bits must be 0 to 32 bits per key"),
            (2 <= self.fan_in <= 64, "fan_in must be 2 to 64 runs"),
            (min(self.ttl_ms, self.window_ms, self.retention_ms) >= 0, "times are not negative"),
            (not self.retention_ms or self.window_ms, "retention_ms needs window_ms"),
            (self.codec in ("none", "lz4", "zstd"), "codec must be none, lz4 or zstd"),
            (self.upper_codec in ("none", "lz4", "zstd"), "upper_codec must be none, lz4 or zstd"),
        )
        for holds, message in checks:
            if not holds:
                raise Invalid(f"a family cannot have {self!r}: {message}")


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
            (self.sync in ("batch", "group", "none", "external"), "no such sync"),
            (self.background in ("thread", "inline", "manual"), "no such background"),
            (self.memtable_bytes >= 1 << 10, "memtable_bytes must be 1 KiB or more"),
            (self.file_bytes >= 1 << 10, "file_bytes must be 1 KiB or more"),
            (self.slice_bytes >= 1 << 8, "slice_bytes must be 256 or more"),
        )
        for holds, message in checks:
            if not holds:
                raise Invalid(f"a store cannot be opened with {self!r}: {message}")


def fold_spec(fields: tuple[Field, ...]) -> bytes:
    """The fold operations of ``fields`` as the kernels want them."""
    return bytes(FOLDS[field.operation, field.type] for field in fields)
