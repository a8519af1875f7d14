from __future__ import annotations

import struct
from pathlib import Path

import pytest
from log_batches import batch

from mainstem.errors import Corrupt
from mainstem.kernels import read_batches
from mainstem.log import Log, LogConfig
from mainstem.log.checkpoints import decode_numbers, encode_numbers
from mainstem.log.epochs import LeaderEpochs, parse_epochs
from mainstem.log.indexes import IndexFileError, OffsetIndex, TimeIndex
from mainstem.log.scan import TornLogError, scan


def offset_file(*entries: tuple[int, int]) -> bytes:
    return b"".join(struct.pack(">ii", *entry) for entry in entries)


def time_file(*entries: tuple[int, int]) -> bytes:
    return b"".join(struct.pack(">qi", *entry) for entry in entries)


def test_index_bytes_are_kafkas() -> None:
    index, times = OffsetIndex(), TimeIndex()
    index.append(1, 2)
    index.append(0x01020304, 0x05060708)
    times.append(5, 1)
    times.append(5, 2)  # no larger than the last: no entry
    times.append(2**40, 3)
    assert index.to_bytes().hex() == "0000000100000002" + "0102030405060708"
    assert times.to_bytes() == time_file((5, 1), (2**40, 3))
    assert OffsetIndex.from_bytes(index.to_bytes(), 2**31 - 1).to_bytes() == index.to_bytes()
    assert TimeIndex.from_bytes(times.to_bytes()).to_bytes() == times.to_bytes()


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 7,
        offset_file((1, 100), (1, 200)),
        offset_file((2, 100), (1, 200)),
        offset_file((1, 200), (2, 200)),
        offset_file((-1, 100)),
        offset_file((1, -100)),
        offset_file((1, 1000)),
        offset_file((1, 100), (0, 0)),
    ],
)
def test_unfit_offset_indexes_are_refused(data: bytes) -> None:
    with pytest.raises(IndexFileError):
        OffsetIndex.from_bytes(data, 1000)


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 13,
        time_file((5, 1), (5, 2)),
        time_file((5, 1), (4, 2)),
        time_file((5, 2), (6, 2)),
        time_file((5, -1)),
        time_file((5, 1), (0, 0)),
    ],
)
def test_unfit_time_indexes_are_refused(data: bytes) -> None:
    with pytest.raises(IndexFileError):
        TimeIndex.from_bytes(data)


def test_entries_name_the_last_offset_and_first_byte_of_their_batch(log: Log) -> None:
    """Kafka's LogSegment.append, to the letter; its own tool checks it in `make interop`."""
    config = LogConfig(segment_bytes=3000, index_interval_bytes=250)
    partition = log.open("t", 0, config)
    for number in range(60):
        partition.append(batch(2, 30, timestamps=1000 + (number * 7) % 50))
    directory = Path(partition.directory)
    segment, *_ = sorted(directory.glob("*.log"))
    expected_index, expected_times, since, largest = [], [], 0, (-1, 0)
    for header in read_batches(segment.read_bytes()):
        if header.max_timestamp > largest[0]:
            largest = (header.max_timestamp, header.last_offset)
        if since > 250:
            expected_index.append((header.last_offset, header.position))
            if not expected_times or largest[0] > expected_times[-1][0]:
                expected_times.append(largest)
            since = 0
        since += header.size
    if largest[0] > expected_times[-1][0]:
        expected_times.append(largest)
    assert segment.with_suffix(".index").read_bytes() == offset_file(*expected_index)
    assert segment.with_suffix(".timeindex").read_bytes() == time_file(*expected_times)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("cut", [1, 20, 60, 100])
def test_a_scan_stops_at_a_cut_batch(log: Log, verify: bool, cut: int) -> None:
    partition = log.open("t", 0)
    data = batch(1, 300)
    for _ in range(3):
        partition.append(bytearray(data))
    segment, seen = partition._storage.active, 0
    with pytest.raises(TornLogError) as raised:  # noqa: PT012 - what came before counts, too
        for _ in scan(segment, 3 * len(data) - cut, verify=verify):
            seen += 1
    assert seen == 2
    assert raised.value.position == 2 * len(data)


@pytest.mark.parametrize(
    "text",
    [
        *("", "0\n", "0\n1\n", "1\n0\n", "0\n1\n0 0", "0\n1\n0 0 0\n", "0\n1\nx 0\n"),
        *("0\n2\n1 5\n0 9\n", "0\n2\n1 5\n2 5\n", "0\n1\n-1 0\n", "0\n1\n0\t0\n", "0\n1\n0 0\n\n"),
    ],
)
def test_unfit_epoch_files_are_refused(text: str) -> None:
    with pytest.raises(Corrupt, match="F is not a leader epoch checkpoint"):
        parse_epochs(text.encode(), "F")


def test_epochs_follow_kafkas_rules() -> None:
    epochs = LeaderEpochs([(2, 10), (4, 20), (5, 30)])
    answers = {
        -1: (-1, -1),
        0: (0, 10),
        2: (2, 20),
        3: (2, 20),
        4: (4, 30),
        5: (5, 99),
        6: (-1, -1),
    }
    assert {epoch: epochs.end_offset(epoch, 99) for epoch in answers} == answers
    assert parse_epochs(epochs.to_bytes(), "F") == epochs.entries
    assert not epochs.assign(5, 40)
    assert epochs.assign(7, 30)  # nothing was written in epoch 5
    assert epochs.entries == [(2, 10), (4, 20), (7, 30)]
    assert epochs.truncate_start(25)
    assert epochs.entries == [(4, 25), (7, 30)]
    epochs.truncate_end(30)
    assert epochs.entries == [(4, 25)]


def test_any_flipped_bit_in_a_number_file_is_noticed() -> None:
    data = encode_numbers({"offset": 12345, "other": -1})
    assert decode_numbers(data, "F") == {"offset": 12345, "other": -1}
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(Corrupt, match="F "):
            decode_numbers(bytes(damaged), "F")
