"""Apache Kafka's own dump tool reads the segments our log wrote, and finds nothing amiss."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from interop.kafka import java_command
from mainstem.kernels import read_batches
from mainstem.log import Log, LogConfig, Partition

NOW = 1_700_000_000_000
SEED = 20
DUMP = "org.apache.kafka.tools.DumpLogSegments"
COMPLAINT = re.compile(r"(?i)mismatch|not found|out of order|corrupt|invalid|exception|error")
Record = tuple[int, bytes | None, bytes | None]


def client_batch(
    rng: random.Random, records: list[Record], *, codec: int, producer: tuple[int, int, int]
) -> bytearray:
    """A record batch as aiokafka's own encoder makes it."""
    producer_id, producer_epoch, base_sequence = producer
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        batch_size=1 << 20,
    )
    for number, (timestamp, key, value) in enumerate(records):
        headers = [("h", b"1"), ("none", None)] if rng.random() < 0.3 else []
        builder.append(number, timestamp=timestamp, key=key, value=value, headers=headers)
    return bytearray(builder.build())


def fill(partition: Partition, batches: int) -> list[Record]:
    """Every flavour of batch a client may send; the records by offset."""
    rng, written, sequences = random.Random(SEED), list[Record](), [0, 0, 0]
    for number in range(batches):
        records: list[Record] = [
            (
                NOW + number * 100 + rng.randint(-500, 500),
                rng.choice((None, b"", b"key-%d" % rng.randrange(9))),
                rng.choice((None, b"", b"value " * rng.randrange(1, 60))),
            )
            for _ in range(rng.randint(1, 6))
        ]
        producer = (-1, -1, -1)
        if (who := rng.randrange(4)) < 3:
            producer = (1000 + who, 3, sequences[who])
            sequences[who] += len(records)
        partition.append(client_batch(rng, records, codec=number % 5, producer=producer))
        written += records
    return written


@pytest.fixture(scope="module", params=["CreateTime", "LogAppendTime"])
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Record], str]:
    """A partition directory after a kill, a recovery, more appends and a clean shutdown."""
    root = tmp_path_factory.mktemp("dump")
    config = LogConfig(segment_bytes=20_000, index_interval_bytes=500, timestamp_type=request.param)
    log = Log(root)
    records = fill(log.open("t", 0, config), 300)
    log.close(clean=False)
    log = Log(root)
    partition = log.open("t", 0, config)
    records += fill_again(partition)
    directory = Path(partition.directory)
    log.close()
    return directory, records, request.param


def fill_again(partition: Partition) -> list[Record]:
    rng = random.Random(SEED + 1)
    records: list[Record] = [(NOW + 50_000 + n, b"k", b"after %d" % n) for n in range(400)]
    for record in records:
        partition.append(client_batch(rng, [record], codec=0, producer=(-1, -1, -1)))
    return records


def dump(files: list[Path], *options: str) -> str:
    command = java_command(DUMP, "--files", ",".join(map(str, files)), *options)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    # With --deep-iteration the tool expects every file to begin at offset 0 (it counts from -1)
    # and says so; any other gap would read differently.
    complaints = done.stderr
    for file in files:
        told = f"Non-consecutive offsets in {file}\n  -1 is followed by {int(file.stem)}\n"
        complaints = complaints.replace(told, "")
    assert not complaints.strip(), complaints
    return done.stdout


def of(directory: Path, suffix: str) -> list[Path]:
    found = sorted(directory.glob(f"*{suffix}"))
    assert len(found) > 3
    return found


def test_every_index_passes_the_sanity_check(written: tuple[Path, list[Record], str]) -> None:
    files = of(written[0], ".index") + of(written[0], ".timeindex")
    output = dump(files, "--index-sanity-check")
    assert output.count("passed sanity check") == len(files)
    assert not COMPLAINT.search(output), output


def test_every_index_entry_points_at_its_batch(written: tuple[Path, list[Record], str]) -> None:
    files = of(written[0], ".index") + of(written[0], ".timeindex")
    output = dump(files, "--verify-index-only")
    assert not COMPLAINT.search(output), output
    output = dump(files)
    assert not COMPLAINT.search(output), output
    positions = re.findall(r"^offset: (\d+) position: (\d+)", output, re.MULTILINE)
    times = re.findall(r"^timestamp: (\d+) offset: (\d+)", output, re.MULTILINE)
    assert len(positions) > 100
    assert len(times) > (50 if written[2] == "CreateTime" else 3)


def test_every_batch_is_valid_and_where_we_say(written: tuple[Path, list[Record], str]) -> None:
    files = of(written[0], ".log")
    output = dump(files)
    found = re.findall(
        r"^baseOffset: (\d+) lastOffset: (\d+) count: (\d+) .*?producerId: (-?\d+) .*?"
        r"partitionLeaderEpoch: (\d+) .*?position: (\d+) .*?size: (\d+) .*?isvalid: (true|false)",
        output,
        re.MULTILINE,
    )
    ours = [
        (
            str(header.base_offset),
            str(header.last_offset),
            str(header.record_count),
            str(header.producer_id),
            str(header.leader_epoch),
            str(header.position),
            str(header.size),
            "true",
        )
        for file in files
        for header in read_batches(file.read_bytes())
    ]
    assert found == ours
    assert {row[4] for row in found} == {"0", "1"}  # the kill began a new leader epoch


def test_every_record_comes_back(written: tuple[Path, list[Record], str]) -> None:
    directory, records, timestamp_type = written
    output = dump(of(directory, ".log"), "--deep-iteration", "--print-data-log")
    found = re.findall(
        r"(?m)^\| offset: (\d+) (\w+): (\d+) keySize: (-?\d+) valueSize: (-?\d+)(.*)$", output
    )
    assert [int(row[0]) for row in found] == list(range(len(records)))
    assert {row[1] for row in found} == {timestamp_type}
    for row, (timestamp, key, value) in zip(found, records, strict=True):
        assert timestamp_type == "LogAppendTime" or int(row[2]) == timestamp
        assert int(row[3]) == (-1 if key is None else len(key))
        assert int(row[4]) == (-1 if value is None else len(value))
        assert not value or row[5].endswith(f"payload: {value.decode()}")
