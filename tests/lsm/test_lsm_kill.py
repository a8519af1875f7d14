"""A process is killed while it writes: what it was told is kept is kept, in order, whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mainstem.lsm import Store, check

WRITER = """
import sys
from mainstem.lsm import Store, WriteBatch
path, sync, start = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store.open(path, sync=sync, memtable_bytes=1 << 16, file_bytes=1 << 15, slice_bytes=4096)
other = store.family("other", fan_in=2)
for number in range(start, start + 100000):
    text = b"%d" % number
    keys = [b"%04d" % ((number * 31 + n * 7) % 1000) for n in range(50)]
    batch = WriteBatch().put(store, keys, [text * 4] * 50).put(other, [b"last"], [text])
    if number % 10 == 0:
        batch.delete_range(store, b"05", b"06")
    store.write(batch, position={"number": number})
    print(number, flush=True)
"""


def oracle(number: int) -> dict[bytes, bytes]:
    rows: dict[bytes, bytes] = {}
    for each in range(1, number + 1):
        for n in range(50):
            rows[b"%04d" % ((each * 31 + n * 7) % 1000)] = b"%d" % each * 4
        if each % 10 == 0:
            for key in [key for key in rows if b"05" <= key < b"06"]:
                del rows[key]
    return rows


def lives(path: Path, sync: str, count: int, seed: int) -> None:
    rng = random.Random(seed)
    reached = 0
    for life in range(count):
        told = reached
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), sync, str(reached + 1)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            wanted = rng.randrange(1, 250)
            for line in process.stdout:
                told = int(line)
                if told >= reached + wanted:
                    process.send_signal(signal.SIGKILL)
                    break
            for line in process.stdout:
                told = int(line)  # it had said so before it died
        with Store.open(path, sync=sync, background="manual") as store:
            found = store.position["number"]
            where = f"seed {seed}, life {life}: told {told}, found {found}"
            assert told <= found <= told + 1, where
            assert store.family("other")[b"last"] == b"%d" % found, where
            assert dict(store.items()) == oracle(found), where
        assert [each.severity for each in check(path)] == ["ok"], where
        reached = found


def test_a_killed_writer_loses_nothing(tmp_path: Path) -> None:
    lives(tmp_path / "s", "group", 2, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["batch", "group", "none"])
def test_writers_killed_again_and_again_lose_nothing(tmp_path: Path, sync: str) -> None:
    lives(tmp_path / "s", sync, 8, seed=2)
