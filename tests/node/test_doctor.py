"""``doctor`` finds what is wrong in a data directory, and changes nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from node_client import Client, serve

from mainstem import lsm
from mainstem.errors import Conflict, Invalid
from mainstem.node import doctor, open_embedded
from mainstem.node.directory import is_locked


def fingerprints(path: Path) -> dict[str, str]:
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file()
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with two topics, shut down cleanly."""
    with open_embedded(tmp_path) as handle, Client(handle.address) as client:
        for topic in ("a", "b"):
            client.create(topic)
            client.produce(topic, [b"x" * 100] * 50)
    return tmp_path


def severities(path: Path) -> set[str]:
    return {finding.severity for finding in doctor(path)}


def test_a_sound_directory_is_sound(data: Path) -> None:
    assert severities(data) == {"ok"}


def test_the_metadata_is_looked_at(data: Path) -> None:
    (finding,) = (f for f in doctor(data) if f.path.name == "metadata.sqlite")
    assert finding.message == "metadata store is sound (2 topics)"


def test_looking_changes_nothing(data: Path) -> None:
    before = fingerprints(data)
    list(doctor(data))
    assert fingerprints(data) == before


def test_after_a_crash_looking_still_changes_nothing(tmp_path: Path) -> None:
    with serve(tmp_path) as node, Client(node.kafka) as client:
        client.create("t")
        client.produce("t", [b"x"] * 10)
        node.process.kill()
        node.process.wait()
    before = fingerprints(tmp_path)
    assert "error" not in severities(tmp_path)
    assert fingerprints(tmp_path) == before


def test_a_flipped_bit_in_a_segment_is_an_error_with_its_path(data: Path) -> None:
    segment = data / "topics" / "a-0" / f"{0:020}.log"
    content = bytearray(segment.read_bytes())
    content[80] ^= 1
    segment.write_bytes(content)
    errors = [finding for finding in doctor(data) if finding.severity == "error"]
    assert errors
    assert all("a-0" in str(finding.path) for finding in errors)


def test_damaged_metadata_is_an_error(data: Path) -> None:
    store = data / "metadata.sqlite"
    content = bytearray(store.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    store.write_bytes(content)
    (error, *_) = (f for f in doctor(data) if f.severity == "error")
    assert error.path == store


def test_a_missing_store_is_pointed_out(data: Path) -> None:
    for file in data.glob("metadata.sqlite*"):
        file.unlink()
    assert "no metadata store" in {f.message for f in doctor(data)}


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    with open_embedded(tmp_path), pytest.raises(Conflict, match="in use"):
        list(doctor(tmp_path))


def test_no_node_starts_while_the_doctor_looks(data: Path) -> None:
    findings = doctor(data)
    next(findings)
    assert is_locked(data)
    list(findings)
    assert not is_locked(data)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_no_data_directory_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid, match="name a node's data directory"):
        list(doctor(tmp_path / name))
    assert not (tmp_path / "empty" / "lock").exists()


def test_a_state_store_is_checked_too(tmp_path):
    with lsm.Store.open(tmp_path / "store") as store:
        store.put_batch(pa.array([b"a", b"b"]), pa.array([b"1", b"2"]))
    (found,) = doctor(tmp_path / "store")
    assert (found.severity, found.message) == ("ok", "1 families, 0 runs")


def test_a_damaged_state_store_is_told(tmp_path):
    with lsm.Store.open(tmp_path / "store") as store:
        store.put_batch(pa.array([b"a", b"b"]), pa.array([b"1", b"2"]))
    manifest = tmp_path / "store" / "manifest"
    damaged = bytearray(manifest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    manifest.write_bytes(damaged)
    assert "error" in {found.severity for found in doctor(tmp_path / "store")}


def test_a_state_store_in_use_is_left_alone(tmp_path):
    with lsm.Store.open(tmp_path / "store"), pytest.raises(Conflict, match="in use"):
        list(doctor(tmp_path / "store"))
