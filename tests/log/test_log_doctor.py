from __future__ import annotations

import random
from pathlib import Path

import pytest
from log_batches import batch

from mainstem.log import Finding, Log, LogConfig, check

CONFIG = LogConfig(segment_bytes=2000, index_interval_bytes=100)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two partitions, shut down cleanly."""
    log = Log(tmp_path)
    for index in range(2):
        partition = log.open("t", index, CONFIG)
        for number in range(60):
            partition.append(batch(2, 60, producer=(4, 0, number * 2)))
    log.close()
    return tmp_path


def problems(root: Path) -> list[Finding]:
    return [finding for finding in check(root) if finding.severity != "ok"]


def spoil(path: Path, position: int) -> Path:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    return path


def files(root: Path, pattern: str) -> list[Path]:
    return sorted((root / "topics" / "t-0").glob(pattern))


def test_a_sound_directory_has_one_good_finding_per_partition(root: Path) -> None:
    findings = list(check(root))
    assert [finding.severity for finding in findings] == ["ok", "ok"]
    assert "60 batches" in findings[0].message
    assert findings[0].offset == 120


def test_a_running_logs_files_are_fine_after_a_kill(root: Path) -> None:
    log = Log(root)
    log.open("t", 0, CONFIG).append(batch(1, 60))
    log.close(clean=False)
    assert [finding.severity for finding in check(root)] == ["ok", "ok"]
    assert "not shut down cleanly" in next(check(root)).message


def test_any_flipped_bit_in_a_log_file_is_found(root: Path) -> None:
    rng = random.Random(11)
    path = files(root, "*.log")[1]
    content = path.read_bytes()
    for _ in range(200):
        position = rng.randrange(len(content))
        spoil(path, position)
        found = problems(root)
        assert found, position
        assert "error" in {finding.severity for finding in found}, position
        assert str(path) in {str(finding.path) for finding in found}, position
        path.write_bytes(content)


def test_damage_before_the_recovery_point_is_an_error_with_its_offset(root: Path) -> None:
    path = spoil(files(root, "*.log")[1], 300)
    (found, *_) = [finding for finding in problems(root) if finding.severity == "error"]
    assert found.path == path
    assert found.offset is not None
    assert found.offset >= int(path.stem)


def test_damage_after_the_recovery_point_is_a_warning(root: Path) -> None:
    log = Log(root)
    log.open("t", 0, CONFIG).append(batch(1, 60))
    log.close(clean=False)
    spoil(files(root, "*.log")[-1], -1)
    assert {finding.severity for finding in problems(root)} == {"warning"}


@pytest.mark.parametrize("pattern", ["*.index", "*.timeindex", "*.producers", "clean-shutdown"])
def test_damage_that_heals_is_a_warning(root: Path, pattern: str) -> None:
    path = spoil(files(root, pattern)[0], 5)
    (found,) = problems(root)
    assert (found.path, found.severity) == (path, "warning")


def test_a_missing_index_is_a_warning(root: Path) -> None:
    path = files(root, "*.index")[0]
    path.unlink()
    (found,) = problems(root)
    assert (found.path, found.severity) == (path, "warning")


def test_a_missing_segment_is_an_error(root: Path) -> None:
    files(root, "*.log")[1].unlink()
    assert "error" in {finding.severity for finding in problems(root)}


@pytest.mark.parametrize("name", ["recovery-point", "leader-epoch-checkpoint"])
def test_a_damaged_checkpoint_is_an_error(root: Path, name: str) -> None:
    spoil(root / "topics" / "t-0" / name, 1)
    assert "error" in {finding.severity for finding in problems(root)}


def test_a_directory_without_topics_is_said_to_have_none(tmp_path: Path) -> None:
    (found,) = check(tmp_path)
    assert found.severity == "warning"


def test_checking_changes_nothing(root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    spoil(files(root, "*.index")[0], 5)
    list(check(root))
    spoil(files(root, "*.index")[0], 5)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
