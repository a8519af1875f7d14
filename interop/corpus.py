"""Records that are easy to get wrong, the same for every client, and how to compare them."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

# An hour ago: older than the retention time, and records vanish while a test looks at them.
BASE_TIME = int(time.time()) * 1000 - 3_600_000
LARGE = 900_000


@dataclass(frozen=True)
class Record:
    """What a producer hands over. ``timestamp`` is in milliseconds; None means now."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int | None = None

    @property
    def content(self) -> tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]:
        """Everything that must come back byte-equal whoever reads it."""
        return self.key, self.value, self.headers


@dataclass(frozen=True)
class Placed:
    """A record as read, with where it was found."""

    record: Record
    partition: int
    offset: int


def _noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def tricky() -> list[Record]:
    """Return nulls, empties, every byte, headers of all kinds, and enough to fill batches."""
    every_byte = bytes(range(256))
    records = [
        Record(b"key", b"value"),
        Record(None, b"no key"),
        Record(b"tombstone", None),
        Record(None, None),
        Record(b"", b""),
        Record(every_byte, every_byte * 40),
        Record(b"headers", b"h", (("one", b"1"), ("two", b""), ("none", None), ("one", b"again"))),
        Record(None, "Grüße, 世界".encode(), (("ключ", "значение".encode()),)),
        Record(b"binary header", b"b", (("bytes", every_byte),)),
    ]
    records += [Record(b"%d" % i, b"repeated text " * (i % 50)) for i in range(200)]
    return [
        Record(record.key, record.value, record.headers, BASE_TIME + 1000 * index)
        for index, record in enumerate(records)
    ]


def plain(count: int, *, start: int = 0, size: int = 100) -> list[Record]:
    """Return ``count`` small keyed records, one second apart, told apart by their number."""
    return [
        Record(
            b"key-%d" % (number % 17),
            (b"value-%d " % number).ljust(size, b"."),
            (),
            BASE_TIME + 1000 * number,
        )
        for number in range(start, start + count)
    ]


def large(seed: int) -> Record:
    """Return one record of 900 KB that does not compress."""
    return Record(b"large", _noise(seed, LARGE), (("size", b"%d" % LARGE),), BASE_TIME)
