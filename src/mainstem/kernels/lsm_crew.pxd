"""Threads that share a kernel's work (C side; see lsm_crew.pyx)."""


cdef struct Task:
    void (*work)(void* argument, int worker) noexcept nogil
    void* argument
    Task* next
    int wanted  # helpers that may still join
    int joined  # helpers that ever did
    int inside  # helpers at work now


cdef int helpers() noexcept nogil
cdef void open_task(Task* task, int wanted) noexcept nogil
cdef void close_task(Task* task) noexcept nogil
