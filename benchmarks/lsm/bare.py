"""What reading blocks costs with no store around it: ``pread`` on every core, and nothing else.

Keys that are not cached need their blocks. The loop reads random blocks of a file that is in the
page cache as the stores' are, and adds their words up, the least that a check can do.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

NAME = "bare reads"
BLOCK = 8192  # bytes, of our stores unless they are asked for others
_CACHED = 0.25  # of the blocks, in the tables with four times the cache

_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int file;
static uint64_t blocks, size;
static double seconds;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void *work(void *seed) {
    uint64_t x = (uint64_t)(uintptr_t)seed * 0x9e3779b97f4a7c15u, count = 0, sum = 0;
    uint64_t *room = aligned_alloc(4096, size);
    double until = now() + seconds;
    while (now() < until)
        for (int i = 0; i < 256; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            if (pread(file, room, size, (off_t)(x % blocks * size)) != (ssize_t)size) exit(3);
            for (uint64_t k = 0; k < size / 8; k++) sum += room[k];
            count++;
        }
    free(room);
    return (void *)(uintptr_t)(count + (sum == 1));
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    uintptr_t threads = (uintptr_t)atoi(argv[4]);
    pthread_t running[64];
    void *found;
    uint64_t total = 0;
    file = open(argv[1], O_RDONLY);
    blocks = strtoull(argv[2], NULL, 10), size = strtoull(argv[3], NULL, 10);
    seconds = atof(argv[5]);
    if (file < 0 || threads < 1 || threads > 64) return 2;
    for (uintptr_t i = 0; i < threads; i++)
        pthread_create(&running[i], NULL, work, (void *)(i + 1));
    for (uintptr_t i = 0; i < threads; i++) {
        pthread_join(running[i], &found);
        total += (uintptr_t)found;
    }
    printf("%.1f\n", total / seconds);
    return 0;
}
"""


class Reads:
    """A file of ``size`` bytes in ``place``, and the program that reads it."""

    def __init__(self, place: Path, size: int) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="bare-", dir=place)
        source, self._program = (Path(self._directory.name, name) for name in ("bare.c", "bare"))
        source.write_text(_SOURCE)
        compiler = os.environ.get("CC", "cc")
        command = [compiler, "-O3", "-pthread", "-o", str(self._program), str(source)]
        subprocess.run(command, check=True)
        self._blocks = size // BLOCK
        self._file = Path(self._directory.name, "blocks")
        with self._file.open("wb") as file:
            for _ in range(self._blocks):
                file.write(os.urandom(BLOCK))

    def keys(self, batch: int, seconds: float) -> float:
        """Keys a second, were reading all there is to batches of ``batch`` random ones."""
        threads = len(os.sched_getaffinity(0))
        words = [self._blocks, BLOCK, threads, seconds]
        command = [str(self._program), str(self._file), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        touched = self._blocks * (1 - (1 - 1 / self._blocks) ** batch)
        return float(done.stdout) * batch / ((1 - _CACHED) * touched)

    def close(self) -> None:
        self._directory.cleanup()
