"""Small text files that are replaced atomically: numbers by name, with a CRC-32C.

::

    1
    log_end_offset 1234
    active_size 99
    crc32c 0a1b2c3d

The first line is the format's version; the CRC covers every byte before its own line.
"""

from __future__ import annotations

from mainstem.errors import Corrupt
from mainstem.filesystem import FileSystem, read_file, replace_file
from mainstem.kernels import crc32c

RECOVERY_POINT = "recovery-point"
LOG_START_OFFSET = "log-start-offset"
CLEAN_SHUTDOWN = "clean-shutdown"
_VERSION = "1"


def encode_numbers(numbers: dict[str, int]) -> bytes:
    body = "".join(f"{line}\n" for line in [_VERSION, *(f"{k} {v}" for k, v in numbers.items())])
    return body.encode() + b"crc32c %08x\n" % crc32c(body.encode())


def decode_numbers(data: bytes, path: str) -> dict[str, int]:
    """Parse; raises ``Corrupt`` naming ``path`` unless every byte is as written."""
    body, _, checksum = data.rpartition(b"crc32c ")
    if checksum != b"%08x\n" % crc32c(body):
        raise Corrupt(f"{path} fails its CRC-32C check; run `mainstem doctor`", code=56)
    version, *lines = body.decode().rstrip("\n").split("\n")
    if version != _VERSION:
        raise Corrupt(
            f"{path} has format version {version}; this Mainstem reads {_VERSION}", code=56
        )
    return {name: int(value) for name, value in (line.split(" ") for line in lines)}


def write_numbers(filesystem: FileSystem, directory: str, name: str, **numbers: int) -> None:
    """Replace the file durably."""
    replace_file(filesystem, directory, name, encode_numbers(numbers))


def read_numbers(filesystem: FileSystem, directory: str, name: str) -> dict[str, int] | None:
    """The numbers, or ``None`` where there is no such file."""
    try:
        data = read_file(filesystem, f"{directory}/{name}")
    except FileNotFoundError:
        return None
    return decode_numbers(data, f"{directory}/{name}")
