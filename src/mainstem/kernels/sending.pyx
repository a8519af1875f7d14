"""File to socket: ``sendfile`` until the budget is spent or the receiver falls behind."""

from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t
from posix.types cimport off_t

cdef extern from "sys/sendfile.h" nogil:
    ssize_t sendfile(int out, int source, off_t* offset, size_t count)

cdef extern from "poll.h" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    ctypedef unsigned long nfds_t
    int POLLOUT
    struct timespec:
        long tv_sec
        long tv_nsec
    int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const void* mask)


def send_file(int socket_descriptor, int file_descriptor, int64_t position, int64_t size,
              int patience_us):
    """Send ``size`` bytes at ``position`` of a file to a non-blocking socket.

    When the socket is full, wait up to ``patience_us`` microseconds for room before giving up: a
    receiver on the same machine drains a buffer in less time than a turn of an event loop takes.
    Returns the bytes sent, fewer than ``size`` when the socket stayed full; ``-1 - sent`` when
    the file ended early. Raises ``OSError``. The GIL is released.
    """
    cdef off_t offset = position
    cdef int64_t left = size
    cdef ssize_t sent
    cdef pollfd waiting
    cdef timespec timeout
    cdef bint failed = False
    cdef bint ended = False
    waiting.fd = socket_descriptor
    waiting.events = <short>POLLOUT
    timeout.tv_sec = patience_us // 1_000_000
    timeout.tv_nsec = (patience_us % 1_000_000) * 1000
    if position < 0 or size < 0:
        raise ValueError(f"cannot send {size} bytes at {position}")
    with nogil:
        while left > 0:
            sent = sendfile(socket_descriptor, file_descriptor, &offset, <size_t>left)
            if sent > 0:
                left -= sent
            elif sent == 0:
                ended = True
                break
            elif errno == EINTR:
                continue
            elif errno != EAGAIN:
                failed = True
                break
            elif patience_us <= 0 or ppoll(&waiting, 1, &timeout, NULL) <= 0:
                break
    if failed:
        PyErr_SetFromErrno(OSError)
    return -1 - (size - left) if ended else size - left
