"""What the live kernels use of the C library: sockets, epoll and clocks."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.time cimport time_t

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
    int AF_INET, AF_INET6, SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC, SOL_SOCKET, SO_ERROR, SO_RCVBUF
    int MSG_DONTWAIT, MSG_NOSIGNAL, MSG_TRUNC, SHUT_WR
    int c_socket "socket"(int family, int kind, int protocol)
    int c_bind "bind"(int fd, const sockaddr* address, unsigned int size)
    int c_connect "connect"(int fd, const sockaddr* address, unsigned int size)
    int c_accept4 "accept4"(int fd, sockaddr* address, unsigned int* size, int flags)
    int c_shutdown "shutdown"(int fd, int how)
    int setsockopt(int fd, int level, int name, const void* value, unsigned int size)
    int getsockopt(int fd, int level, int name, void* value, unsigned int* size)
    ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)
    ssize_t c_sendmsg "sendmsg"(int fd, const msghdr* message, int flags)
    ssize_t c_recv "recv"(int fd, void* data, size_t size, int flags)

cdef extern from "netinet/in.h" nogil:
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        pass
    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        in6_addr sin6_addr
    int IPPROTO_IP
    uint16_t htons(uint16_t value)

cdef extern from "arpa/inet.h" nogil:
    const char* inet_ntop(int family, const void* address, char* out, unsigned int size)
    int inet_pton(int family, const char* text, void* out)

cdef extern from "unistd.h" nogil:
    int c_close "close"(int fd)

cdef extern from "time.h" nogil:
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_REALTIME, CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec* out)
    int nanosleep(const timespec* wanted, timespec* left)

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP
    uint32_t EPOLLET
    int EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CLOEXEC
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int count, int timeout_ms)


cdef inline int64_t clock_us(int which) noexcept nogil:
    """CLOCK_REALTIME or CLOCK_MONOTONIC in microseconds."""
    cdef timespec now
    clock_gettime(which, &now)
    return <int64_t>now.tv_sec * 1_000_000 + now.tv_nsec // 1000
