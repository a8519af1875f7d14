"""The ends of a run's file: head and footer, byte by byte (docs/formats-lsm.md)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from mainstem.errors import Corrupt
from mainstem.kernels import crc32c
from mainstem.lsm.codecs import CODEC_NAMES

HEAD: Final = struct.Struct("<8sIIQ36sI")  # magic, version, flags, store, zeros, crc
FOOTER: Final = struct.Struct("<8sIIQQQQIIQIIQQqqQQQ56sII")
HEAD_MAGIC: Final = b"MSLSMRN1"
FOOTER_MAGIC: Final = b"MSLSMFT1"
VERSION: Final = 1
ALIGN: Final = 64


def file_name(number: int) -> str:
    return f"{number:012d}.run"


def padded(size: int) -> int:
    """``size`` up to the next multiple of 64."""
    return (size + ALIGN - 1) & -ALIGN


class Footer(NamedTuple):
    """The last 192 bytes of a run; sizes are unpadded, in bytes."""

    magic: bytes
    version: int
    codec: int
    seed: int
    rows: int
    file_size: int
    index_offset: int
    index_size: int
    index_crc: int
    filter_offset: int
    filter_size: int
    filter_crc: int
    deletes: int
    merges: int
    min_stamp: int
    max_stamp: int
    key_bytes: int
    value_bytes: int
    head_size: int
    zeros: bytes
    probes: int
    crc: int


def read_footer(data: bytes, size: int, path: str) -> Footer:
    """Check the footer of a file of ``size`` bytes. Raises ``Corrupt``."""
    if len(data) != FOOTER.size:
        raise Corrupt(f"{path} has {size} bytes, too few for a run: restore it")
    footer = Footer(*FOOTER.unpack(data))
    if crc32c(data[:-4]) != footer.crc or footer.magic != FOOTER_MAGIC:
        raise Corrupt(f"the footer of {path} fails its checksum: restore the file")
    if footer.version != VERSION:
        raise Corrupt(f"{path} has version {footer.version}, this release knows {VERSION}: upgrade")
    sound = (
        footer.file_size == size
        and footer.codec < len(CODEC_NAMES)
        and footer.head_size == HEAD.size
        and footer.index_offset >= HEAD.size
        and footer.index_offset % ALIGN == 0
        and footer.filter_offset == footer.index_offset + padded(footer.index_size)
        and footer.filter_offset + padded(footer.filter_size) + FOOTER.size == size
        and not any(footer.zeros)
    )
    if not sound:
        raise Corrupt(f"the footer of {path} contradicts itself: restore the file")
    return footer
