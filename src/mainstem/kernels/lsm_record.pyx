"""Records of the write-ahead log: an operation's bytes with a head and an end around them.

Layout in docs/formats-lsm.md; ``mainstem.lsm.log`` reads them.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from mainstem.kernels.checksum cimport crc_of
from mainstem.kernels.lsm_arena cimport Arena, Piece
from mainstem.kernels.lsm_batch cimport Operation

cdef enum:
    _HEAD = 64
    _MAGIC = 0x31434552  # "REC1"
    _SMALL = 1 << 16  # copied in less time than it may take to get the GIL back

cdef uint64_t _TRAILER = 0x5AFEC0DED00DBEA7U
cdef uint32_t _magic = _MAGIC
cdef uint32_t _MAGIC_CRC = crc_of(<const uint8_t*>&_magic, 4, 0)


cdef Piece _encode(Arena arena, list operations, Py_ssize_t head, Py_ssize_t tail):
    cdef Py_ssize_t size = head + tail
    cdef Operation operation
    cdef Piece piece
    cdef uint8_t* out
    for operation in operations:
        size += operation.size
    piece = arena.take(size)
    out = piece.data
    memset(out, 0, head)
    memset(out + size - tail, 0, tail)
    out += head
    for operation in operations:
        if operation.size < _SMALL:
            operation.write(out)
        else:
            with nogil:
                operation.write(out)
        out += operation.size
    return piece


def encode_batch(
    Arena arena not None, list operations not None, Py_ssize_t head, Py_ssize_t tail
):
    """``head`` zero bytes, the operations, ``tail`` zero bytes, as one ``Piece`` of ``arena``."""
    return _encode(arena, operations, head, tail)


def encode_record(Arena arena not None, list operations not None, bytes text not None):
    """``operations`` and a position as a record, but for what ``number_record`` fills in."""
    cdef Py_ssize_t room = (len(text) + 7) & -8
    cdef Piece record = _encode(arena, operations, _HEAD, room + 8)
    cdef uint8_t* out = record.data
    (<uint32_t*>out)[0] = _MAGIC
    (<uint64_t*>(out + 8))[0] = record.size
    (<uint32_t*>(out + 32))[0] = <uint32_t>len(operations)
    (<uint32_t*>(out + 36))[0] = <uint32_t>len(text)
    memcpy(out + record.size - 8 - room, <const uint8_t*>text, len(text))
    return record


def number_record(Piece record not None, uint64_t sequence, uint64_t synced):
    """Make ``record`` the commit ``sequence``, written when ``synced`` bytes were on disk."""
    cdef uint8_t* out = record.data
    if record.size < _HEAD + 8:
        raise ValueError(f"a record has {_HEAD + 8} bytes or more, not {record.size}")
    (<uint64_t*>(out + 16))[0] = sequence
    (<uint64_t*>(out + 24))[0] = synced
    (<uint64_t*>(out + record.size - 8))[0] = sequence ^ _TRAILER
    (<uint32_t*>(out + 4))[0] = crc_of(out + 8, record.size - 8, _MAGIC_CRC)
