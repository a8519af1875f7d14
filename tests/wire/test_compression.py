"""Every codec both ways, other writers' framings, damage, and bombs that must not go off."""

from __future__ import annotations

import gzip
import json
import random
import struct
import subprocess
import sys

import cramjam
import pytest

from mainstem import wire
from mainstem.kernels import BatchError
from mainstem.wire import decompress

CODECS = [1, 2, 3, 4]
TEXT = b"".join(json.dumps({"i": i, "square": i * i}).encode() for i in range(5000))


def compress(codec: int, data: bytes, level: int | None = None) -> bytes:
    """To be compared and joined."""
    return bytes(wire.compress(codec, data, level))


def refused(codec: int, data: bytes, **options: int) -> str:
    with pytest.raises(BatchError) as caught:
        decompress(codec, data, **options)
    return caught.value.reason


def size_or_reason(codec: int, data: bytes, limit: int) -> str:
    try:
        return str(memoryview(decompress(codec, data, limit=limit)).nbytes)
    except BatchError as error:
        return error.reason


@pytest.mark.parametrize("codec", [0, *CODECS])
@pytest.mark.parametrize(
    "data",
    [b"", b"x", TEXT, bytes(3_000_000), random.Random(1).randbytes(100_000)],
    ids=["nothing", "one byte", "text", "zeros", "noise"],
)
def test_round_trip(codec: int, data: bytes) -> None:
    assert bytes(decompress(codec, compress(codec, data))) == data


@pytest.mark.parametrize("codec", [1, 3, 4])
def test_level_is_used(codec: int) -> None:
    assert compress(codec, TEXT, 9) != compress(codec, TEXT, 1)
    assert bytes(decompress(codec, compress(codec, TEXT, 9))) == TEXT


def test_zstd_is_level_1_unless_asked_otherwise() -> None:
    assert compress(4, TEXT) == compress(4, TEXT, 1)
    assert len({compress(4, TEXT, level) for level in (1, 3, 5)}) == 3


@pytest.mark.parametrize("codec", [-1, 5, 6, 7, 8])
def test_unknown_codec_is_refused(codec: int) -> None:
    with pytest.raises(ValueError, match="unknown"):
        compress(codec, b"x")
    assert refused(codec, b"x") == "codec"


@pytest.mark.parametrize("codec", [0, *CODECS])
def test_limit_is_exact(codec: int) -> None:
    data = compress(codec, TEXT)
    assert bytes(decompress(codec, data, limit=len(TEXT))) == TEXT
    assert refused(codec, data, limit=len(TEXT) - 1) == "limit"


@pytest.mark.parametrize("codec", [1, 3, 4])
def test_several_frames_are_read_as_one(codec: int) -> None:
    data = compress(codec, TEXT) + compress(codec, b"") + compress(codec, b"more")
    assert bytes(decompress(codec, data)) == TEXT + b"more"
    assert refused(codec, data, limit=len(TEXT)) == "limit"


def test_snappy_is_written_as_java_does() -> None:
    data = compress(2, bytes(100_000))
    assert data[:16] == b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    (size,) = struct.unpack_from(">i", data, 16)
    block = bytes(cramjam.snappy.decompress_raw(data[20 : 20 + size]))
    assert len(block) == 32 * 1024


def test_snappy_without_framing_is_read() -> None:
    assert bytes(decompress(2, bytes(cramjam.snappy.compress_raw(TEXT)))) == TEXT


def test_snappy_streams_may_follow_each_other() -> None:
    assert bytes(decompress(2, compress(2, b"one") + compress(2, b"two"))) == b"onetwo"


def test_lz4_blocks_are_independent_as_java_needs() -> None:
    data = compress(3, TEXT * 20)
    assert data[:4] == b"\x04\x22\x4d\x18"
    assert data[4] & 0x20, "Java: Dependent block stream is unsupported"


@pytest.mark.parametrize("sizes", [(True, True), (True, False), (False, True)])
def test_lz4_with_and_without_checksums_and_links(sizes: tuple[bool, bool]) -> None:
    compressor = cramjam.lz4.Compressor(4, content_checksum=sizes[0], block_linked=sizes[1])
    compressor.compress(TEXT * 20)
    assert bytes(decompress(3, bytes(compressor.finish()))) == TEXT * 20


def test_gzip_of_the_standard_library_is_read() -> None:
    assert bytes(decompress(1, gzip.compress(TEXT, 9, mtime=1))) == TEXT


def test_zstd_that_declares_no_size_is_read() -> None:
    compressor = cramjam.zstd.Compressor(3)
    compressor.compress(bytes(5_000_000))
    data = bytes(compressor.finish())
    assert bytes(decompress(4, data)) == bytes(5_000_000)
    assert refused(4, data, limit=4_999_999) == "limit"


@pytest.mark.parametrize("declared", [0, 5, 10_000_000, 2**32 - 1])
def test_gzip_whose_declared_size_is_false_is_still_read(declared: int) -> None:
    # Two members: the trailer is the last one's only, so it may say anything about the whole.
    data = gzip.compress(TEXT)
    changed = data[:-4] + struct.pack("<I", declared)
    assert refused(1, changed) == "codec"
    assert bytes(decompress(1, data + gzip.compress(b"x" * (declared % 1000)))).startswith(TEXT)


@pytest.mark.parametrize("codec", CODECS)
def test_cut_data_is_refused(codec: int) -> None:
    data = compress(codec, TEXT)
    for size in [*range(20), len(data) // 2, len(data) - 5, len(data) - 1]:
        if codec == 2 and size == 16:
            continue  # a header without blocks is an empty stream
        assert refused(codec, data[:size]) == "codec", f"{size} of {len(data)} bytes"


@pytest.mark.parametrize("codec", CODECS)
def test_trailing_junk_is_refused(codec: int) -> None:
    assert refused(codec, compress(codec, TEXT) + b"\x07junkjunk") == "codec"


@pytest.mark.parametrize("codec", CODECS)
def test_damaged_data_gives_the_clean_error(codec: int) -> None:
    chooser = random.Random(21)
    data = compress(codec, TEXT)
    for case in range(2000):
        changed = bytearray(data)
        for _ in range(chooser.randrange(1, 5)):
            changed[chooser.randrange(len(data))] = chooser.randrange(256)
        outcome = size_or_reason(codec, bytes(changed), 1 << 20)
        assert outcome in {"codec", "limit"} or int(outcome) <= 1 << 20, f"seed 21 case {case}"


@pytest.mark.parametrize("codec", CODECS)
def test_noise_gives_the_clean_error(codec: int) -> None:
    chooser = random.Random(22)
    for case in range(2000):
        data = chooser.randbytes(chooser.randrange(80))
        if case % 2:
            data = compress(codec, b"")[:4] + data
        outcome = size_or_reason(codec, data, 1 << 16)
        assert outcome in {"codec", "limit"} or int(outcome) <= 1 << 16, f"seed 22 case {case}"


@pytest.mark.parametrize("size", [0, -1, 2**31 - 1, 3])
def test_snappy_block_size_is_checked(size: int) -> None:
    data = b"\x82SNAPPY\0" + struct.pack(">iii", 1, 1, size) + b"\x01\x00"
    assert refused(2, data) == "codec"


def test_snappy_block_that_goes_on_behind_the_end_is_refused() -> None:
    data = b"\x82SNAPPY\0" + struct.pack(">iii", 1, 1, 3) + b"\0"  # a sound block, too short
    assert refused(2, data) == "codec"


def test_snappy_block_that_declares_too_much_is_refused_before_allocating() -> None:
    with pytest.raises(BatchError, match="declares 4294967295"):
        decompress(2, b"\xff\xff\xff\xff\x0f" + b"\0" * 10, limit=2**40)


BOMB = """
import resource, sys
from mainstem.kernels import BatchError
from mainstem.wire import compress, decompress
codec = int(sys.argv[1])
piece = bytes(compress(codec, bytes(1 << 28)))  # 256 MiB of zeros
bomb = piece * (1 if codec == 2 else 8)
decompress(codec, compress(codec, b"warm up"))
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20), resource.RLIM_INFINITY))
for limit in (1, 1000, 1 << 20, 1 << 24):
    try:
        decompress(codec, bomb, limit=limit)
    except BatchError as error:
        assert error.reason == "limit", error
    else:
        sys.exit("went off")
print("held")
"""


@pytest.mark.parametrize("codec", CODECS)
def test_bomb_is_refused_without_the_memory_for_it(codec: int) -> None:
    """The process may take 48 MiB more; 2 GiB (snappy: 256 MiB) are inside the bomb."""
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(codec)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "held\n", done.stderr


def test_cramjam_is_not_imported_before_it_is_needed() -> None:
    script = (
        "import sys; from mainstem.wire import decompress; decompress(0, b'x')\n"
        "assert 'cramjam' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
