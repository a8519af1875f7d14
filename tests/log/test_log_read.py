from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
from log_batches import batch

from mainstem.errors import Corrupt, Invalid
from mainstem.kernels import read_batches
from mainstem.log import Log, LogConfig, Partition

SMALL = LogConfig(segment_bytes=5000, index_interval_bytes=300)


def fill(partition: Partition, count: int, seed: int = 1) -> list[tuple[int, int, int]]:
    """Append random batches; (base offset, last offset, size) of each."""
    rng, placed = random.Random(seed), []
    for _ in range(count):
        data = batch(rng.randint(1, 5), rng.choice((1, 50, 400)))
        appended = partition.append(data)
        placed.append((appended.base_offset, appended.last_offset, len(data)))
    return placed


def test_every_offset_is_found_in_its_whole_batch(log: Log) -> None:
    partition = log.open("t", 0, SMALL)
    for base, last, size in fill(partition, 200):
        for offset in range(base, last + 1):
            partition._reader.forget()
            found = partition.read(offset, 1)
            assert found is not None
            assert (found.size, found.next_offset) == (size, last + 1)
            assert read_batches(found.read())[0].base_offset == base


@pytest.mark.parametrize("max_bytes", [1, 100, 700, 2500, 1 << 20])
def test_slices_follow_each_other_to_the_end(log: Log, max_bytes: int) -> None:
    partition = log.open("t", 0, SMALL)
    sizes = {base: size for base, _, size in fill(partition, 200)}
    offset, bases = 0, []
    while found := partition.read(offset, max_bytes):
        headers = read_batches(found.read())
        assert headers[0].base_offset == offset
        assert headers[-1].last_offset + 1 == found.next_offset
        assert found.size <= max_bytes or len(headers) == 1
        following = sizes.get(found.next_offset)
        if following and found.size + following <= max_bytes:  # full, unless the segment ended
            assert partition.read(found.next_offset, 1).position == 0  # type: ignore[union-attr]
        bases += [header.base_offset for header in headers]
        offset = found.next_offset
    assert bases == list(sizes)
    assert offset == partition.log_end_offset


def test_a_first_batch_over_the_limit_comes_only_when_asked_for(log: Log) -> None:
    partition = log.open("t", 0)
    partition.append(batch(1, 1000))
    assert partition.read(0, 100, at_least_one=False) is None
    found = partition.read(0, 100)
    assert found is not None
    assert found.size > 1000


def test_nothing_at_or_past_up_to_is_read(log: Log) -> None:
    partition = log.open("t", 0, SMALL)
    placed = fill(partition, 100)
    ends = [last + 1 for _, last, _ in placed]
    for up_to in range(1, partition.log_end_offset + 1):
        offset = 0
        while found := partition.read(offset, 1 << 20, up_to=up_to):
            offset = found.next_offset
        assert offset == max([0, *(end for end in ends if end <= up_to)])


def test_up_to_past_the_end_reads_to_the_end(log: Log) -> None:
    partition = log.open("t", 0)
    partition.append(batch(2))
    assert partition.read(0, 1000, up_to=10**9).next_offset == 2  # type: ignore[union-attr]


def test_the_end_has_nothing_to_read_yet(log: Log) -> None:
    partition = log.open("t", 0)
    assert partition.read(0, 100) is None
    partition.append(batch(3))
    assert partition.read(3, 100) is None


@pytest.mark.parametrize("offset", [-1, 4, 10**12])
def test_offsets_outside_are_out_of_range(log: Log, offset: int) -> None:
    partition = log.open("t", 0)
    partition.append(batch(3))
    with pytest.raises(Invalid) as raised:
        partition.read(offset, 100)
    assert raised.value.code == 1


def test_a_slice_outlives_its_segment_and_its_partition(log: Log) -> None:
    partition = log.open("t", 0, SMALL)
    data = batch(1, 100)
    partition.append(data)
    fill(partition, 100)
    held = partition.read(0, 1)
    assert held is not None
    partition.delete_records_before(partition.log_end_offset)
    assert not Path(partition.directory, f"{0:020d}.log").exists()
    log.delete("t", 0)
    assert held.read() == data
    assert os.pread(held.file.fileno(), held.size, held.position) == data


def test_a_reader_at_the_tail_sees_each_append_across_rolls(log: Log) -> None:
    partition = log.open("t", 0, LogConfig(segment_bytes=1000))
    offset = 0
    for count in range(1, 30):
        data = batch(count % 3 + 1, 90)
        partition.append(data)
        found = partition.read(offset, 1 << 20)
        assert found is not None
        assert found.read() == data
        offset = found.next_offset


def test_open_files_stay_within_their_limit(tmp_path: Path) -> None:
    log = Log(tmp_path / "data", max_open_files=5)
    partitions = [log.open("t", index, SMALL) for index in range(12)]
    for _ in range(3):
        for partition in partitions:
            fill(partition, 20)
            partition.sync()
            assert partition.read(0, 1 << 20) is not None
    handles = log._environment.handles
    assert handles.open_files() <= 5
    descriptors = list(Path("/proc/self/fd").iterdir())
    links = [str(entry.readlink()) for entry in descriptors if entry.is_symlink()]
    assert sum(link.startswith(str(tmp_path)) for link in links) <= 5
    log.close(clean=False)


def test_a_lost_index_is_rebuilt_when_it_is_needed(log: Log, tmp_path: Path) -> None:
    placed = fill(log.open("t", 0, SMALL), 200)
    log.close()
    for path in (tmp_path / "data").rglob("*.index"):
        path.unlink()
    for path in (tmp_path / "data").rglob("*.timeindex"):
        path.write_bytes(b"\0" * 24)
    again = Log(tmp_path / "data").open("t", 0, SMALL)
    for base, last, size in placed:
        found = again.read(last, 1)
        assert found is not None
        assert (found.size, read_batches(found.read())[0].base_offset) == (size, base)


def test_an_index_that_points_astray_is_noticed_and_rebuilt(log: Log, tmp_path: Path) -> None:
    placed = fill(log.open("t", 0, SMALL), 200)
    log.close()
    index = min((tmp_path / "data").rglob("*.index"))
    data = bytearray(index.read_bytes())
    data[7] ^= 1  # the first entry's position
    index.write_bytes(data)
    again = Log(tmp_path / "data").open("t", 0, SMALL)
    for base, last, size in placed:
        again._reader.forget()
        found = again.read(last, 1)
        assert found is not None
        assert (found.size, read_batches(found.read())[0].base_offset) == (size, base)
    assert index.read_bytes() != data


def test_an_index_that_points_past_an_offset_is_noticed_and_rebuilt(
    log: Log, tmp_path: Path
) -> None:
    fill(log.open("t", 0, SMALL), 200)
    log.close()
    segment, index = (
        min((tmp_path / "data").rglob("*.log")),
        min((tmp_path / "data").rglob("*.index")),
    )
    headers = read_batches(segment.read_bytes())
    # A batch that is there, for an offset two batches before it.
    index.write_bytes(struct.pack(">ii", headers[2].last_offset, headers[4].position))
    again = Log(tmp_path / "data").open("t", 0, SMALL)
    found = again.read(headers[3].base_offset, 1)
    assert found is not None
    assert read_batches(found.read())[0].base_offset == headers[3].base_offset


def test_indexes_of_segments_not_used_lately_leave_memory(tmp_path: Path) -> None:
    log = Log(tmp_path, max_open_files=4)
    partition = log.open("t", 0, SMALL)
    placed = fill(partition, 300)
    partition.sync()
    for base, last, _ in placed:
        partition._reader.forget()
        assert partition.read(base, 1).next_offset == last + 1  # type: ignore[union-attr]
    segments = partition._storage.segments
    assert len(segments) > 8
    assert sum(segment.index is not None for segment in segments) <= 5


def test_a_damaged_batch_header_is_corrupt_and_not_skipped(log: Log, tmp_path: Path) -> None:
    fill(log.open("t", 0, SMALL), 100)
    log.close()
    segment = min((tmp_path / "data").rglob("*.log"))
    content = bytearray(segment.read_bytes())
    second = read_batches(content)[1]
    content[second.position + 8] = 0x7F  # its length
    segment.write_bytes(content)
    again = Log(tmp_path / "data").open("t", 0, SMALL)
    before = again.size_bytes
    for _ in range(2):
        with pytest.raises(Corrupt, match=r"00\.log"):
            again.read(second.base_offset, 1)
    assert again.size_bytes == before
