"""Compression of blocks: none, LZ4 or Zstandard, numbered as files number them."""

from __future__ import annotations

from typing import Final

import cramjam
from typing_extensions import Buffer

from mainstem.errors import Corrupt

CODEC_NAMES: Final = ("none", "lz4", "zstd")
_ZSTD_LEVEL: Final = 1


def compress(codec: int, data: Buffer) -> bytes | None:
    """``data`` compressed, or ``None`` where that does not make it smaller."""
    if codec == 0:
        return None
    view = memoryview(data)
    packed = bytes(
        cramjam.lz4.compress_block(view, store_size=False)
        if codec == 1
        else cramjam.zstd.compress(view, _ZSTD_LEVEL)
    )
    return packed if len(packed) < view.nbytes else None


def decompress(codec: int, data: Buffer, size: int, what: str) -> bytes:
    """Exactly ``size`` bytes. Raises ``Corrupt`` naming ``what``; never writes beyond ``size``."""
    if not 0 < size <= 1 << 31 or codec not in (1, 2):
        raise Corrupt(f"{what} says it has {size} bytes: restore the file")
    target = bytearray(size)
    try:
        written = (
            cramjam.lz4.decompress_block_into(memoryview(data), target)
            if codec == 1
            else cramjam.zstd.decompress_into(memoryview(data), target)
        )
    except (cramjam.DecompressionError, ValueError, RuntimeError) as error:
        raise Corrupt(f"{what} does not decompress ({error}): restore the file") from error
    if written != size:
        raise Corrupt(f"{what} has {written} bytes, not {size}: restore the file")
    return bytes(target)
