"""Key hashing that puts a record on the same partition as Kafka's own clients do.

Source: Apache Kafka, Utils.murmur2 and BuiltInPartitioner.partitionForKey.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from mainstem.kernels.columns cimport BinaryColumn, Memory, allocate, column_entry


cdef inline uint32_t _murmur2(const uint8_t* p, Py_ssize_t size) noexcept nogil:
    cdef uint32_t m = 0x5BD1E995
    cdef uint32_t hashed = <uint32_t>0x9747B28C ^ <uint32_t>size
    cdef uint32_t k
    while size >= 4:
        k = p[0] | (<uint32_t>p[1] << 8) | (<uint32_t>p[2] << 16) | (<uint32_t>p[3] << 24)
        k *= m
        k ^= k >> 24
        k *= m
        hashed *= m
        hashed ^= k
        p += 4
        size -= 4
    if size == 3:
        hashed ^= <uint32_t>p[2] << 16
    if size >= 2:
        hashed ^= <uint32_t>p[1] << 8
    if size >= 1:
        hashed ^= p[0]
        hashed *= m
    hashed ^= hashed >> 13
    hashed *= m
    hashed ^= hashed >> 15
    return hashed


def murmur2(const uint8_t[::1] key not None):
    """Kafka's 32-bit hash of ``key``, as the signed integer Java gives."""
    if key.shape[0] == 0:
        return <int32_t>_murmur2(NULL, 0)
    return <int32_t>_murmur2(&key[0], key.shape[0])


def partitions_of(BinaryColumn keys not None, int32_t partitions):
    """Partition of each key, ``toPositive(murmur2(key)) % partitions``, as int32 ``Memory``.

    A null key gives -1: the caller chooses. Raises ``ValueError`` when ``partitions`` is not
    positive or the array is damaged. Thread-safe.
    """
    if partitions < 1:
        raise ValueError(f"a topic cannot have {partitions} partitions")
    cdef Memory result = allocate(keys.length * 4)
    cdef int32_t* out = <int32_t*>result.data
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0
    cdef Py_ssize_t row
    cdef bint sound = True
    with nogil:
        for row in range(keys.length):
            sound = column_entry(keys, row, &start, &size)
            if not sound:
                break
            if size < 0:
                out[row] = -1
            else:
                out[row] = <int32_t>((_murmur2(start, size) & 0x7FFFFFFF) % <uint32_t>partitions)
    if not sound:
        raise ValueError(f"key {row} points outside its array's data: the array is damaged")
    return result
