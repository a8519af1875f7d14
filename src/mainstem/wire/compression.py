"""Kafka's record compression: gzip, snappy, lz4 and zstd, as the Java client writes them.

Sources: Apache Kafka ``CompressionType``; RFC 1952 (gzip), RFC 8878 (zstd), the LZ4 frame format,
snappy-java's ``SnappyOutputStream`` for the framing Java puts around snappy blocks.

Decompressed data never takes more memory than the caller's limit: every decoder writes into a
buffer of fixed size. The size is taken from what the data declares where it declares it, never
beyond the limit; else the buffer grows in a few steps up to the limit.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from mainstem.kernels import BatchError, Memory

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["CODECS", "DEFAULT_LIMIT", "compress", "decompress"]

CODECS: Final = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
DEFAULT_LIMIT: Final = 128 * 1024 * 1024
"""Most decompressed bytes of one batch; Kafka's own default for a compressed one is 1 MB."""

_NAMES: Final = {number: name for name, number in CODECS.items()}
_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = _XERIAL_MAGIC + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK: Final = 32 * 1024
_FIRST_GUESS: Final = 16  # decompressed bytes per compressed byte when nothing is declared
_ZSTD_MAGIC: Final = 0xFD2FB528
_ZSTD_LEVEL: Final = 1  # on records a fifth to two thirds faster than 3, of much the same size
_TOO_SMALL: Final = "failed to write whole buffer"  # cramjam's words when the output is full


def compress(codec: int, data: Buffer, level: int | None = None) -> Buffer:
    """``data`` compressed with Kafka codec 0 (none) to 4 (zstd).

    ``level`` is the codec's own (gzip 1-9, lz4 1-12, zstd 1-22; snappy has none); None takes
    gzip 6, fast lz4, zstd 1 (Kafka's own clients: zstd 3). Raises ``ValueError`` for an unknown
    codec. Thread-safe.
    """
    import cramjam

    if codec == 0:
        return bytes(data)
    if codec == 1:
        return bytes(cramjam.gzip.compress(data, level))
    if codec == 2:
        return _compress_xerial(memoryview(data).cast("B"))
    if codec == 3:  # Java reads no linked blocks: "Dependent block stream is unsupported"
        compressor = cramjam.lz4.Compressor(level or 1, content_checksum=False, block_linked=False)
        compressor.compress(bytes(data))
        return bytes(compressor.finish())
    if codec == 4:  # the same bytes as cramjam's, a tenth faster where threads do it side by side
        import pyarrow as pa

        codec_of_arrow = pa.Codec("zstd", _ZSTD_LEVEL if level is None else level)
        # Arrow's memory: `bytes` of a megabyte are mapped, filled, cut and unmapped each time.
        return memoryview(codec_of_arrow.compress(data)).cast("B")
    raise ValueError(f"codec {codec} is unknown; 0 to 4 are {', '.join(CODECS)}")


def decompress(codec: int, data: Buffer, *, limit: int = DEFAULT_LIMIT) -> Buffer:
    """``data`` decompressed with Kafka codec 0 to 4, at most ``limit`` bytes.

    Reads snappy with and without Java's framing, and gzip, lz4 and zstd data of several frames.
    Raises ``BatchError``: ``"limit"`` when the result would be larger, ``"codec"`` when the
    codec is unknown or the data is damaged. Thread-safe.
    """
    view = memoryview(data).cast("B")
    if codec == 0:
        if len(view) > limit:
            raise _too_large(codec, limit)
        return view
    if codec not in _NAMES:
        raise BatchError(
            f"compression codec {codec} is unknown; 0 to 4 are {', '.join(CODECS)}", "codec", 0
        )
    import cramjam

    try:
        if codec == 2:
            return _decompress_snappy(view, limit)
        decoder = {1: cramjam.gzip, 3: cramjam.lz4, 4: cramjam.zstd}[codec]
        return _grow(decoder, codec, view, _declared_size(codec, view), limit)
    except cramjam.DecompressionError as error:
        raise BatchError(
            f"{len(view)} bytes of {_NAMES[codec]} data do not decompress: {error}", "codec", 0
        ) from error


def _too_large(codec: int, limit: int) -> BatchError:
    return BatchError(f"{_NAMES[codec]} data holds more than {limit} bytes", "limit", 0)


def _grow(decoder: Any, codec: int, view: memoryview, declared: int | None, limit: int) -> Memory:
    import cramjam

    size = _FIRST_GUESS * len(view) + 4096 if declared is None else declared
    while True:
        size = min(size, limit)
        memory = Memory(size)
        try:
            written = decoder.decompress_into(view, memory)
        except cramjam.DecompressionError as error:
            if _TOO_SMALL not in str(error):
                raise
        else:
            memory.truncate(written)
            return memory
        if size == limit:
            raise _too_large(codec, limit)
        size = size * 8 + 4096


def _declared_size(codec: int, view: memoryview) -> int | None:
    """What the (last) frame says it holds; only a hint, as several frames may follow each other."""
    if codec == 1 and len(view) >= 18:
        (size,) = struct.unpack_from("<I", view, len(view) - 4)
        return int(size) if size <= 1032 * len(view) else None  # deflate's greatest ratio
    if codec == 4:
        return _zstd_content_size(view)
    if codec == 3 and len(view) >= 15 and view[4] & 0x08:
        (size,) = struct.unpack_from("<Q", view, 6)
        return int(size) if size <= 255 * len(view) else None  # lz4's greatest ratio
    return None


def _zstd_content_size(view: memoryview) -> int | None:
    """Frame_Content_Size of the first frame, RFC 8878 section 3.1.1.1."""
    if len(view) < 18 or struct.unpack_from("<I", view)[0] != _ZSTD_MAGIC:
        return None
    descriptor = view[4]
    single_segment = descriptor >> 5 & 1
    width = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    if width == 0:
        return None
    start = 5 + (0 if single_segment else 1) + (0, 1, 2, 4)[descriptor & 3]
    size = int.from_bytes(view[start : start + width], "little")
    return size + 256 if width == 2 else size


def _compress_xerial(view: memoryview) -> bytes:
    import cramjam

    parts = [_XERIAL_HEADER]
    for start in range(0, len(view), _XERIAL_BLOCK):
        block = bytes(cramjam.snappy.compress_raw(view[start : start + _XERIAL_BLOCK]))
        parts.append(struct.pack(">i", len(block)))
        parts.append(block)
    return b"".join(parts)


def _decompress_snappy(view: memoryview, limit: int) -> Memory:
    import cramjam

    blocks = _xerial_blocks(view) if bytes(view[:8]) == _XERIAL_MAGIC else [view]

    sizes = [_snappy_size(block) for block in blocks]
    if sum(sizes) > limit:
        raise _too_large(2, limit)
    memory = Memory(sum(sizes))
    position = 0
    with memoryview(memory) as out:
        for block, size in zip(blocks, sizes, strict=True):
            written = cramjam.snappy.decompress_raw_into(block, out[position : position + size])
            if written != size:
                raise BatchError(f"snappy block holds {written} bytes, not {size}", "codec", 0)
            position += size
    return memory


def _snappy_size(block: memoryview) -> int:
    """The declared size, refused beyond what so many bytes can hold (64 for every 3)."""
    import cramjam

    size = int(cramjam.snappy.decompress_raw_len(block))
    if size > 32 * len(block):
        raise BatchError(f"snappy block of {len(block)} bytes declares {size}", "codec", 0)
    return size


def _xerial_blocks(view: memoryview) -> list[memoryview]:
    """The snappy blocks inside Java's framing: a 16-byte header, then size and block each."""
    if len(view) < 16:
        raise BatchError(f"snappy stream header is cut short: {len(view)} of 16 bytes", "codec", 0)
    blocks = []
    position = 16
    while position < len(view):
        if bytes(view[position : position + 8]) == _XERIAL_MAGIC:  # streams may be concatenated
            position += 16
            continue
        if len(view) - position < 4:
            raise BatchError("snappy stream ends inside a block size", "codec", 0)
        (size,) = struct.unpack_from(">i", view, position)
        position += 4
        if size < 1 or size > len(view) - position:
            raise BatchError(
                f"snappy block claims {size} bytes of {len(view) - position}", "codec", 0
            )
        blocks.append(view[position : position + size])
        position += size
    return blocks
