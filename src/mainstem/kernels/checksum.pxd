"""CRC-32C (C side; see checksum.pyx)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef uint32_t crc_of(const uint8_t* data, Py_ssize_t size, uint32_t value) except? 1
cdef uint32_t crc_without_gil(const uint8_t* data, Py_ssize_t size, uint32_t value) noexcept nogil
cdef uint32_t crc_after(uint32_t difference, uint64_t size) noexcept nogil
