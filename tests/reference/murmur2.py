"""Kafka's murmur2 in plain Python, after the description of MurmurHash 2 (seed 0x9747b28c)."""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """The signed 32-bit hash."""
    hashed = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        hashed = hashed * _M & _MASK ^ k
    if whole < len(data):
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    hashed = (hashed ^ hashed >> 13) * _M & _MASK
    hashed ^= hashed >> 15
    return hashed - 2**32 if hashed >= 2**31 else hashed


def partition(key: bytes, partitions: int) -> int:
    """Where Java's ``partitionForKey`` puts ``key``."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
