"""Threads that share a kernel's work, one fewer than the process has cores.

Who has work that comes in pieces opens a task and goes to work on it at once; helpers that are
idle join as they wake, each under a number of its own from 1, and take pieces as the opener does.
Nobody waits for a helper that has not begun: a task is closed when no pieces are left, and that
waits only for helpers that are inside. They are started at first use, look out for the next task
for 100 us when they have worked, else sleep, touch nothing of Python's, and are started anew in a
process that was forked.
"""

import os

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_attr_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*) noexcept nogil, void*)
    int pthread_detach(pthread_t)
    int pthread_mutex_init(pthread_mutex_t*, const void*)
    int pthread_mutex_lock(pthread_mutex_t*)
    int pthread_mutex_unlock(pthread_mutex_t*)
    int pthread_cond_init(pthread_cond_t*, const void*)
    int pthread_cond_wait(pthread_cond_t*, pthread_mutex_t*)
    int pthread_cond_signal(pthread_cond_t*)
    int pthread_cond_broadcast(pthread_cond_t*)
    int pthread_atfork(void (*)() noexcept nogil, void (*)() noexcept nogil,
                       void (*)() noexcept nogil)

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int sigfillset(sigset_t*)
    int pthread_sigmask(int, const sigset_t*, sigset_t*)
    int SIG_SETMASK

cdef extern from *:
    """
    #include <sched.h>
    #include <time.h>
    #define LSM_LOOK_OUT 100000  /* nanoseconds */
    static unsigned lsm_openings;
    static inline void lsm_count_opening(void) {
        __atomic_fetch_add(&lsm_openings, 1, __ATOMIC_RELEASE);
    }
    static inline unsigned lsm_openings_now(void) {
        return __atomic_load_n(&lsm_openings, __ATOMIC_ACQUIRE);
    }
    static inline long long lsm_nanoseconds(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * 1000000000LL + now.tv_nsec;
    }
    /* Wait a moment for another opening than the last one seen, without sleep: whoever else
       wants the processor gets it. */
    static void lsm_look_out(unsigned seen) {
        long long until = lsm_nanoseconds() + LSM_LOOK_OUT;
        do {
            for (int i = 0; i < 64; i++) {
                if (lsm_openings_now() != seen) return;
    #if defined(__x86_64__)
                __builtin_ia32_pause();
    #endif
            }
            sched_yield();
        } while (lsm_nanoseconds() < until);
    }
    """
    void count_opening "lsm_count_opening"() noexcept nogil
    unsigned openings "lsm_openings_now"() noexcept nogil
    void look_out "lsm_look_out"(unsigned) noexcept nogil

cdef enum:
    _MOST = 7

cdef pthread_mutex_t _lock
cdef pthread_cond_t _opened
cdef pthread_cond_t _left
cdef Task* _tasks = NULL
cdef int _helpers = 0
cdef int _started = 0
cdef Py_ssize_t _joins = 0


cdef int helpers() noexcept nogil:
    """How many threads may join a task."""
    return _helpers


cdef void open_task(Task* task, int wanted) noexcept nogil:
    """Let up to ``wanted`` helpers join; ``work`` is called with each one's number, from 1."""
    cdef int i
    task.wanted = wanted if wanted < _helpers else _helpers
    task.joined = 0
    task.inside = 0
    pthread_mutex_lock(&_lock)
    if _started < task.wanted:
        _start(task.wanted)
    task.next = _tasks
    _set(task)
    count_opening()
    for i in range(task.wanted):
        pthread_cond_signal(&_opened)
    pthread_mutex_unlock(&_lock)


cdef void close_task(Task* task) noexcept nogil:
    """No more helpers may join; returns when those inside have left."""
    cdef Task* before
    pthread_mutex_lock(&_lock)
    if _tasks == task:
        _set(task.next)
    else:
        before = _tasks
        while before.next != task:
            before = before.next
        before.next = task.next
    while task.inside:
        pthread_cond_wait(&_left, &_lock)
    pthread_mutex_unlock(&_lock)


cdef void _set(Task* task) noexcept nogil:
    global _tasks
    _tasks = task


cdef void _start(int wanted) noexcept nogil:
    """Have ``wanted`` threads; without them the opener does all of the work."""
    global _started
    cdef pthread_t thread
    cdef sigset_t all_signals, before
    sigfillset(&all_signals)
    pthread_sigmask(SIG_SETMASK, &all_signals, &before)  # signals are for Python's threads
    while _started < wanted and pthread_create(&thread, NULL, _serve, NULL) == 0:
        pthread_detach(thread)
        _started += 1
    pthread_sigmask(SIG_SETMASK, &before, NULL)


cdef void* _serve(void* _) noexcept nogil:
    cdef Task* task
    cdef int number
    cdef unsigned seen
    cdef bint awake = False
    pthread_mutex_lock(&_lock)
    while True:
        task = _tasks
        while task != NULL and task.wanted == 0:
            task = task.next
        if task == NULL:
            if awake:  # to be woken takes longer than most lookups leave between them
                awake = False
                seen = openings()
                pthread_mutex_unlock(&_lock)
                look_out(seen)
                pthread_mutex_lock(&_lock)
            else:
                pthread_cond_wait(&_opened, &_lock)
            continue
        task.wanted -= 1
        task.joined += 1
        task.inside += 1
        number = task.joined
        _count()
        pthread_mutex_unlock(&_lock)
        task.work(task.argument, number)
        awake = True
        pthread_mutex_lock(&_lock)
        task.inside -= 1
        if task.inside == 0:
            pthread_cond_broadcast(&_left)


cdef void _count() noexcept nogil:
    global _joins
    _joins += 1


cdef void _forked() noexcept nogil:
    """A child has none of its parent's threads, and whoever held the lock is not there."""
    global _tasks, _started
    _tasks = NULL
    _started = 0
    _prepare()


cdef void _prepare() noexcept nogil:
    pthread_mutex_init(&_lock, NULL)
    pthread_cond_init(&_opened, NULL)
    pthread_cond_init(&_left, NULL)


def set_helpers(int count):
    """Let ``count`` threads help; returns how many might before."""
    global _helpers
    before = _helpers
    _helpers = max(0, min(_MOST, count))
    return before


def joins():
    """How often a helper has joined a task in this process, or before it was forked."""
    return _joins


_prepare()
if pthread_atfork(NULL, NULL, _forked) != 0:
    raise MemoryError("no memory to watch for forks")
set_helpers(len(os.sched_getaffinity(0)) - 1)
