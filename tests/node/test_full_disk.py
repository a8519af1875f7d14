"""A disk that is full: a Kafka error, a living process, and nothing accepted is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from node_client import Client, failing, serve


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.decode().strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_full_disk_refuses_and_loses_nothing(small_disk: Path) -> None:
    data = small_disk / "data"
    accepted: list[bytes] = []
    with serve(data) as node:
        with Client(node.kafka) as client:
            client.create("t")
            while True:
                values = [b"%d " % len(accepted) + os.urandom(50_000)]
                code = client.try_produce("t", values)
                if code != 0:
                    break
                accepted += values
            assert code == 56  # KAFKA_STORAGE_ERROR
            assert len(accepted) > 20
            assert client.values("t") == accepted
        assert node.get("/health/ready")[0] == 200
        assert node.stop()[0] in (0, 1)
    with serve(data) as node, Client(node.kafka) as client:
        assert client.values("t") == accepted


def test_room_on_the_disk_again_means_that_writing_works_again(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_500_000))
    with serve(small_disk / "data") as node, Client(node.kafka) as client:
        client.create("t")
        while client.try_produce("t", [os.urandom(100_000)]) == 0:
            pass
        ballast.unlink()
        assert client.try_produce("t", [b"after"]) == 0
        assert client.values("t")[-1] == b"after"


def test_a_disk_that_is_full_at_the_start_is_one_sentence(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:  # until there is no room
            ballast.write(bytes(4096))
    code, out, said = failing(small_disk / "data")
    assert (code, out) == (1, "")
    assert "full" in said.splitlines()[-1]
    assert "Traceback" not in said
