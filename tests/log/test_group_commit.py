from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest
from log_batches import batch, whole

from mainstem.errors import Closed, MainstemError, Unavailable
from mainstem.log import GroupCommit, Log, LogConfig, Partition
from mainstem.testing.filesystem import CrashFileSystem

PATIENCE = 30


class Answers:
    """Collects callbacks and lets a test wait for a number of them."""

    def __init__(self) -> None:
        self.errors: list[MainstemError | None] = []
        self._changed = threading.Condition()

    def __call__(self, error: MainstemError | None) -> None:
        with self._changed:
            self.errors.append(error)
            self._changed.notify()

    def wait_for(self, count: int) -> list[MainstemError | None]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.errors) >= count, PATIENCE)
            return self.errors


def test_the_answer_comes_once_it_is_durable(log: Log) -> None:
    partition, commits, answers = log.open("t", 0), GroupCommit(), Answers()
    partition.append(batch(3))
    commits.request(partition, 3, answers)
    assert answers.wait_for(1) == [None]
    assert partition.durable_offset == 3
    commits.close()


def test_what_is_durable_already_is_answered_at_once(log: Log) -> None:
    partition, commits, answers = log.open("t", 0), GroupCommit(), Answers()
    partition.append(batch(3))
    partition.sync()
    commits.request(partition, 2, answers)
    assert answers.errors == [None]
    commits.close()


def test_requests_during_a_sync_share_the_next_one() -> None:
    disk, started, go_on = CrashFileSystem(), threading.Event(), threading.Event()
    partition = Log("d", filesystem=disk).open("t", 0)
    syncs = []

    def slow(_call: int, operation: str, path: str) -> None:
        if operation == "fdatasync":
            syncs.append(path)
            if len(syncs) == 1:
                started.set()
                assert go_on.wait(PATIENCE)

    disk.fault = slow  # type: ignore[assignment]
    commits, answers = GroupCommit(), Answers()
    partition.append(batch())
    commits.request(partition, 1, answers)
    assert started.wait(PATIENCE)
    for offset in range(2, 12):
        partition.append(batch())
        commits.request(partition, offset, answers)
    go_on.set()
    assert answers.wait_for(11) == [None] * 11
    assert len(syncs) == 2
    commits.close()


def test_a_failed_sync_is_told_to_everyone_waiting() -> None:
    disk = CrashFileSystem()
    partition = Log("d", filesystem=disk).open("t", 0)
    partition.append(batch(2))
    disk.fault = lambda _, operation, path: OSError(errno.EIO, operation, path)
    commits, answers = GroupCommit(), Answers()
    commits.request(partition, 1, answers)
    commits.request(partition, 2, answers)
    for error in answers.wait_for(2):
        assert isinstance(error, Unavailable)
        assert error.code == 56
    assert partition.durable_offset == 0
    commits.close()


def test_one_bad_partition_does_not_hold_up_the_others() -> None:
    disk = CrashFileSystem()
    log = Log("d", filesystem=disk)
    bad, good = log.open("bad", 0), log.open("good", 0)
    bad.append(batch())
    good.append(batch())
    disk.fault = lambda _, operation, path: OSError(5, path) if "bad" in path else None
    commits, bad_answers, good_answers = GroupCommit(), Answers(), Answers()
    commits.request(bad, 1, bad_answers)
    commits.request(good, 1, good_answers)
    assert good_answers.wait_for(1) == [None]
    assert isinstance(bad_answers.wait_for(1)[0], Unavailable)
    commits.close()


def test_partitions_are_synced_side_by_side_and_each_by_one_at_a_time() -> None:
    disk = CrashFileSystem()
    log = Log("d", filesystem=disk)
    partitions = [log.open(name, 0) for name in ("a", "b")]
    both, changed = threading.Barrier(2, timeout=PATIENCE), threading.Lock()
    under_way: list[str] = []

    def meet(_call: int, operation: str, path: str) -> None:
        if operation == "fdatasync":
            with changed:
                assert path not in under_way
                under_way.append(path)
            both.wait()
            with changed:
                under_way.remove(path)

    disk.fault = meet  # type: ignore[assignment]
    commits, answers = GroupCommit(), Answers()
    for offset in (1, 2):
        for partition in partitions:
            partition.append(batch())
            commits.request(partition, offset, answers)
        assert answers.wait_for(2 * offset) == [None] * 2 * offset
    commits.close()


def test_closing_finishes_what_was_requested_and_refuses_more(log: Log) -> None:
    partitions, commits, answers = [log.open("t", i) for i in range(5)], GroupCommit(), Answers()
    for partition in partitions:
        partition.append(batch())
        commits.request(partition, 1, answers)
    commits.close()
    assert answers.errors == [None] * 5
    partitions[0].append(batch())
    commits.request(partitions[0], 2, answers)
    assert isinstance(answers.errors[-1], Closed)


@pytest.mark.slow
def test_appends_reads_and_syncs_from_many_threads_agree(tmp_path: Path) -> None:
    log = Log(tmp_path, max_open_files=2)
    config = LogConfig(segment_bytes=20_000, index_interval_bytes=500)
    partitions = [log.open("t", index, config) for index in range(3)]
    commits, answers, stop = GroupCommit(), Answers(), threading.Event()
    problems: list[BaseException] = []

    def append(partition: Partition) -> None:
        for _ in range(1500):
            answer = partition.append(batch(2, 100))
            commits.request(partition, answer.last_offset + 1, answers)

    def read(partition: Partition) -> None:
        while not stop.is_set():
            offset = partition.log_start_offset
            while found := partition.read(offset, 5000):
                assert len(found.read()) == found.size
                offset = found.next_offset

    def guarded(work: object, partition: Partition) -> None:
        try:
            work(partition)  # type: ignore[operator]
        except BaseException as error:
            problems.append(error)

    writers = [threading.Thread(target=guarded, args=(append, p)) for p in partitions]
    readers = [threading.Thread(target=guarded, args=(read, p)) for p in partitions]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert not problems
    assert answers.wait_for(4500) == [None] * 4500
    assert {partition.durable_offset for partition in partitions} == {3000}
    assert len({whole(partition) for partition in partitions}) == 1
    commits.close()
    log.close()


def test_a_partition_deleted_as_its_sync_begins_is_closed_not_a_broken_disk(log: Log) -> None:
    partition = log.open("t", 0)
    partition.append(batch(3))

    class Meanwhile:
        """The lock that a sync takes first; the partition is deleted while it is waited for."""

        def __enter__(self) -> None:
            log.delete("t", 0)

        def __exit__(self, *_: object) -> None:
            pass

    partition._durability._syncing = Meanwhile()  # type: ignore[assignment]
    with pytest.raises(Closed):
        partition.sync()
