"""Sending what rings and connections hold (C side; see live_pump.pyx)."""

from libc.stdint cimport int32_t, uint64_t

from mainstem.kernels.live_connections cimport Connection, Connections
from mainstem.kernels.live_ring cimport RingCore

cdef enum:
    TAGS = 64
    BUCKETS = 66    # 0: time not known; 1 … 65: quarter octaves from 256 us


cdef class Pump(Connections):
    cdef uint64_t[64][66] latency
    cdef uint64_t[64] represented_by
    cdef readonly uint64_t sends, bytes_sent, delivered, blocks, lapses
    cdef void _count(self, RingCore* ring, uint64_t start, uint64_t end) noexcept nogil
    cdef bint _append_rest(
        self, Connection* connection, RingCore* ring, uint64_t start, uint64_t size
    ) noexcept nogil
    cdef ssize_t _send_ring(self, Connection* connection, RingCore* ring) noexcept nogil
    cdef bint _took(self, Connection* connection, RingCore* ring, uint64_t sent) noexcept nogil
    cdef bint _send_chunk(self, int32_t slot) noexcept nogil
    cdef bint _refused(self, int32_t slot) noexcept nogil
    cdef void _pump(self, int32_t slot) noexcept nogil
    cdef void _half_close(self, int32_t slot) noexcept nogil
    cdef void _flush_phase(self, RingCore* ring, int phase) noexcept nogil
